"""What a record tells of a training is of the weights that it left."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.execution.build_record import _training
from harness.runs.events import TrainingFinished, TrainingLoss, ValidationLoss


@pytest.mark.parametrize(("kept_step", "losses"), [(None, (0.1, 0.9)), (30, (0.1, 0.9)), (20, (0.2, 0.7))])
def test_the_losses_are_those_of_the_step_that_is_kept(
    tmp_path: Path, kept_step: int | None, losses: tuple[float, float]
) -> None:
    steps = {10: (0.3, 0.8), 20: (0.2, 0.7), 30: (0.1, 0.9)}
    trained = [TrainingLoss(step=step, loss=loss, learning_rate=0.1) for step, (loss, _) in steps.items()]
    validated = [ValidationLoss(step=step, loss=loss) for step, (_, loss) in steps.items()]
    end = TrainingFinished(train_seconds=1.0, validation_seconds=0.0, steps=30, tokens=10, kept_step=kept_step)
    training = _training(tmp_path, [*trained, *validated, end], trained, validated)
    assert training is not None
    assert (training.train_loss, training.validation_loss) == losses
    assert (training.steps, training.kept_step) == (30, kept_step)
