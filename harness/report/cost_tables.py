"""The tables of what memory, time and energy went to. None: there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from statistics import fmean
from typing import TypeVar

from harness.comparison.arms import Arm
from harness.comparison.columns import by_quantity
from harness.comparison.foretold import foretold
from harness.comparison.metrics import STEP_SECONDS
from harness.comparison.parts import MeasuredPart, TimePart, memory_parts, time_parts
from harness.comparison.runs import Run
from harness.devices.reading import Quantity
from harness.report.document import Cell, Number, Table
from harness.report.markdown import joined
from harness.report.numbers import number
from harness.report.tables import listed_values, make, mean, plain_number
from harness.report.text import Text
from harness.runs.events import Phase
from harness.runs.record import MemoryPeak, Outcome, Record

Part = TypeVar("Part", bound=StrEnum)


def memory_phases_table(arms: Sequence[Arm], text: Text) -> Table | None:
    """Return the highest memory of each phase, a row for each quantity of an arm."""
    rows: list[list[Cell]] = []
    by_arm = [(arm, _peaks_of(arm.completed)) for arm in arms]
    for quantity in Quantity:
        for arm, peaks_of in by_arm:
            if peaks := peaks_of.get(quantity):
                highest: dict[Phase, float] = {}
                for peak in peaks:
                    highest[peak.phase] = max(peak.peak_mib, highest.get(peak.phase, peak.peak_mib))
                sensors = joined(sorted({peak.sensor for peak in peaks}))
                cells = [plain_number(highest.get(phase)) for phase in Phase]
                rows.append([arm.label, text.QUANTITIES[quantity], sensors, *cells])
    return make(text, "memory-phases", [*text.PHASE_HEADERS, *(text.PHASES[phase] for phase in Phase)], rows)


def _peaks_of(runs: Iterable[Run]) -> dict[Quantity, list[MemoryPeak]]:
    return by_quantity(peak for run in runs for peak in run.record.memory)


def memory_parts_table(arms: Sequence[Arm], text: Text) -> Table | None:
    """Return what the peak of training consists of, a row an arm."""
    rows: list[list[Cell]] = []
    for arm in arms:
        found = [parts for run in arm.completed if (parts := memory_parts(run.record)) is not None]
        for quantity in dict.fromkeys(parts.quantity for parts in found):
            several = [parts for parts in found if parts.quantity is quantity]
            means = _means([parts.mib for parts in several], MeasuredPart)
            peak = fmean(parts.peak_mib for parts in several)
            rows.append([arm.label, text.QUANTITIES[quantity], plain_number(peak), *map(plain_number, means)])
    return make(text, "memory-parts", [*text.PARTS_HEADERS, *(text.MEMORY_PARTS[part] for part in MeasuredPart)], rows)


def forecast_table(arms: Sequence[Arm], text: Text) -> Table | None:
    """Return what was forecast of the peak of training beside what was measured, three rows an arm."""
    rows: list[list[Cell]] = []
    for arm in arms:
        found = [told for run in arm.completed if (told := foretold(run.record)) is not None]
        for quantity in dict.fromkeys(told.quantity for told in found):
            several = [told for told in found if told.quantity is quantity]
            forecast = fmean(told.forecast_mib for told in several)
            measured = fmean(told.measured_mib for told in several)
            of_forecast = _means([told.forecast_parts_mib for told in several], MeasuredPart)
            of_measured = _means([told.measured_parts_mib for told in several], MeasuredPart)
            errors = [
                None if ours is None or theirs is None else ours - theirs
                for ours, theirs in zip(of_forecast, of_measured, strict=True)
            ]
            share = number(100 * (forecast / measured - 1), 1, sign=True)
            rows += [
                [arm.label, text.FORECAST, plain_number(forecast), *map(plain_number, of_forecast)],
                ["", text.QUANTITIES[quantity], plain_number(measured), *map(plain_number, of_measured)],
                [
                    "",
                    text.FORECAST_ERROR,
                    f"{number(forecast - measured, sign=True)} ({share}%)",
                    *map(_signed, errors),
                ],
            ]
    headers = [*text.FORECAST_HEADERS, *(text.MEMORY_PARTS[part] for part in MeasuredPart)]
    return make(text, "forecast", headers, rows)


def _signed(mib: float | None) -> Number | None:
    return None if mib is None else Number(number(mib, sign=True), (mib,))


def fitting(arms: Sequence[Arm], text: Text) -> list[str]:
    """Return of each arm that ran out of memory what would have fitted, as it was forecast."""
    told = []
    for arm in arms:
        full = [run.record for run in arm.runs if run.record.status is Outcome.OUT_OF_MEMORY]
        forecast = next((record.forecast for record in full if record.forecast is not None), None)
        if forecast is None:
            continue
        peak, rows = forecast.peak, forecast.largest.get(forecast.tokens)
        needs = text.NEEDED.format(
            arm=arm.label, rows=forecast.rows, tokens=forecast.tokens, mib=number(peak.peak_device_mib)
        )
        told.append(needs if not rows else f"{needs} {text.FITTING.format(rows=rows)}")
    return told


def _means(several: Sequence[Mapping[Part, float]], parts: Iterable[Part]) -> list[float | None]:
    values = [[each[part] for each in several if part in each] for part in parts]
    return [fmean(of_part) if of_part else None for of_part in values]


def sensors_table(runs: Sequence[Run], text: Text) -> Table | None:
    """Return which quantities of memory were measured, by what and how."""
    rows: list[list[Cell]] = []
    peaks_of = _peaks_of(runs)
    for quantity in Quantity:
        if peaks := peaks_of.get(quantity):
            readings = [peak.readings for peak in peaks if peak.readings is not None]
            how = text.SAMPLED.format(fewest=min(readings), most=max(readings)) if readings else text.HIGH_WATER_MARK
            sensors = joined(sorted({peak.sensor for peak in peaks}))
            rows.append([text.QUANTITIES[quantity], text.MEMORY_MEANS[quantity], sensors, how])
    return make(text, "sensors", text.SENSOR_HEADERS, rows, figures=False)


# Time and energy.


def lived_rows(arms: Sequence[Arm], text: Text) -> list[Sequence[Cell]]:
    """Return the wall times that are no metric, in the form of `values_table`."""
    tell: dict[str, Callable[[Record], float | None]] = {
        text.WALL_SECONDS: lambda record: record.wall_seconds,
        text.EVALUATION_SECONDS: lambda record: None if record.score is None else record.score.seconds,
    }
    rows: list[Sequence[Cell]] = []
    for name, seconds_of in tell.items():
        for arm in arms:
            found = {
                seed: seconds for seed, run in arm.by_seed.items() if (seconds := seconds_of(run.record)) is not None
            }
            if found:
                values = list(found.values())
                cells = listed_values(STEP_SECONDS, values, text), plain_number(mean(STEP_SECONDS, values))
                rows.append([name, arm.label, text.counted_seeds(list(found)), *cells])
    return rows


def time_parts_table(arms: Sequence[Arm], text: Text) -> Table | None:
    """Return what a run's wall time went to, a row an arm."""
    rows: list[list[Cell]] = []
    for arm in arms:
        told = [run.record for run in arm.completed if time_parts(run.record)]
        if told:
            means = _means([time_parts(record) for record in told], TimePart)
            # A run that was scored anew has none of its own.
            wholes = [record.wall_seconds for record in told if record.wall_seconds is not None]
            rows.append([arm.label, plain_number(fmean(wholes) if wholes else None), *map(plain_number, means)])
    return make(text, "time-parts", [*text.TIME_PARTS_HEADERS, *(text.TIME_PARTS[part] for part in TimePart)], rows)


def power_table(arms: Sequence[Arm], text: Text) -> Table | None:
    """Return how the chips were doing, a row an arm."""
    rows: list[list[Cell]] = []
    for arm in arms:
        energies = [run.record.energy for run in arm.completed if run.record.energy is not None]
        if energies:
            temperatures = [energy.max_temperature_celsius for energy in energies]
            rows.append(
                [
                    arm.label,
                    plain_number(_mean_of(energy.mean_watts for energy in energies)),
                    plain_number(_mean_of(energy.idle_watts for energy in energies)),
                    plain_number(max((each for each in temperatures if each is not None), default=None), 0),
                    plain_number(_mean_of(energy.covered_seconds for energy in energies)),
                ]
            )
    return make(text, "power", text.ENERGY_HEADERS, rows)


def _mean_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
