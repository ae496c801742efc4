"""From readings and events to the peaks and the energy that a record keeps."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from harness.base.json_lines import LineReader
from harness.devices.reading import SAMPLED, Quantity, Reading, total_mib
from harness.runs.events import Event, Phase, PhasePeaks, PhaseStarted
from harness.runs.folder import WorkFolder
from harness.runs.record import Energy, MemoryPeak

_HOLE_INTERVALS = 5
"""Readings that are further apart than so many intervals leave a hole: nobody knows the power within."""


class Measurements(NamedTuple):
    """What was measured in a folder of a run or of a target, in the order in which it was written."""

    events: list[Event]
    readings: list[Reading]
    unread_lines: int
    """Of both files together: torn ones, and those of a kind that this version does not know."""


def read(folder: WorkFolder) -> Measurements:
    """Read the events and the readings of a folder in which nobody writes any more; none where a file is missing."""
    events: LineReader[Event] = LineReader(folder.events, Event)
    readings: LineReader[Reading] = LineReader(folder.readings, Reading)
    return Measurements(events.all(), readings.all(), events.skipped + readings.skipped)


def read_readings(path: Path) -> list[Reading]:
    """Return every reading in the readings.jsonl at `path`; none where there is no such file."""
    reader: LineReader[Reading] = LineReader(path, Reading)
    return reader.all()


class PhaseSpan(NamedTuple):
    """One occurrence of a phase: from `start` up to but without `end`, in seconds since the epoch."""

    phase: Phase
    start: float
    end: float


def phases(events: Iterable[Event]) -> list[PhaseSpan]:
    """Return every occurrence of a phase, by time. It ends where its peaks are reported or the next phase starts.

    The last one may have no end: readings of a worker that was killed belong to the phase it died in."""
    marks = [event for event in events if isinstance(event, PhaseStarted | PhasePeaks)]
    spans = []
    next_start = math.inf
    next_peaks: dict[Phase, float] = {}
    for mark in sorted(marks, key=lambda mark: mark.time)[::-1]:
        if isinstance(mark, PhaseStarted):
            spans.append(PhaseSpan(mark.phase, mark.time, min(next_start, next_peaks.get(mark.phase, math.inf))))
            next_start = mark.time
        else:
            next_peaks[mark.phase] = mark.time
    return spans[::-1]


def memory_peaks(
    readings: Sequence[Reading], events: Sequence[Event], baselines: Sequence[Reading] = ()
) -> list[MemoryPeak]:
    """The highest of each quantity in each phase, all occurrences of the phase together.

    A phase too short for a reading of its own has no sampled peak. `baselines`: read before the child started."""
    phase_order, quantity_order = list(Phase), list(Quantity)
    return sorted(
        [*_sampled_peaks(readings, events, baselines), *_reported_peaks(events)],
        key=lambda peak: (phase_order.index(peak.phase), quantity_order.index(peak.quantity), peak.sensor),
    )


def _sampled_peaks(
    readings: Sequence[Reading], events: Sequence[Event], baselines: Sequence[Reading]
) -> list[MemoryPeak]:
    spans = phases(events)
    starts = [span.start for span in spans]
    chips: dict[str, set[int | None]] = defaultdict(set)
    for reading in (*readings, *baselines):
        chips[reading.sensor].add(reading.chip)

    def total(round_: Sequence[Reading], sensor: str, quantity: Quantity) -> float | None:
        # A round that lacks a chip would pass for a smaller need of all of them.
        whole = {reading.chip for reading in round_} == chips[sensor]
        return total_mib(round_, quantity) if whole else None

    # A sensor gives all chips that it reads together the same time.
    rounds: dict[tuple[str, float], list[Reading]] = defaultdict(list)
    for reading in readings:
        rounds[reading.sensor, reading.time].append(reading)
    samples: dict[tuple[Phase, Quantity, str], list[float]] = defaultdict(list)
    for (sensor, moment), round_ in rounds.items():
        index = bisect_right(starts, moment) - 1
        if index < 0 or moment >= spans[index].end:
            continue
        for quantity in SAMPLED:
            if (mib := total(round_, sensor, quantity)) is not None:
                samples[spans[index].phase, quantity, sensor].append(mib)
    before = {sensor: [reading for reading in baselines if reading.sensor == sensor] for sensor in chips}
    return [
        MemoryPeak(
            phase=phase,
            quantity=quantity,
            sensor=sensor,
            peak_mib=max(values),
            baseline_mib=total(before[sensor], sensor, quantity),
            readings=len(values),
        )
        for (phase, quantity, sensor), values in samples.items()
    ]


def _reported_peaks(events: Iterable[Event]) -> list[MemoryPeak]:
    highest: dict[tuple[Phase, Quantity, str], float] = {}
    for event in events:
        if not isinstance(event, PhasePeaks):
            continue
        for quantity, sensor, mib in (
            (Quantity.ALLOCATOR_RESERVED, "torch", event.allocator_reserved_mib),
            (Quantity.ALLOCATOR_ALLOCATED, "torch", event.allocator_allocated_mib),
            (Quantity.RESIDENT, "linux", event.resident_mib),
        ):
            if mib is not None:
                key = event.phase, quantity, sensor
                highest[key] = max(mib, highest.get(key, mib))
    return [
        MemoryPeak(phase=phase, quantity=quantity, sensor=sensor, peak_mib=mib)
        for (phase, quantity, sensor), mib in highest.items()
    ]


def energy(readings: Iterable[Reading], interval_seconds: float) -> Energy | None:
    """Integrate power over time (trapezoids), summed over the chips; None where no chip tells its power twice.

    `interval_seconds`: how often the sensors were to be read; one that takes longer is known by its own pace. Between
    readings further apart than five of these the power is not known, so nothing is added for that time."""
    curves: dict[tuple[str, int | None], list[tuple[float, float]]] = defaultdict(list)
    temperatures = []
    for reading in readings:
        if reading.power_watts is not None:
            curves[reading.sensor, reading.chip].append((reading.time, reading.power_watts))
        if reading.temperature_celsius is not None:
            temperatures.append(reading.temperature_celsius)
    integrals = [_integrate(sorted(curve), interval_seconds) for curve in curves.values()]
    covered = [(joules, seconds) for joules, seconds in integrals if seconds > 0]
    if not covered:
        return None
    return Energy(
        watt_hours=sum(joules for joules, _ in covered) / 3600,
        mean_watts=sum(joules / seconds for joules, seconds in covered),
        covered_seconds=min(seconds for _, seconds in covered),
        max_temperature_celsius=max(temperatures, default=None),
    )


def _integrate(curve: Sequence[tuple[float, float]], interval_seconds: float) -> tuple[float, float]:
    """Return the joules below a curve of watts by seconds, and the seconds that they are of: all but its holes."""
    steps = [(t1 - t0, (watts0 + watts1) / 2) for (t0, watts0), (t1, watts1) in pairwise(curve) if t1 > t0]
    # A single step has no pace that it could be longer than.
    own_pace_seconds = statistics.median_low(seconds for seconds, _ in steps) if len(steps) > 1 else 0.0
    longest_seconds = _HOLE_INTERVALS * max(interval_seconds, own_pace_seconds)
    whole = [(seconds, watts) for seconds, watts in steps if seconds <= longest_seconds]
    return sum(seconds * watts for seconds, watts in whole), sum(seconds for seconds, _ in whole)
