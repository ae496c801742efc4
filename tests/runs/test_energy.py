from __future__ import annotations

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.devices.reading import Reading
from harness.runs.measurements import energy
from tests.devices.stand_ins import unhurried

START = 1_700_000_000.0
INTERVAL = 1.0


def drawing(second: float, watts: float | None, chip: int = 0, celsius: float | None = None) -> Reading:
    return Reading(time=START + second, sensor="nvml", chip=chip, power_watts=watts, temperature_celsius=celsius)


def before(watts: float | None, chip: int = 0, percent: float | None = 0.0) -> Reading:
    return Reading(time=START - 1, sensor="nvml", chip=chip, power_watts=watts, utilization_percent=percent)


HOST = Reading(time=START - 1, sensor="psutil", utilization_percent=99.0)
"""The processor's use says nothing of the chips'."""


steps = st.floats(0.01, 5 * INTERVAL)


@unhurried
@given(st.lists(steps, min_size=1, max_size=20), st.floats(0, 2000), st.integers(1, 8), st.randoms())
def test_constant_power_gives_power_times_time(
    gaps: list[float], watts: float, chips: int, order: random.Random
) -> None:
    moments = [0.0, *accumulate(gaps)]
    readings = [drawing(moment, watts, chip) for moment in moments for chip in range(chips)]
    order.shuffle(readings)
    measured = energy(readings, INTERVAL + 1e-3)
    assert measured is not None
    assert measured.watt_hours == pytest.approx(chips * watts * moments[-1] / 3600, rel=1e-4)
    assert measured.mean_watts == pytest.approx(chips * watts)
    assert measured.covered_seconds == pytest.approx(moments[-1], rel=1e-4)


@unhurried
@given(
    st.lists(st.integers(3, 60), min_size=1, max_size=4),
    st.floats(5.01 * INTERVAL, 1e5),
    st.floats(1, 2000),
)
def test_a_hole_between_readings_is_not_filled_and_what_is_left_is_told(
    stretches: list[int], hole: float, watts: float
) -> None:
    readings, start = [], 0.0
    for count in stretches:
        readings += [drawing(start + tick * INTERVAL, watts) for tick in range(count)]
        start = readings[-1].time - START + hole
    measured = energy(readings, INTERVAL)
    seconds = sum((count - 1) * INTERVAL for count in stretches)
    assert measured is not None
    assert measured.covered_seconds == pytest.approx(seconds, rel=1e-4)
    assert measured.watt_hours == pytest.approx(watts * seconds / 3600, rel=1e-4)
    assert measured.mean_watts == pytest.approx(watts)


def test_two_readings_with_a_night_between_them_measure_nothing() -> None:
    assert energy([drawing(0, 200), drawing(36_000, 200)], INTERVAL) is None


def test_a_sensor_that_is_slower_than_the_interval_is_known_by_its_own_pace() -> None:
    readings = [drawing(20 * tick, 100) for tick in range(7)]
    measured = energy([*readings, drawing(36_000, 100), drawing(36_020, 100)], INTERVAL)
    assert measured is not None
    assert measured.covered_seconds == 140
    assert measured.watt_hours == pytest.approx(100 * 140 / 3600)


def test_power_between_two_readings_is_their_mean_and_each_chip_has_its_own_curve() -> None:
    readings = [drawing(0, 100), drawing(1800, 300), drawing(3600, 100), drawing(0, 50, 1), drawing(3600, 50, 1)]
    measured = energy(readings, 1800)
    assert measured is not None
    assert (measured.watt_hours, measured.mean_watts, measured.covered_seconds) == (250, 250, 3600)


def test_of_chips_that_were_read_for_differently_long_the_shortest_is_told() -> None:
    measured = energy([drawing(0, 1), drawing(9, 1), drawing(0, 1, 1), drawing(5, 1, 1)], 9)
    assert measured is not None
    assert measured.covered_seconds == 5


def test_the_hottest_chip_is_told() -> None:
    measured = energy([drawing(0, 1, 0, 40), drawing(1, 1, 0, 71), drawing(1, None, 1, 66)], INTERVAL)
    assert measured is not None
    assert measured.max_temperature_celsius == 71


@pytest.mark.parametrize(
    "readings",
    [[], [drawing(0, None), drawing(9, None)], [drawing(0, 200)], [drawing(0, 200), drawing(0, 200)]],
    ids=["no reading", "no power", "one reading", "one moment"],
)
def test_energy_that_was_not_measured_is_none(readings: list[Reading]) -> None:
    assert energy(readings, INTERVAL) is None


def test_what_the_chips_would_have_taken_idle_is_taken_off_for_each_as_long_as_it_was_read() -> None:
    readings = [drawing(0, 200), drawing(3600, 200), drawing(0, 100, 1), drawing(1800, 100, 1)]
    measured = energy(readings, 3600, [HOST, before(60), before(40, 1)])
    assert measured is not None
    assert (measured.watt_hours, measured.idle_watts) == (250, 100)
    assert measured.above_idle_watt_hours == pytest.approx((200 - 60) * 1 + (100 - 40) * 0.5)


def test_in_a_hole_between_readings_the_chip_is_not_taken_for_idle_either() -> None:
    readings = [drawing(tick, 200) for tick in range(11)] + [drawing(10_000 + tick, 200) for tick in range(11)]
    measured = energy(readings, INTERVAL, [before(50)])
    assert measured is not None
    assert measured.covered_seconds == 20
    assert measured.above_idle_watt_hours == pytest.approx(150 * 20 / 3600)


@pytest.mark.parametrize(
    "baselines",
    [
        [],
        [HOST],
        [before(60)],
        [before(60), before(None, 1)],
        [before(60), before(40, 1, percent=5.5)],
        [before(60), before(40, 1, percent=None)],
        [before(60), before(40, 1), before(40, 2, percent=90)],
    ],
    ids=[
        "not read",
        "the host alone",
        "one chip of two",
        "a chip that does not tell",
        "a chip that is busy",
        "a chip that does not tell whether it is busy",
        "a busy chip that tells no power, as the second die of a card",
    ],
)
def test_idle_is_not_known_unless_every_chip_told_it_and_was(baselines: list[Reading]) -> None:
    measured = energy([drawing(0, 200), drawing(9, 200), drawing(0, 100, 1), drawing(9, 100, 1)], 9, baselines)
    assert measured is not None
    assert measured.watt_hours == pytest.approx(300 * 9 / 3600)
    assert (measured.idle_watts, measured.above_idle_watt_hours) == (None, None)


def test_a_chip_that_takes_less_than_before_the_run_takes_nothing_above_idle() -> None:
    measured = energy([drawing(0, 50), drawing(9, 50)], 9, [before(60)])
    assert measured is not None
    assert (measured.idle_watts, measured.above_idle_watt_hours) == (60, 0)


def test_a_chip_that_takes_nothing_idle_is_told_so() -> None:
    measured = energy([drawing(0, 50), drawing(3600, 50)], 3600, [before(0.0, percent=5.0)])
    assert measured is not None
    assert (measured.idle_watts, measured.above_idle_watt_hours) == (0, 50)
