"""From readings and events to the peaks and the energy that a record keeps."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from harness.devices.journal import read_readings
from harness.devices.quantities import SAMPLED, total_mib
from harness.devices.reading import Quantity, Reading
from harness.runs.events import Event, Phase, PhasePeaks, PhaseStarted
from harness.runs.record import Energy, MemoryPeak

__all__ = ["PhaseSpan", "energy", "memory_peaks", "phases", "read_readings"]


class PhaseSpan(NamedTuple):
    """One occurrence of a phase: from `start` up to but without `end`, in seconds since the epoch."""

    phase: Phase
    start: float
    end: float


def phases(events: Iterable[Event]) -> list[PhaseSpan]:
    """In order of time. A phase ends where its peaks are reported or the next one starts.

    The last one may have no end: readings of a child that was killed belong to the phase it died in."""
    marks = sorted(
        (event for event in events if isinstance(event, PhaseStarted | PhasePeaks)),
        key=lambda event: event.time,
    )
    spans = []
    for index, mark in enumerate(marks):
        if isinstance(mark, PhaseStarted):
            ends = (
                later.time
                for later in marks[index + 1 :]
                if isinstance(later, PhaseStarted) or later.phase is mark.phase
            )
            spans.append(PhaseSpan(mark.phase, mark.time, next(ends, math.inf)))
    return spans


def memory_peaks(
    readings: Sequence[Reading], events: Sequence[Event], baselines: Sequence[Reading] = ()
) -> list[MemoryPeak]:
    """The highest of each quantity in each phase, all occurrences of the phase together.

    A phase too short for a reading of its own has no sampled peak. `baselines`: read before the child started."""
    peaks = [*_sampled_peaks(readings, events, baselines), *_reported_peaks(events)]
    phase_order, quantity_order = list(Phase), list(Quantity)
    return sorted(
        peaks,
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

    samples: dict[tuple[Phase, Quantity, str], list[float]] = defaultdict(list)
    for (sensor, moment), round_ in _rounds(readings).items():
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


def _rounds(readings: Iterable[Reading]) -> dict[tuple[str, float], list[Reading]]:
    """A sensor gives all chips that it reads together the same time."""
    rounds: dict[tuple[str, float], list[Reading]] = defaultdict(list)
    for reading in readings:
        rounds[reading.sensor, reading.time].append(reading)
    return rounds


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


def energy(readings: Iterable[Reading]) -> Energy | None:
    """Power integrated over time (trapezoids), summed over the chips; None where none tells it twice."""
    power: dict[tuple[str, int | None], list[tuple[float, float]]] = defaultdict(list)
    temperatures = []
    for reading in readings:
        if reading.power_watts is not None:
            power[reading.sensor, reading.chip].append((reading.time, reading.power_watts))
        if reading.temperature_celsius is not None:
            temperatures.append(reading.temperature_celsius)
    integrals = []
    for curve in power.values():
        curve.sort()
        seconds = curve[-1][0] - curve[0][0]
        if seconds > 0:
            joules = sum((t1 - t0) * (watts0 + watts1) / 2 for (t0, watts0), (t1, watts1) in pairwise(curve))
            integrals.append((joules, joules / seconds))
    if not integrals:
        return None
    return Energy(
        watt_hours=sum(joules for joules, _ in integrals) / 3600,
        mean_watts=sum(watts for _, watts in integrals),
        max_temperature_celsius=max(temperatures, default=None),
    )
