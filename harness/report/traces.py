"""What a run left over time: its losses by step, its memory by second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas
from numpy.typing import NDArray

from harness.base.remembered import remembered
from harness.comparison.columns import TRAINING_PHASES
from harness.comparison.runs import Run
from harness.devices.reading import Quantity, total_mib
from harness.runs import events
from harness.runs.events import Event, ReportedLoss, TrainingLoss, ValidationLoss
from harness.runs.measurements import PhaseSpan, phases, read_readings

GAP_INTERVALS = 5
"""A line is not drawn across this many missing readings."""


@dataclass(frozen=True)
class LossCurve:
    """One run's losses in nats a token, by optimizer step, up to the first that is not finite."""

    steps: NDArray[np.int64]
    """Ascending."""
    losses: NDArray[np.float64]
    breaks: bool
    """Whether a loss that is not finite came after them."""

    @property
    def points(self) -> dict[int, float]:
        """The losses by step."""
        return dict(zip(self.steps.tolist(), self.losses.tolist(), strict=True))


@dataclass(frozen=True)
class LossBand:
    """The losses of those runs that came furthest, at the steps that all of them have: a row a run, a column a step."""

    steps: NDArray[np.int64]
    losses: NDArray[np.float64]
    others: list[LossCurve]
    """Of the runs that ended earlier: a mean that lost them on its way would jump."""


@dataclass(frozen=True)
class MemoryTrace:
    """Of one quantity, summed over the run's chips; NaN where readings are missing. Time is since the run's start."""

    run: Run
    sensor: str
    seconds: NDArray[np.float64]
    mib: NDArray[np.float64]
    spans: list[PhaseSpan]

    def training_peak_mib(self) -> float:
        """Return the highest reading up to the end of training; NaN where there is none."""
        inside = [
            (span.start <= self.seconds) & (self.seconds < span.end)
            for span in self.spans
            if span.phase in TRAINING_PHASES
        ]
        mib = self.mib[np.any(inside, axis=0)] if inside else self.mib
        return float(np.nanmax(mib)) if np.isfinite(mib).any() else float("nan")


def _events(run: Run) -> list[Event]:
    """Return those of the run's last start: the version before went on writing to the same file."""
    start = run.record.started_at.timestamp()
    return [event for event in events.read(run.folder.events) if event.time >= start]


@remembered
def loss_curves(run: Run) -> tuple[LossCurve, LossCurve]:
    """Return the training and the validation loss that a run reported."""
    start = run.record.started_at.timestamp()
    reported = [event for event in events.read_losses(run.folder.events) if event.time >= start]
    training, validation = (
        _curve([event for event in reported if event.kind == kind]) for kind in ("loss", "validation_loss")
    )
    return training, validation


def loss_curve(run: Run, kind: type[TrainingLoss | ValidationLoss]) -> LossCurve:
    """Return one of the two."""
    return loss_curves(run)[0 if kind is TrainingLoss else 1]


def _curve(reported: Sequence[ReportedLoss]) -> LossCurve:
    steps = np.array([event.step for event in reported], dtype=np.int64)
    losses = np.array([event.loss for event in reported], dtype=np.float64)
    broken = np.flatnonzero(~np.isfinite(losses))
    end = int(broken[0]) if len(broken) else len(losses)
    steps, losses = steps[:end], losses[:end]
    if (np.diff(steps) <= 0).any():
        # Of a step that was reported twice the last counts.
        last = dict(zip(steps.tolist(), losses.tolist(), strict=True))
        steps = np.array(sorted(last), dtype=np.int64)
        losses = np.array([last[step] for step in sorted(last)], dtype=np.float64)
    return LossCurve(steps, losses, end < len(reported))


def loss_band(curves: Sequence[LossCurve]) -> LossBand:
    """Return the band of at least one curve, each with a loss."""
    end = max(curve.steps[-1] for curve in curves)
    whole = [curve for curve in curves if curve.steps[-1] == end]
    steps = whole[0].steps
    if any(not np.array_equal(curve.steps, steps) for curve in whole):
        steps = reduce(np.intersect1d, [curve.steps for curve in whole])
    losses = np.array([curve.losses[np.searchsorted(curve.steps, steps)] for curve in whole])
    return LossBand(steps, losses, [curve for curve in curves if curve.steps[-1] < end])


def memory_trace(run: Run, quantity: Quantity) -> MemoryTrace | None:
    """Return the trace of `quantity`, which is DEVICE or HOST; None where no reading tells of it."""
    start = run.record.started_at.timestamp()
    readings = [
        (reading, mib)
        for reading in read_readings(run.folder.readings)
        if reading.time >= start and (mib := total_mib([reading], quantity)) is not None
    ]
    if not readings:
        return None
    frame = pandas.DataFrame(
        [(reading.time - start, -1 if reading.chip is None else reading.chip, mib) for reading, mib in readings],
        columns=["second", "chip", "mib"],
    )
    # Chips are read one after the other, so each moment has one chip's reading and the others' last.
    total = frame.pivot_table(index="second", columns="chip", values="mib").sort_index().ffill().dropna().sum(axis=1)
    seconds, used_mib = total.index.to_numpy(dtype=float), total.to_numpy(dtype=float)
    interval = run.record.sampling.interval_seconds if run.record.sampling else float(np.median(np.diff(seconds)))
    # A run that was scored anew has no time of its own, and its first scoring may have no end.
    until = run.record.wall_seconds or float(seconds[-1])
    spans = [
        PhaseSpan(span.phase, span.start - start, min(span.end - start, until))
        for span in phases(_events(run))
        if span.start - start < until
    ]
    holes = np.flatnonzero(np.diff(seconds) > GAP_INTERVALS * interval)
    return MemoryTrace(
        run,
        ", ".join(sorted({reading.sensor for reading, _ in readings})),
        np.insert(seconds, holes + 1, seconds[holes] + interval),
        np.insert(used_mib, holes + 1, np.nan),
        spans,
    )


def memory_traces(runs: Sequence[Run], most: int | None = None) -> tuple[Quantity, dict[str, MemoryTrace | None]]:
    """Return the trace of one run an arm, its first completed or else its first, and the quantity that they are of:
    that of the device where any run measured it.

    `most`: only the first so many arms are read; those after them have None."""
    chosen: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: not run.completed):
        chosen.setdefault(run.label, run)
    labels = list(dict.fromkeys(run.label for run in runs))
    for quantity in (Quantity.DEVICE, Quantity.HOST):
        traces = {label: memory_trace(chosen[label], quantity) for label in labels[:most]}
        if any(traces.values()):
            return quantity, dict.fromkeys(labels) | traces
    return Quantity.HOST, {}
