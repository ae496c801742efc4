"""An interval says whether it leaves out zero."""

from __future__ import annotations

import pytest

from harness.comparison.intervals import Interval


@pytest.mark.parametrize(
    ("low", "high", "excludes"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False)]
)
def test_an_interval_that_touches_zero_does_not_exclude_it(low: float, high: float, excludes: bool) -> None:
    assert Interval(low, high).excludes_zero() is excludes
