"""Words and findings are apart: every sentence comes from the language's own files."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter

import pytest

import harness.comparison
import harness.report
from harness.base.errors import UserError
from harness.comparison.decision import Purpose
from harness.comparison.facts import Fact
from harness.comparison.findings import LIMITS
from harness.comparison.judging import Word
from harness.comparison.metrics import METRICS, Aspect, Unit
from harness.comparison.order import Order
from harness.comparison.parts import MeasuredPart, TimePart
from harness.devices.npu_smi import errors
from harness.devices.reading import Quantity
from harness.processes import known_symptoms, symptoms
from harness.report.render import render
from harness.report.text import Text, languages, text_in
from harness.report.text.en import English
from harness.report.text.zh import diagnoses
from harness.runs.events import Phase
from harness.runs.record import Diagnosis, Outcome, Unknown
from tests.builders import RunBuilder

ENGLISH = [part for part in English.__mro__ if part.__module__.startswith("harness.report.text.en")]
TEXTS = {name: text for part in reversed(ENGLISH) for name, text in vars(part).items() if not name.startswith("_")}


def missing(language: type[Text]) -> list[str]:
    """Return what a language leaves to English: texts, keys of its tables, holes in its sentences."""
    own = [vars(part) for part in language.__mro__ if part not in ENGLISH] if language is not English else [TEXTS]
    said = {name: text for part in own for name, text in part.items()}
    return [name for name, text in TEXTS.items() if name not in said or shape(said[name]) != shape(text)]


def shape(value: object) -> object:
    """What a text in any language must have in common with the same in English."""
    if isinstance(value, str):
        return sorted((name, form) for _, name, form, _ in Formatter().parse(value) if name is not None)
    if isinstance(value, Mapping):
        return {key: shape(inner) for key, inner in value.items()}
    return list(inspect.signature(value).parameters) if callable(value) else len(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("language", languages())
def test_a_language_has_everything_that_a_report_says(language: str) -> None:
    text = text_in(language)
    assert missing(type(text)) == []
    for mapping, keys in (
        (text.WORDS, Word),
        (text.PRIMARY, Aspect),
        (text.TOUCHES, Aspect),
        (text.PURPOSES, Purpose),
        (text.STATUS, Outcome),
        (text.PHASES, Phase),
        (text.ORDERS, Order),
        (text.FACTS, Fact),
        (text.MEMORY_MEANS, Quantity),
        (text.QUANTITIES, Quantity),
        (text.MEMORY_PARTS, MeasuredPart),
        (text.TIME_PARTS, TimePart),
        (text.UNKNOWN, Unknown),
        (text.UNITS, Unit),
        (text.METRICS, [metric.key for metric in METRICS]),
        (text.LIMITS, [*LIMITS, "no_result", "one_setting"]),
    ):
        assert set(mapping) == set(keys)


def test_what_a_language_leaves_out_is_noticed() -> None:
    class Klingon(English):
        PLANNED = "nab: {folder}"
        UNFINISHED = "{}: not rIn"
        ON_OFF: Mapping[bool, str] = {True: "HISlaH"}

    left_out = missing(Klingon)
    assert {"PLANNED", "ON_OFF", "HEADINGS", "verdict", "METRICS", "losses_title"} <= set(left_out)
    assert "UNFINISHED" not in left_out


def test_a_language_that_there_is_none_of_is_a_message(tmp_path: Path) -> None:
    RunBuilder(tmp_path / "made", "lora", 0).write()
    with pytest.raises(UserError, match="a report can be written in en"):
        render([tmp_path / "made"], tmp_path / "report", language="tlh")
    assert not (tmp_path / "report").exists()


ERRORS = ("refusal",)
"""Functions that word an error, which is in English like every other."""


def sentences(path: Path) -> list[str]:
    """Texts of several words that are neither documentation nor the message of an error."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    left_out = set()
    for node in ast.walk(tree):
        is_documentation = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_error = isinstance(node, ast.FunctionDef) and node.name in ERRORS
        if isinstance(node, ast.Raise | ast.Assert) or is_documentation or is_error:
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
    return [*comparison.glob("*.py"), *report.glob("*.py"), *(report / "figures").glob("*.py")]


@pytest.mark.parametrize("path", files_without_words(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_outside_of_the_language_there_is_no_sentence(path: Path) -> None:
    allowed = ("DejaVu", "Noto", "Source Han", "WenQuanYi", "PingFang", "Microsoft", "Hiragino", "Glyph")
    allowed += ("outside lower left",)
    # As a record has it.
    allowed += ("quantization state",)
    assert [words for words in sentences(path) if not words.startswith(allowed)] == []


def test_every_cause_of_a_failure_that_is_known_is_told_in_chinese_with_what_helps() -> None:
    known = {symptom.cause for symptom in (*known_symptoms.SYMPTOMS, *known_symptoms.SLOW)}
    assert set(diagnoses.CAUSES) == known | {cause for _, _, cause, _ in errors.KNOWN}
    for line in ("CUDA out of memory", "dcmi module initialize failed. ret is -8005", "dcmi call failed, ret is -4711"):
        found = symptoms.diagnose(line)
        assert found is not None
        told = text_in("zh").diagnosis(found)
        assert found.cause not in told, line
        assert found.fix not in told, line
        assert set(re.findall(r"[\w.-]+", told, re.ASCII)) <= set(re.findall(r"[\w.-]+", f"{found.cause} {found.fix}"))
    unknown = Diagnosis(line="x", cause="nobody knows", fix="nothing helps")
    assert "nobody knows" in text_in("zh").diagnosis(unknown)
