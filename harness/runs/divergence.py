"""Whether a training diverged, by the losses that it reported."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.runs.events import TrainingLoss, ValidationLoss
from harness.runs.record import Divergence, DivergenceKind


def divergence_of(losses: Sequence[TrainingLoss], validation: Sequence[ValidationLoss]) -> Divergence | None:
    """Return why a run counts as diverged; None where its losses do not show that.

    A loss that is not finite always does. Otherwise the mean of the last fifth of the training losses is held against
    that of the first fifth, so that the noise of one batch decides nothing."""
    fifth = max(1, len(losses) // 5)
    first = _mean(losses[:fifth])
    reported: list[TrainingLoss | ValidationLoss] = [*losses, *validation]
    for event in sorted(reported, key=lambda event: event.time):
        if not math.isfinite(event.loss):
            return Divergence(kind=DivergenceKind.NOT_FINITE, step=event.step, first_loss=first, last_loss=event.loss)
    last = _mean(losses[-fifth:])
    if len(losses) < 2 or last < first:
        return None
    return Divergence(kind=DivergenceKind.NOT_LOWER, step=losses[-1].step, first_loss=first, last_loss=last)


def _mean(losses: Sequence[TrainingLoss]) -> float:
    return sum(event.loss for event in losses) / len(losses) if losses else math.nan
