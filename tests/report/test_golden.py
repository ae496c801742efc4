"""Ten reports in two languages, held to the letter: whoever changes a word or a figure sees what became of it.

GOLDEN=write .venv/bin/pytest -n 0 tests/report/test_golden.py     # then read the difference
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.report.content import document
from harness.report.markdown import to_markdown
from harness.report.text import languages, text_in
from tests.report.pages import findings_of
from tests.report.scenes import SCENES

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("scene", SCENES)
def test_a_report_is_what_it_was(scene: str, tmp_path: Path) -> None:
    SCENES[scene](tmp_path / scene)
    findings = findings_of(tmp_path / scene)
    for language in languages():
        report = to_markdown(document(findings, text_in(language), {})).replace(str(tmp_path), "FOLDER")
        golden = GOLDEN / f"{scene}.{language}.md"
        if os.environ.get("GOLDEN") == "write":
            GOLDEN.mkdir(exist_ok=True)
            golden.write_text(report, encoding="utf-8")
        assert report == golden.read_text(encoding="utf-8")


def test_there_is_no_report_of_a_scene_that_is_gone() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {
        f"{scene}.{language}.md" for scene in SCENES for language in languages()
    }
