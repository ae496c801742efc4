"""Words and findings are apart: every sentence comes from the language's own files."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Protocol

import pytest

import harness.comparison
import harness.report
from harness.base.errors import UserError
from harness.comparison.differences import Direction
from harness.comparison.fairness import Fact
from harness.comparison.findings import Limit
from harness.comparison.metrics import METRICS, Unit
from harness.devices.reading import Quantity
from harness.report import text as texts
from harness.report.render import render
from harness.report.text import Picture, Row, Section, Table, languages, text_in
from tests.builders import RunBuilder


@pytest.mark.parametrize("language", languages())
def test_a_language_has_everything_that_a_report_says(language: str) -> None:
    text = text_in(language)
    for part, protocol in (
        (text.titles, texts.Titles),
        (text.verdict, texts.VerdictText),
        (text.report, texts.ReportText),
        (text.figures, texts.FigureText),
    ):
        for name in (vars(protocol).keys() | protocol.__annotations__.keys()) - vars(Protocol).keys():
            assert name.startswith("_") or hasattr(part, name), name
            if inspect.isfunction(getattr(protocol, name, None)) and not name.startswith("_"):
                wanted = list(inspect.signature(getattr(protocol, name)).parameters)[1:]
                assert list(inspect.signature(getattr(part, name)).parameters) == wanted, name
    titles = text.titles
    for mapping, keys in (
        (titles.HEADINGS, Section),
        (titles.ROWS, Row),
        (titles.HEADERS, Table),
        (titles.PICTURES, Picture),
        (titles.DIRECTIONS, Direction),
        (titles.FACTS, Fact),
        (titles.LIMITS, Limit),
        (titles.MEMORY_MEANS, Quantity),
        (titles.UNITS, Unit),
    ):
        assert set(mapping) == set(keys)
    assert set(titles.METRICS) == {metric.key for metric in METRICS}


def test_a_language_that_there_is_none_of_is_a_message(tmp_path: Path) -> None:
    RunBuilder(tmp_path / "made", "lora", 0).write()
    with pytest.raises(UserError, match="a report can be written in en"):
        render([tmp_path / "made"], tmp_path / "report", language="tlh")
    assert not (tmp_path / "report").exists()


def sentences(path: Path) -> list[str]:
    """Texts of several words that are neither documentation nor the message of an exception."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    left_out = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            left_out |= {id(inner) for inner in ast.walk(node)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in left_out
        and len([word for word in node.value.split() if word.isalpha()]) > 1
    ]


def files_without_words() -> list[Path]:
    comparison = Path(harness.comparison.__file__).parent
    report = Path(harness.report.__file__).parent
    return [*comparison.glob("*.py"), *report.glob("*.py")]


@pytest.mark.parametrize("path", files_without_words(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_outside_of_the_language_there_is_no_sentence(path: Path) -> None:
    allowed = ("DejaVu", "Noto", "Source Han", "WenQuanYi", "PingFang", "Microsoft", "Glyph", "outside lower left")
    assert [words for words in sentences(path) if not words.startswith(allowed)] == []


def test_the_template_holds_no_word_of_its_own() -> None:
    template = (Path(harness.report.__file__).parent / "templates" / "report.md.j2").read_text(encoding="utf-8")
    kept, depth = [], 0
    for position, character in enumerate(template):
        if template.startswith(("{{", "{%", "{#"), position):
            depth += 1
        if depth == 0:
            kept.append(character)
        if position and template.startswith(("}}", "%}", "#}"), position - 1):
            depth -= 1
    assert not any(character.isalpha() for character in "".join(kept))
