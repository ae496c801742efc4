"""A report's Markdown for tests that look at its words: without figures, which take most of the time."""

from __future__ import annotations

from pathlib import Path

from harness.comparison.findings import find
from harness.comparison.runs import load_sweep
from harness.report.render import markdown
from harness.report.text import text_in
from harness.report.verdict import verdict


def page(*folders: Path) -> str:
    findings, text = find(load_sweep(*folders)), text_in("en")
    return markdown(findings, verdict(findings, text), text)
