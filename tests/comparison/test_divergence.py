"""A run that diverged, and values that are not finite: told wherever they stand, and in no mean without a word."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from harness.comparison.arms import arms_of
from harness.comparison.findings import find
from harness.comparison.metrics import TRAIN_LOSS, VALIDATION_LOSS
from harness.comparison.runs import load_sweep
from harness.report.figures.losses import losses
from harness.report.figures.theme import LIGHT
from harness.report.text import text_in
from harness.report.traces import loss_curve
from harness.runs.events import TrainingLoss, ValidationLoss
from harness.runs.record import Divergence, DivergenceKind, Outcome
from tests.builders import RunBuilder
from tests.report.pages import page

NOT_FINITE = Divergence(kind=DivergenceKind.NOT_FINITE, step=20, first_loss=2.5, last_loss=math.nan)
NOT_LOWER = Divergence(kind=DivergenceKind.NOT_LOWER, step=40, first_loss=2.5, last_loss=2.6125)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made"


def sweep(folder: Path, divergence: Divergence = NOT_FINITE, loss: float = math.nan) -> None:
    """Three seeds; seed 1 of qlora diverged."""
    for seed in (0, 1, 2):
        RunBuilder(folder, "lora", seed).write()
        RunBuilder(
            folder,
            "qlora",
            seed,
            quantized=True,
            diverged=seed == 1,
            divergence=divergence if seed == 1 else None,
            validation_loss=loss if seed == 1 else 0.6 + seed / 100,
            train_loss=loss if seed == 1 else 0.5,
            not_finite_from=20 if seed == 1 and not math.isfinite(loss) else None,
        ).write()


def trained(text: str) -> list[str]:
    """The rows of the table that says what the trainer was given, and whether a run diverged."""
    lines = text.split("| Answers cut off | Diverged |")[1].split("\n\n")[0].splitlines()
    return lines[2:]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_said_to_be_missing_from_its_mean(folder: Path, loss: float) -> None:
    sweep(folder, loss=loss)
    (qlora,) = [arm for arm in arms_of(load_sweep(folder)) if arm.label == "qlora"]
    assert qlora.values(VALIDATION_LOSS) == pytest.approx({0: 0.6, 2: 0.62})
    assert qlora.not_finite(VALIDATION_LOSS) == [1]
    text = page(folder)
    assert "| qlora | 0, 2 | 0.6000, 0.6200 / not finite: seed 1 | 0.6100 |" in text
    assert "> Validation loss, last, of qlora, was not finite in seed 1: its mean is over 2 of 3 runs." in text
    assert (
        "- Validation loss, last, qlora against lora: seed 1 left out, since it was not finite in one of the two."
        in text
    )


def test_a_diverged_run_is_told_in_the_verdict_the_arms_and_the_runs(folder: Path) -> None:
    sweep(folder)
    text = page(folder)
    assert (
        "> qlora, seed 1 diverged: its loss was not finite at step 20. Its finite values stand in the means of its arm."
        in text
    )
    assert [line.split(" | ")[-1] for line in trained(text)] == ["0 of 3 |", "1 of 3 |"]
    assert "| qlora | 1 | completed, diverged |" in text
    assert "| qlora | 0, 1, 2 (diverged: 1) |" in text


def test_a_loss_that_ended_no_lower_is_told_with_both_ends(folder: Path) -> None:
    sweep(folder, NOT_LOWER, loss=2.6125)
    text = page(folder)
    assert "(2.5000 nats a token at first, 2.6125 at step 40)" in text
    assert "not finite" not in text


def test_an_arm_without_any_finite_value_has_no_mean_and_is_not_called_unmeasured(folder: Path) -> None:
    for arm, loss in (("lora", 0.6), ("qlora", math.nan)):
        RunBuilder(folder, arm, 0, quantized=arm == "qlora", validation_loss=loss, diverged=arm == "qlora").write()
    text = page(folder)
    assert "| Validation loss, last (nats/token) | qlora | - | not finite: seed 0 | - |" in text
    assert "The validation loss was not measured" not in text
    assert "Validation loss, last, qlora against lora: seed 0 left out" in text


def test_that_nobody_looked_is_not_recorded(folder: Path) -> None:
    for seed in (0, 1):
        RunBuilder(folder, "lora", seed, diverged=None if seed else False).write()
        RunBuilder(folder, "qlora", seed, quantized=True, diverged=None).write()
    cells = [line.split(" | ")[-1] for line in trained(page(folder))]
    assert cells == ["0 of 1 / not recorded |", "not recorded |"]


def test_a_run_that_failed_after_it_diverged_is_in_no_mean(folder: Path) -> None:
    RunBuilder(folder, "lora", 0).write()
    RunBuilder(folder, "lora", 1, status=Outcome.FAILED, diverged=True, divergence=NOT_FINITE).write()
    text = page(folder)
    assert "> lora, seed 1 diverged: its loss was not finite at step 20. It is in no mean." in text
    assert "### failed, diverged: lora, seed 1" in text


def test_seeds_that_failed_are_told_with_what_the_means_are_over(folder: Path) -> None:
    for seed in (0, 1, 2):
        RunBuilder(folder, "lora", seed).write()
        status = Outcome.OUT_OF_MEMORY if seed == 2 else Outcome.COMPLETED
        RunBuilder(folder, "qlora", seed, quantized=True, status=status).write()
    text = page(folder)
    assert (
        "> qlora lacks seed 2 (out of memory): its means are over seeds 0, 1, and differences over the seeds that"
        in text
    )
    assert "| qlora | 0, 1 (not completed: 2) |" in text


def test_curves_are_drawn_up_to_where_they_are_no_longer_finite(folder: Path) -> None:
    sweep(folder)
    (run,) = [run for run in load_sweep(folder).runs if run.label == "qlora" and run.record.seed == 1]
    training, validation = loss_curve(run, TrainingLoss), loss_curve(run, ValidationLoss)
    assert (max(training.points), training.breaks) == (18, True)
    assert (validation.points, validation.breaks) == ({}, True)
    text = text_in("en")
    figure = losses(find(load_sweep(folder)).arms, text, LIGHT)
    assert figure is not None
    title = figure.get_suptitle()
    assert "a cross ends a curve that is not finite from there on; not drawn, since no loss in it is finite: 1" in title
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert [np.asarray(line.get_xdata()).tolist() for line in crosses] == [[18]]


def test_training_losses_are_not_finite_where_they_stand_in_the_record(folder: Path) -> None:
    sweep(folder)
    (comparison,) = find(load_sweep(folder)).comparisons
    paired = comparison.of(TRAIN_LOSS)
    assert paired is not None
    assert paired.seeds == (0, 2)
    assert (TRAIN_LOSS, [1]) in comparison.not_finite
