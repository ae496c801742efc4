"""What the benchmark of chips makes of leases and calls that are known."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from benchmarks.chips import Occupancy, Span, asked, at_once, occupancy, pauses
from tests.devices.ascend.stand_in import Call

LEASES = [Span("a", "one", 0, 10), Span("a", "three", 12, 30), Span("b", "two", 4, 18), Span("b", "four", 20, 25)]
"""Two chips; the last run begins at 20."""


def test_chips_are_occupied_while_they_are_leased_and_runs_are_left_to_start() -> None:
    found = occupancy(LEASES, chips=2)
    assert asdict(found) == pytest.approx(asdict(Occupancy(20, (10 + 8 + 14) / 40, 4 / 40, (2 + 2) / 40)))
    assert pauses(LEASES) == [2, 2]


def test_a_chip_that_no_run_had_stood_idle() -> None:
    assert occupancy(LEASES, chips=4).not_yet == pytest.approx((4 + 20 + 20) / 80)


@pytest.mark.parametrize(("since", "has_two"), [(17.9, True), (18, False), (3, True)])
def test_a_chip_that_two_runs_had_at_once_is_found(since: float, has_two: bool) -> None:
    leases = sorted([*LEASES[:3], Span("b", "four", since, 25)], key=lambda span: (span.chip, span.since))
    runs = [{one.run, other.run} for one, other in at_once(leases)]
    assert runs == ([{"two", "four"}] if has_two else [])


def test_a_look_up_is_no_reading() -> None:
    words = ("info", "info -m", "info", "info -t common -i 3", "info", "info -t common -i 0")
    found = asked([Call(pid, 3.0 * pid, line.split(), "C", True) for pid, line in enumerate(words)])
    assert found.readings == [6, 12]
    assert found.others == {"info": 1, "info -m": 1, "info -t common": 2}
    assert found.an_interval(3.0) == pytest.approx(2 / 3)
