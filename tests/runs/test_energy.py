from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.devices.reading import Reading
from harness.runs.measurements import energy
from tests.devices.stand_ins import unhurried

START = 1_700_000_000.0


def drawing(second: float, watts: float | None, chip: int = 0, celsius: float | None = None) -> Reading:
    return Reading(time=START + second, sensor="nvml", chip=chip, power_watts=watts, temperature_celsius=celsius)


@unhurried
@given(
    st.lists(st.floats(0, 1e5), min_size=2, max_size=20, unique=True),
    st.floats(0, 2000),
    st.integers(1, 8),
    st.randoms(),
)
def test_constant_power_gives_power_times_time(
    moments: list[float], watts: float, chips: int, order: random.Random
) -> None:
    readings = [drawing(moment, watts, chip) for moment in moments for chip in range(chips)]
    order.shuffle(readings)
    measured = energy(readings)
    times = [reading.time for reading in readings]
    hours = (max(times) - min(times)) / 3600
    if hours == 0:  # Moments so close that a clock of seconds since the epoch cannot tell them apart.
        assert measured is None
        return
    assert measured is not None
    assert measured.watt_hours == pytest.approx(chips * watts * hours)
    assert measured.mean_watts == pytest.approx(chips * watts)


def test_power_between_two_readings_is_their_mean_and_each_chip_has_its_own_curve() -> None:
    readings = [drawing(0, 100), drawing(1800, 300), drawing(3600, 100), drawing(0, 50, 1), drawing(3600, 50, 1)]
    measured = energy(readings)
    assert measured is not None
    assert (measured.watt_hours, measured.mean_watts) == (250, 250)


def test_the_hottest_chip_is_told() -> None:
    measured = energy([drawing(0, 1, 0, 40), drawing(1, 1, 0, 71), drawing(1, None, 1, 66)])
    assert measured is not None
    assert measured.max_temperature_celsius == 71


@pytest.mark.parametrize(
    "readings",
    [[], [drawing(0, None), drawing(9, None)], [drawing(0, 200)], [drawing(0, 200), drawing(0, 200)]],
    ids=["no reading", "no power", "one reading", "one moment"],
)
def test_energy_that_was_not_measured_is_none(readings: list[Reading]) -> None:
    assert energy(readings) is None
