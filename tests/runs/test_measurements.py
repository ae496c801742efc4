from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.devices.reading import Quantity, Reading
from harness.runs.events import Event, Phase, PhasePeaks, PhaseStarted, TrainingStep
from harness.runs.folder import RunFolder, TargetFolder
from harness.runs.measurements import Measurements, PhaseSpan, memory_peaks, phases, read, read_readings, sharing
from harness.runs.record import MemoryPeak, Sharing
from tests.devices.stand_ins import unhurried

START = 1_700_000_000.0


def started(seconds: float, phase: Phase) -> PhaseStarted:
    return PhaseStarted(time=START + seconds, phase=phase)


def on_chip(seconds: float, mib: float | None, chip: int = 0, process: float | None = None) -> Reading:
    return Reading(time=START + seconds, sensor="nvml", chip=chip, device_used_mib=mib, process_mib=process)


def on_host(seconds: float, mib: float | None) -> Reading:
    return Reading(time=START + seconds, sensor="psutil", device_used_mib=9999, process_mib=mib)


def peak(peaks: Sequence[MemoryPeak], phase: Phase, quantity: Quantity) -> MemoryPeak | None:
    found = [one for one in peaks if (one.phase, one.quantity) == (phase, quantity)]
    assert len(found) <= 1
    return found[0] if found else None


def test_a_phase_ends_where_the_next_starts_or_its_peaks_are_told() -> None:
    events: list[Event] = [
        started(0, Phase.LOAD),
        started(10, Phase.TRAIN),
        PhasePeaks(time=START + 10.1, phase=Phase.LOAD),
        TrainingStep(time=START + 11, step=1, tokens=5),
        started(20, Phase.SAVE),
        PhasePeaks(time=START + 25, phase=Phase.SAVE),
        started(30, Phase.EVALUATE),
    ]
    assert phases(events) == [
        PhaseSpan(Phase.LOAD, START, START + 10),
        PhaseSpan(Phase.TRAIN, START + 10, START + 20),
        PhaseSpan(Phase.SAVE, START + 20, START + 25),
        PhaseSpan(Phase.EVALUATE, START + 30, math.inf),
    ]


def ends_by_looking_at_each_later_mark(events: Sequence[Event]) -> list[PhaseSpan]:
    marks = [event for event in events if isinstance(event, PhaseStarted | PhasePeaks)]
    spans = []
    for mark in marks:
        if isinstance(mark, PhaseStarted):
            later = [
                other.time
                for other in marks
                if other.time > mark.time and (isinstance(other, PhaseStarted) or other.phase is mark.phase)
            ]
            spans.append(PhaseSpan(mark.phase, mark.time, min(later, default=math.inf)))
    return sorted(spans, key=lambda span: span.start)


@unhurried
@given(
    st.lists(
        st.tuples(st.sampled_from([PhaseStarted, PhasePeaks]), st.integers(0, 60), st.sampled_from(Phase)),
        unique_by=lambda mark: mark[1],
        max_size=30,
    )
)
def test_every_phase_ends_at_the_first_mark_behind_it_that_can_end_it(
    marks: list[tuple[type[PhaseStarted] | type[PhasePeaks], int, Phase]],
) -> None:
    events: list[Event] = [kind(time=START + second, phase=phase) for kind, second, phase in marks]
    assert phases(events) == ends_by_looking_at_each_later_mark(events)


def test_a_reading_counts_for_the_phase_it_was_taken_in() -> None:
    events = [started(0, Phase.LOAD), started(10, Phase.TRAIN)]
    readings = [on_chip(-1, 999), on_chip(9.9, 100), on_chip(10, 200), on_chip(500, 300)]
    peaks = memory_peaks(readings, events, [on_chip(-5, 40)])
    assert peaks == [
        MemoryPeak(phase=phase, quantity=Quantity.DEVICE, sensor="nvml", peak_mib=mib, baseline_mib=40, readings=count)
        for phase, mib, count in ((Phase.LOAD, 100, 1), (Phase.TRAIN, 300, 2))
    ]


def test_what_is_read_after_the_last_phase_counts_for_none() -> None:
    events: list[Event] = [started(0, Phase.SAVE), PhasePeaks(time=START + 10, phase=Phase.SAVE)]
    peaks = memory_peaks([on_chip(5, 100), on_chip(10, 900)], events)
    assert [one.peak_mib for one in peaks] == [100]


def test_occurrences_of_a_phase_join_and_one_too_short_for_a_reading_borrows_none() -> None:
    events = [
        started(0, Phase.TRAIN),
        started(10, Phase.VALIDATE),
        started(10.2, Phase.TRAIN),
        started(20, Phase.SAVE),
    ]
    peaks = memory_peaks([on_chip(5, 700), on_chip(15, 600)], events)
    assert [(one.phase, one.peak_mib, one.readings) for one in peaks] == [(Phase.TRAIN, 700, 2)]


def test_the_peak_of_several_chips_is_that_of_their_sum() -> None:
    readings = [on_chip(1, 100, 0), on_chip(1, 10, 1), on_chip(2, 20, 0), on_chip(2, 70, 1)]
    peaks = memory_peaks(readings, [started(0, Phase.TRAIN)], [on_chip(-1, 5, 0), on_chip(-1, 6, 1)])
    assert [(one.peak_mib, one.baseline_mib, one.readings) for one in peaks] == [(110, 11, 2)]


@pytest.mark.parametrize("second_chip", [[], [on_chip(2, None, 1)]], ids=["missing", "does not tell"])
def test_a_round_without_one_of_the_chips_makes_no_sum(second_chip: list[Reading]) -> None:
    readings = [on_chip(1, 100, 0), on_chip(1, 10, 1), on_chip(2, 900, 0), *second_chip]
    peaks = memory_peaks(readings, [started(0, Phase.TRAIN)], [on_chip(-1, 5, 0)])
    assert [(one.peak_mib, one.baseline_mib, one.readings) for one in peaks] == [(110, None, 1)]


def test_memory_of_the_host_and_of_the_chip_are_kept_apart() -> None:
    readings = [on_chip(1, 800, process=500), on_host(1.1, 60), on_host(1.2, 80), on_host(1.3, None)]
    peaks = memory_peaks(readings, [started(0, Phase.TRAIN)], [on_chip(-1, 300), on_host(-1, None)])
    assert [(one.quantity, one.sensor, one.peak_mib, one.baseline_mib, one.readings) for one in peaks] == [
        (Quantity.DEVICE, "nvml", 800, 300, 1),
        (Quantity.PROCESS, "nvml", 500, None, 1),
        (Quantity.HOST, "psutil", 80, None, 2),
    ]


def test_what_the_child_measured_itself_is_exact_and_the_highest_of_all_occurrences() -> None:
    events = [
        PhasePeaks(phase=Phase.TRAIN, allocator_allocated_mib=5, allocator_reserved_mib=8, resident_mib=30),
        PhasePeaks(phase=Phase.TRAIN, allocator_allocated_mib=7, allocator_reserved_mib=7),
        PhasePeaks(phase=Phase.LOAD, resident_mib=20),
    ]
    told = [(one.phase, one.quantity, one.sensor, one.peak_mib, one.readings) for one in memory_peaks([], events)]
    assert told == [
        (Phase.LOAD, Quantity.RESIDENT, "linux", 20, None),
        (Phase.TRAIN, Quantity.ALLOCATOR_RESERVED, "torch", 8, None),
        (Phase.TRAIN, Quantity.ALLOCATOR_ALLOCATED, "torch", 7, None),
        (Phase.TRAIN, Quantity.RESIDENT, "linux", 30, None),
    ]


def beside(seconds: float, cpu_percent: float | None) -> Reading:
    return Reading(time=START + seconds, sensor="psutil", others_cpu_percent=cpu_percent)


def held_by(seconds: float, others: int | None, chip: int = 0) -> Reading:
    return Reading(time=START + seconds, sensor="nvml", chip=chip, other_processes=others)


TRAINED = [started(0, Phase.LOAD), started(10, Phase.TRAIN), started(20, Phase.VALIDATE), started(30, Phase.SAVE)]


def test_who_else_used_the_processors_counts_while_the_run_trains_and_validates() -> None:
    readings = [beside(5, 900.0), beside(12, 10.0), beside(13, None), beside(22, 40.0), beside(35, 900.0)]
    assert sharing(readings, TRAINED) == Sharing(others_cpu_percent=25.0, others_on_chips=None)


def test_the_most_strangers_that_were_on_the_runs_chips_at_once_are_told() -> None:
    readings = [
        *(held_by(5, 9), held_by(5, 9, 1)),
        *(held_by(11, 1), held_by(11, 0, 1)),
        *(held_by(12, 1), held_by(12, 2, 1)),
        *(held_by(13, 2), held_by(13, 0, 1)),
        *(held_by(14, 7), held_by(14, None, 1)),
    ]
    assert sharing(readings, TRAINED) == Sharing(others_cpu_percent=None, others_on_chips=3)


def test_a_machine_that_the_run_had_to_itself_is_told_as_such_and_one_that_does_not_tell_is_not() -> None:
    alone = sharing([beside(12, 0.0), beside(13, -0.5), held_by(12, 0)], TRAINED)
    assert alone == Sharing(others_cpu_percent=0.0, others_on_chips=0)
    assert sharing([on_host(12, 60), held_by(12, None)], TRAINED) == Sharing()
    assert sharing([], TRAINED) == Sharing()


def test_a_run_that_did_not_come_to_train_shared_nothing() -> None:
    assert sharing([beside(5, 900.0)], [started(0, Phase.LOAD)]) is None


def test_readings_of_an_older_version_say_nothing_of_others(tmp_path: Path) -> None:
    file = tmp_path / "readings.jsonl"
    file.write_text('{"time": 1.0, "sensor": "psutil", "process_mib": 3.0}\n')
    (old,) = read_readings(file)
    assert (old.others_cpu_percent, old.other_processes, old.process_mib) == (None, None, 3.0)


mib = st.none() | st.integers(0, 80_000)
seconds = st.integers(0, 60)


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Reading], list[Event]]:
    events: list[Event] = [
        started(second, draw(st.sampled_from(Phase))) for second in draw(st.lists(seconds, unique=True, max_size=8))
    ]
    readings = []
    for second in draw(st.lists(seconds, unique=True, max_size=30)):
        readings += [on_chip(second, draw(mib), chip, draw(mib)) for chip in (0, 1)]
        readings.append(on_host(second, draw(mib)))
    return readings, events


@unhurried
@given(runs())
def test_a_peak_is_the_highest_sum_of_its_phase(run: tuple[list[Reading], list[Event]]) -> None:
    readings, events = run
    peaks = memory_peaks(readings, events)
    sums: dict[Phase, list[float]] = {}
    for span in phases(events):
        for first, second in zip(readings[::3], readings[1::3], strict=True):
            told = first.device_used_mib, second.device_used_mib
            if span.start <= first.time < span.end and None not in told:
                sums.setdefault(span.phase, []).append(told[0] + told[1])  # type: ignore[operator]
    for phase in Phase:
        found = peak(peaks, phase, Quantity.DEVICE)
        assert (found and (found.peak_mib, found.readings)) == (
            (max(sums[phase]), len(sums[phase])) if phase in sums else None
        )


@unhurried
@given(runs(), st.randoms())
def test_the_order_of_readings_and_events_does_not_matter(
    run: tuple[list[Reading], list[Event]], order: random.Random
) -> None:
    readings, events = run
    shuffled, mixed = order.sample(readings, len(readings)), order.sample(events, len(events))
    assert memory_peaks(shuffled, mixed) == memory_peaks(readings, events)


@unhurried
@given(runs(), st.integers(0, 80_000))
def test_one_more_reading_never_lowers_a_peak(run: tuple[list[Reading], list[Event]], extra: int) -> None:
    readings, events = run
    more = memory_peaks([*readings, on_host(30.5, extra)], events)
    for before in memory_peaks(readings, events):
        after = peak(more, before.phase, before.quantity)
        assert after is not None
        assert after.peak_mib >= before.peak_mib


@pytest.mark.parametrize("folder", [RunFolder(Path("run")), TargetFolder(Path("target"))])
def test_what_a_run_left_is_read_and_what_cannot_be_read_is_counted(
    folder: RunFolder | TargetFolder, tmp_path: Path
) -> None:
    folder = type(folder)(tmp_path / folder.path)
    folder.path.mkdir()
    assert read(folder) == Measurements([], [], 0)
    event, reading = started(1, Phase.LOAD), on_chip(1, 100)
    lines = event.model_dump_json(), reading.model_dump_json()
    folder.events.write_text(f'{lines[0]}\n{{"kind": "of a later version"}}\n{lines[0]}\n{lines[0][:20]}')
    folder.readings.write_text(f"{lines[1]}\n\n{lines[1][:20]}\n{lines[1]}\n")
    assert read(folder) == Measurements([event, event], [reading, reading], 3)
    assert read_readings(folder.readings) == [reading, reading]


def test_a_missing_file_has_no_readings(tmp_path: Path) -> None:
    assert read_readings(tmp_path / "readings.jsonl") == []
