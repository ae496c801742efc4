"""Intervals: known cases by hand, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.comparison.intervals import crossed_interval, paired_interval


def test_a_paired_interval_is_students_t() -> None:
    # Mean 2, standard deviation 1, three pairs; t(0.975, 2) = 4.3027.
    interval = paired_interval(np.array([1.0, 2.0, 3.0]))
    assert interval is not None
    assert interval.low == pytest.approx(2 - 4.3027 / 3**0.5, abs=1e-4)
    assert interval.high == pytest.approx(2 + 4.3027 / 3**0.5, abs=1e-4)


def test_one_pair_has_no_interval() -> None:
    assert paired_interval(np.array([1.0])) is None


def test_equal_differences_have_an_interval_of_no_width() -> None:
    assert paired_interval(np.array([2.0, 2.0, 2.0])) == (2.0, 2.0)


def test_arms_that_agree_on_every_question_still_have_an_interval() -> None:
    interval = crossed_interval(np.zeros((3, 200)))
    assert interval is not None
    assert interval.low < 0 < interval.high
    assert interval.high < 0.05


@given(st.floats(-100, 100), st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8))
def test_a_shift_of_all_pairs_shifts_the_interval(shift: float, values: list[float]) -> None:
    before, after = paired_interval(np.array(values)), paired_interval(np.array(values) + shift)
    assert before is not None
    assert after is not None
    assert after.low == pytest.approx(before.low + shift, abs=1e-6)
    assert after.high == pytest.approx(before.high + shift, abs=1e-6)


@pytest.mark.parametrize("seed_effect", [0.0, 0.05])
def test_the_crossed_interval_holds_a_true_zero_often_enough(seed_effect: float) -> None:
    """Questions of differing difficulty, seeds that shift each arm: with three seeds at least 93 in 100 hold 0."""
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        difficulty = draw.beta(4, 2, size=150)
        arms = [
            draw.random((3, 150)) < np.clip(difficulty + draw.normal(0, seed_effect, size=(3, 1)), 0, 1)
            for _ in range(2)
        ]
        interval = crossed_interval(arms[0].astype(float) - arms[1].astype(float))
        assert interval is not None
        held += interval.low <= 0 <= interval.high
    assert held >= 0.93 * 400


def test_a_large_difference_is_seen() -> None:
    draw = np.random.default_rng(1)
    interval = crossed_interval((draw.random((3, 200)) < 0.9).astype(float) - (draw.random((3, 200)) < 0.5))
    assert interval is not None
    assert interval.low > 0
