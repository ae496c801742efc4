"""How long the phases of a run took, and a step of its training once it has warmed up."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from harness.runs.events import Event, Phase, TrainingStarted, TrainingStep
from harness.runs.measurements import PhaseSpan, phases

_LEAST_WARMUP_STEPS, _WARMUP_SHARE = 3, 0.05
"""The first steps find kernels, fill caches and grow the allocator: the first alone took 4 of a quickstart's 16 s."""
_LEAST_STEPS = 3


class StepTime(NamedTuple):
    """The pace of a training."""

    step_seconds: float
    """Median of the steps after the first `warmup_steps`."""
    warmup_steps: int
    warmup_seconds: float
    """What those took."""


def phase_seconds(events: Sequence[Event], ended: float) -> dict[Phase, float]:
    """Return how long each phase took, all of its occurrences together.

    `ended`: when the run did, in seconds since the epoch; whatever was under way when it died lasted until then."""
    seconds: dict[Phase, float] = {}
    for span in phases(events):
        seconds[span.phase] = seconds.get(span.phase, 0.0) + max(0.0, min(span.end, ended) - span.start)
    return seconds


def step_time(events: Sequence[Event]) -> StepTime | None:
    """Return the pace of a training that reached its end; None where fewer than three steps are left to take it from.

    What a validation or a checkpoint took between two steps is left out."""
    began = next((event.time for event in reversed(events) if isinstance(event, TrainingStarted)), None)
    if began is None:
        return None
    ends = {0: began} | {event.step: event.time for event in events if isinstance(event, TrainingStep)}
    last = max(ends)
    warmup_steps = max(_LEAST_WARMUP_STEPS, math.ceil(_WARMUP_SHARE * last))
    trained = [span for span in phases(events) if span.phase is Phase.TRAIN]
    # A line that was torn costs the two steps that it lies between.
    durations = [
        _within(trained, ends[step], ends[following])
        for step, following in pairwise(sorted(ends))
        if step >= warmup_steps and following == step + 1
    ]
    if len(durations) < _LEAST_STEPS or warmup_steps not in ends:
        return None
    return StepTime(statistics.median(durations), warmup_steps, _within(trained, began, ends[warmup_steps]))


def _within(spans: Sequence[PhaseSpan], start: float, end: float) -> float:
    """How much of the time from `start` to `end` lies in `spans`, in seconds."""
    return sum(max(0.0, min(span.end, end) - max(span.start, start)) for span in spans)
