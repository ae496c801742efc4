"""What else differs between two arms: planted, and told; what was not recorded is neither equal nor different."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.comparison.fairness import Fact, Fairness
from harness.comparison.findings import find
from harness.comparison.runs import load_sweep
from harness.runs.events import RowsTokenized
from tests.builders import RunBuilder, questions
from tests.report.pages import page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made"


def pair(folder: Path, **of_qlora: Any) -> None:
    for seed in (0, 1):
        RunBuilder(folder, "lora", seed).write()
        RunBuilder(folder, "qlora", seed, quantized=True, **of_qlora).write()


def fairness(folder: Path) -> Fairness:
    (comparison,) = find(load_sweep(folder)).comparisons
    return comparison.fairness


PLANTED: list[tuple[Fact, dict[str, Any], str]] = [
    (Fact.WEIGHTS, {"weights": "bbbbbbbbbb", "base_weights": "0c0ffee123"}, "files of the base"),
    (Fact.WEIGHTS, {"base_weights": "bbbbbbbbbb"}, "weights of the base"),
    (Fact.ROWS, {"rows_digest": "bbbbbbbbbb"}, "rows"),
    (Fact.QUESTIONS, {"questions_digest": "bbbbbbbbbb"}, "questions"),
    (Fact.EVALUATION, {"config": {"evaluation": {"benchmark": "arithmetic", "limit": 20}}}, "evaluation.limit"),
    (Fact.METHOD, {"config": {"method": {"name": "qlora", "rank": 16}}}, "method.rank"),
    (Fact.TRAINING, {"config": {"training": {"batch_size": 8, "learning_rate": 1.0}}}, "training.learning_rate"),
    (Fact.ARGUMENTS, {"config": {"llamafactory": {"use_rslora": True}}}, "llamafactory.use_rslora"),
    (Fact.PRECISION, {"precision": "fp16"}, "precision"),
    (Fact.COMPUTE_DTYPE, {"compute_dtype": "float32"}, "compute dtype (measured)"),
    (Fact.LINEAR_MODULES, {"linear_modules": 27}, "linear layers (counted)"),
    (Fact.STEPS, {"steps": 20}, "optimizer steps (measured)"),
    (Fact.TOKENS, {"tokens": 39_999}, "tokens trained on (measured)"),
    (Fact.DEVICE, {"product": "Another"}, "hardware"),
    (Fact.PROCESSES, {"processes": 2}, "processes"),
    (Fact.VERSIONS, {"versions": {"numpy": "9"}}, "version of numpy"),
]


@pytest.mark.parametrize(("fact", "planted", "name"), PLANTED, ids=lambda value: str(value)[:40])
def test_whatever_differs_is_named_with_both_values_and_warned_of(
    folder: Path, fact: Fact, planted: dict[str, Any], name: str
) -> None:
    pair(folder, **planted)
    found = fairness(folder)
    assert [cause.fact for cause in found.causes] == [fact]
    assert fact not in found.equal
    findings = find(load_sweep(folder))
    assert findings.caveats.confounded == findings.comparisons
    text = page(folder).replace("\\", "")
    assert "These arms differ in more than method and quantization" in text
    assert f"| {name} | " in text
    assert f"> qlora and lora differ in more than method and quantization ({name})" in text


def test_rows_as_they_were_tokenized_are_compared(folder: Path) -> None:
    for arm, rows in (("lora", 1800), ("qlora", 1700)):
        tokenized = RowsTokenized(time=0.0, rows=rows, at_cutoff=0, cutoff_tokens=1024)
        RunBuilder(folder, arm, 0, quantized=arm == "qlora", rows=tokenized).write()
    assert [cause.fact for cause in fairness(folder).causes] == [Fact.TRAINING_ROWS]


def test_quantized_layers_are_compared_only_where_both_quantize(folder: Path) -> None:
    pair(folder)
    assert Fact.QUANTIZED_MODULES not in {cause.fact for cause in fairness(folder).causes}
    for seed in (0, 1):
        RunBuilder(folder, "lora-nf4", seed, quantized=True, quantized_modules=27, baseline="qlora").write()
        RunBuilder(folder, "qlora", seed, quantized=True, baseline="qlora").write()
    found = {comparison.arm.label: comparison.fairness for comparison in find(load_sweep(folder)).comparisons}
    assert [cause.fact for cause in found["lora-nf4"].causes] == [Fact.QUANTIZED_MODULES]


def test_seeds_that_one_arm_alone_completed_are_told_and_do_not_confound(folder: Path) -> None:
    pair(folder)
    RunBuilder(folder, "lora", 2).write()
    found = fairness(folder)
    assert [(cause.fact, cause.arm_values, cause.baseline_values) for cause in found.causes] == [
        (Fact.SEEDS, ("0", "1"), ("0", "1", "2"))
    ]
    assert found.confounding == ()
    text = page(folder).replace("\\", "")
    assert "These arms differ in more" not in text
    assert "> qlora lacks seed 2 (not run): its means are over seeds 0, 1." in text


def test_a_fair_comparison_says_what_was_compared(folder: Path) -> None:
    pair(folder)
    text = page(folder).replace("\\", "")
    (line,) = [
        line for line in text.splitlines() if line.startswith("qlora and lora differ in method and quantization.")
    ]
    equal, not_recorded = line.split(" Not recorded")
    for name in ("weights of the base", "rows", "questions", "tokens trained on (measured)", "library versions"):
        assert name in equal
    assert not_recorded.endswith("were compared: training rows (measured).")


def test_facts_are_compared_seed_by_seed(folder: Path) -> None:
    """Each seed sees another number of tokens; the arms still saw the same."""
    for seed in (0, 1):
        for arm in ("lora", "qlora"):
            RunBuilder(folder, arm, seed, quantized=arm == "qlora", tokens=40_000 + seed).write()
    RunBuilder(folder, "lora", 2, tokens=50_000).write()
    assert Fact.TOKENS in fairness(folder).equal


def test_a_side_that_records_less_makes_a_fact_not_recorded(folder: Path) -> None:
    RunBuilder(folder, "lora", 0, parts=False, answers=questions(20, 0.5)).write()
    RunBuilder(folder, "qlora", 0, quantized=True, answers=questions(20, 0.5)).write()
    found = fairness(folder)
    assert found.causes == ()
    assert {Fact.ROWS, Fact.PRECISION, Fact.COMPUTE_DTYPE} <= set(found.not_recorded)
    # Joined question by question, whatever the records tell.
    assert Fact.QUESTIONS in found.equal
