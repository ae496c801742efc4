"""A report's Markdown for tests that look at its words: without figures, which take most of the time."""

from __future__ import annotations

from pathlib import Path

from harness.comparison.findings import Findings, find
from harness.comparison.runs import load_sweep
from harness.report.content import document
from harness.report.document import Document
from harness.report.markdown import to_markdown
from harness.report.text import text_in
from harness.report.verdict import lines, summary


def findings_of(*folders: Path) -> Findings:
    return find(load_sweep(*folders))


def document_of(*folders: Path) -> Document:
    return document(findings_of(*folders), text_in("en"), {})


def page(*folders: Path) -> str:
    """The whole of it, without the backslashes of Markdown."""
    return to_markdown(document_of(*folders)).replace("\\", "")


def opening(*folders: Path) -> list[str]:
    """The first screen as a terminal has it."""
    text = text_in("en")
    return list(lines(summary(findings_of(*folders), text), text))
