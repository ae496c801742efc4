"""The pace of a training is that of its steps, and of nothing that comes between them."""

from __future__ import annotations

import pytest

from harness.runs.events import Event, Phase, PhasePeaks, PhaseStarted, TrainingStarted, TrainingStep
from harness.runs.timing import phase_seconds, step_time


def training(
    *seconds: float, pauses: dict[int, tuple[Phase, float]] | None = None, start: float = 100.0
) -> list[Event]:
    """A training whose steps take so many seconds; `pauses` come after a step."""
    events: list[Event] = [
        PhaseStarted(time=start - 50, phase=Phase.LOAD),
        TrainingStarted(time=start, total_steps=len(seconds)),
        PhasePeaks(time=start, phase=Phase.LOAD),
        PhaseStarted(time=start, phase=Phase.TRAIN),
    ]
    now = start
    for step, duration in enumerate(seconds, 1):
        now += duration
        events.append(TrainingStep(time=now, step=step, tokens=10 * step))
        if pauses and step in pauses:
            phase, pause = pauses[step]
            events += [PhasePeaks(time=now, phase=Phase.TRAIN), PhaseStarted(time=now, phase=phase)]
            now += pause
            events += [PhasePeaks(time=now, phase=phase), PhaseStarted(time=now, phase=Phase.TRAIN)]
    return [*events, PhasePeaks(time=now, phase=Phase.TRAIN), PhaseStarted(time=now, phase=Phase.SAVE)]


def test_the_pace_is_the_median_of_the_steps_after_the_warm_up() -> None:
    found = step_time(training(30.0, 5.0, 4.0, 1.0, 9.0, 2.0))
    assert found is not None
    assert found == (2.0, 3, 39.0)


@pytest.mark.parametrize(("steps", "warmup"), [(6, 3), (60, 3), (61, 4), (200, 10), (1001, 51)])
def test_the_warm_up_is_three_steps_or_a_twentieth_where_that_is_more(steps: int, warmup: int) -> None:
    found = step_time(training(*[8.0] * warmup, *[1.0] * (steps - warmup)))
    assert found is not None
    assert found == (1.0, warmup, 8.0 * warmup)


@pytest.mark.parametrize("steps", range(6))
def test_fewer_than_three_steps_after_the_warm_up_have_no_pace(steps: int) -> None:
    assert step_time(training(*[1.0] * steps)) is None


def test_a_validation_and_a_checkpoint_between_two_steps_are_no_part_of_either() -> None:
    pauses = {2: (Phase.VALIDATE, 500.0), 4: (Phase.VALIDATE, 70.0), 5: (Phase.SAVE, 30.0), 6: (Phase.SAVE, 40.0)}
    assert step_time(training(*[2.0] * 7, pauses=pauses)) == (2.0, 3, 6.0)


def test_a_step_that_was_not_read_costs_the_two_beside_it() -> None:
    events = [
        event
        for event in training(1.0, 1.0, 1.0, 2.0, 50.0, 50.0, 2.0, 2.0)
        if not (isinstance(event, TrainingStep) and event.step == 5)
    ]
    assert step_time(events) == (2.0, 3, 3.0)


def test_a_run_that_never_trained_has_no_pace() -> None:
    assert step_time([PhaseStarted(time=1.0, phase=Phase.LOAD)]) is None


def test_a_phase_is_as_long_as_all_of_its_occurrences() -> None:
    pauses = {2: (Phase.VALIDATE, 5.0), 4: (Phase.VALIDATE, 7.0)}
    events = training(*[2.0] * 6, pauses=pauses)
    ended = events[-1].time + 3.0
    # Between the workers nobody was at it.
    evaluated: list[Event] = [
        PhasePeaks(time=ended, phase=Phase.SAVE),
        PhaseStarted(time=ended + 10, phase=Phase.EVALUATE),
        PhasePeaks(time=ended + 21, phase=Phase.EVALUATE),
        PhaseStarted(time=ended + 22, phase=Phase.EVALUATE),
        PhasePeaks(time=ended + 24, phase=Phase.EVALUATE),
    ]
    assert phase_seconds([*events, *evaluated], ended + 30) == {
        Phase.LOAD: 50.0,
        Phase.TRAIN: 12.0,
        Phase.VALIDATE: 12.0,
        Phase.SAVE: 3.0,
        Phase.EVALUATE: 13.0,
    }


def test_what_was_under_way_when_a_run_was_killed_lasted_until_then() -> None:
    died = training(1.0, 1.0)[:-2]
    assert phase_seconds(died, 106.0) == {Phase.LOAD: 50.0, Phase.TRAIN: 6.0}
