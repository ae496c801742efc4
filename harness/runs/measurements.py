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

from harness.devices.reading import SAMPLED, Quantity, Reading, total_mib
from harness.runs.events import Event, Phase, PhasePeaks, PhaseStarted, read_lines
from harness.runs.folder import WorkFolder
from harness.runs.record import Energy, MemoryPeak, Sharing

_HOLE_INTERVALS = 5
"""Readings that are further apart than so many intervals leave a hole: nobody knows the power within."""
_IDLE_PERCENT = 5.0
"""A chip that is busier than this before a run works for somebody else: how much it takes idle is not known then."""
_TRAINING = (Phase.TRAIN, Phase.VALIDATE)


class Measurements(NamedTuple):
    """What was measured in a folder of a run or of a target, in the order in which it was written."""

    events: list[Event]
    readings: list[Reading]
    unread_lines: int
    """Of both files together: torn ones, and those of a kind that this version does not know."""


def read(folder: WorkFolder) -> Measurements:
    """Read the events and the readings of a folder in which nobody writes any more; none where a file is missing."""
    events, unread_events = read_lines(folder.events, Event)
    readings, unread_readings = read_lines(folder.readings, Reading)
    return Measurements(events, readings, unread_events + unread_readings)


def read_readings(path: Path) -> list[Reading]:
    """Return every reading in the readings.jsonl at `path`; none where there is no such file."""
    readings: list[Reading] = read_lines(path, Reading)[0]
    return readings


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
        phase = _phase_at(moment, spans, starts)
        if phase is None:
            continue
        for quantity in SAMPLED:
            if (mib := total(round_, sensor, quantity)) is not None:
                samples[phase, quantity, sensor].append(mib)
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


def sharing(readings: Sequence[Reading], events: Sequence[Event]) -> Sharing | None:
    """Return who else used the machine while the run trained and validated; None: no training was begun."""
    spans = phases(events)
    if not any(span.phase in _TRAINING for span in spans):
        return None
    starts = [span.start for span in spans]
    cpu_percents: list[float] = []
    rounds: dict[tuple[str, float], list[int | None]] = defaultdict(list)
    for reading in readings:
        if _phase_at(reading.time, spans, starts) not in _TRAINING:
            continue
        if reading.others_cpu_percent is not None:
            cpu_percents.append(reading.others_cpu_percent)
        if reading.chip is not None:
            rounds[reading.sensor, reading.time].append(reading.other_processes)
    # One chip that does not tell leaves it open how many there were.
    counts = [sum(filter(None, counted)) for counted in rounds.values() if None not in counted]
    return Sharing(
        others_cpu_percent=max(0.0, statistics.fmean(cpu_percents)) if cpu_percents else None,
        others_on_chips=max(counts, default=None),
    )


def _phase_at(moment: float, spans: Sequence[PhaseSpan], starts: Sequence[float]) -> Phase | None:
    """The phase of `spans` that a moment lies in. `starts`: theirs."""
    index = bisect_right(starts, moment) - 1
    return spans[index].phase if index >= 0 and moment < spans[index].end else None


def energy(readings: Iterable[Reading], interval_seconds: float, baselines: Sequence[Reading] = ()) -> Energy | None:
    """Integrate power over time (trapezoids), summed over the chips; None where no chip tells its power twice.

    `interval_seconds`: how often the sensors were to be read; one that takes longer is known by its own pace. Between
    readings further apart than five of these the power is not known, so nothing is added for that time.
    `baselines`: read before the run. What a chip took then is what it takes idle, unless one of them was busy, or does
    not tell."""
    curves: dict[tuple[str, int | None], list[tuple[float, float]]] = defaultdict(list)
    temperatures = []
    for reading in readings:
        if reading.power_watts is not None:
            curves[reading.sensor, reading.chip].append((reading.time, reading.power_watts))
        if reading.temperature_celsius is not None:
            temperatures.append(reading.temperature_celsius)
    integrals = {chip: _integrate(sorted(curve), interval_seconds) for chip, curve in curves.items()}
    covered = {chip: (joules, seconds) for chip, (joules, seconds) in integrals.items() if seconds > 0}
    if not covered:
        return None
    joules = sum(joules for joules, _ in covered.values())
    idle_watts = _idle_watts(covered, baselines)
    idle_joules = None if idle_watts is None else sum(idle_watts[chip] * covered[chip][1] for chip in covered)
    return Energy(
        watt_hours=joules / 3600,
        mean_watts=sum(joules / seconds for joules, seconds in covered.values()),
        covered_seconds=min(seconds for _, seconds in covered.values()),
        idle_watts=None if idle_watts is None else sum(idle_watts.values()),
        above_idle_watt_hours=None if idle_joules is None else max(0.0, joules - idle_joules) / 3600,
        max_temperature_celsius=max(temperatures, default=None),
    )


def _idle_watts(
    chips: Iterable[tuple[str, int | None]], baselines: Sequence[Reading]
) -> dict[tuple[str, int | None], float] | None:
    """What each of these chips takes idle; None where one of them does not tell, or any of the run's may be busy."""
    on_chips = [reading for reading in baselines if reading.chip is not None]
    if any(reading.utilization_percent is None or reading.utilization_percent > _IDLE_PERCENT for reading in on_chips):
        return None
    told = {(reading.sensor, reading.chip): reading.power_watts for reading in on_chips}
    watts = {chip: told.get(chip) for chip in chips}
    known = {chip: power for chip, power in watts.items() if power is not None}
    return known if len(known) == len(watts) else None


def _integrate(curve: Sequence[tuple[float, float]], interval_seconds: float) -> tuple[float, float]:
    """Return the joules below a curve of watts by seconds, and the seconds that they are of: all but its holes."""
    steps = [(t1 - t0, (watts0 + watts1) / 2) for (t0, watts0), (t1, watts1) in pairwise(curve) if t1 > t0]
    # A single step has no pace that it could be longer than.
    own_pace_seconds = statistics.median_low(seconds for seconds, _ in steps) if len(steps) > 1 else 0.0
    longest_seconds = _HOLE_INTERVALS * max(interval_seconds, own_pace_seconds)
    whole = [(seconds, watts) for seconds, watts in steps if seconds <= longest_seconds]
    return sum(seconds * watts for seconds, watts in whole), sum(seconds for seconds, _ in whole)
