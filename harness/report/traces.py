"""What a run left over time: its losses by step, its memory by second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import pandas
from numpy.typing import NDArray

from harness.comparison.columns import TRAINING_PHASES
from harness.comparison.runs import Run
from harness.devices.reading import Quantity, total_mib
from harness.runs import events
from harness.runs.events import Event, TrainingLoss, ValidationLoss
from harness.runs.measurements import PhaseSpan, phases, read_readings

GAP_INTERVALS = 5
"""A line is not drawn across this many missing readings."""


@dataclass(frozen=True)
class LossCurve:
    """Losses in nats a token, by optimizer step, up to the first that is not finite."""

    points: dict[int, float]
    breaks: bool
    """Whether a loss that is not finite came after them."""


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


def loss_curve(run: Run, kind: type[TrainingLoss | ValidationLoss]) -> LossCurve:
    """Return the training or the validation loss that a run reported."""
    losses = [event for event in _events(run) if isinstance(event, kind)]
    finite = list(takewhile(lambda event: math.isfinite(event.loss), losses))
    return LossCurve({event.step: event.loss for event in finite}, len(finite) < len(losses))


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
    spans = [
        PhaseSpan(span.phase, span.start - start, min(span.end - start, run.record.wall_seconds))
        for span in phases(_events(run))
    ]
    holes = np.flatnonzero(np.diff(seconds) > GAP_INTERVALS * interval)
    return MemoryTrace(
        run,
        ", ".join(sorted({reading.sensor for reading, _ in readings})),
        np.insert(seconds, holes + 1, seconds[holes] + interval),
        np.insert(used_mib, holes + 1, np.nan),
        spans,
    )


def memory_traces(runs: Sequence[Run]) -> tuple[Quantity, dict[str, MemoryTrace | None]]:
    """Return the trace of one run an arm, its first completed or else its first, and the quantity that they are of:
    that of the device where any run measured it."""
    chosen: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: not run.completed):
        chosen.setdefault(run.label, run)
    by_arm = {run.label: chosen[run.label] for run in runs}
    for quantity in (Quantity.DEVICE, Quantity.HOST):
        traces = {label: memory_trace(run, quantity) for label, run in by_arm.items()}
        if any(traces.values()):
            return quantity, traces
    return Quantity.HOST, {}
