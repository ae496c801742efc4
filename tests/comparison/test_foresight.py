"""What a sweep can see before it starts."""

from __future__ import annotations

import math

import pytest

from harness.comparison.estimates import Estimate, Part
from harness.comparison.foresight import ASSUMED_ANSWERS, Assumption, Foresight, Pilot, foresee, visible_share
from harness.comparison.needs import Variances, smallest_visible


def points(foresight: Foresight) -> float:
    assert foresight.accuracy_points is not None
    return foresight.accuracy_points


def test_one_seed_sees_nothing_of_methods() -> None:
    foresight = foresee(1, 1319)
    assert not foresight.sees_methods
    assert (foresight.accuracy_points, foresight.time_ratio, foresight.memory_ratio) == (None, None, None)


def test_more_seeds_and_more_questions_see_smaller_differences() -> None:
    assert points(foresee(10, 200)) < points(foresee(5, 200)) < points(foresee(3, 200))
    assert points(foresee(5, 1319)) < points(foresee(5, 200)) < points(foresee(5, 50))
    by_seeds = [foresee(seeds, None) for seeds in (3, 5, 10)]
    for ratios in ([one.time_ratio or 0 for one in by_seeds], [one.memory_ratio or 0 for one in by_seeds]):
        assert ratios == sorted(ratios, reverse=True)
        assert min(ratios) > 1


def test_what_is_assumed_is_said() -> None:
    assert foresee(5, 200).assumptions == (Assumption.ANSWERS, Assumption.TIME, Assumption.MEMORY)
    assert foresee(5, None).assumptions == (Assumption.TIME, Assumption.MEMORY)


def test_what_a_pilot_measured_is_not_assumed() -> None:
    time, memory = Estimate(0.3, (Part(0.02**2 / 3, 3),)), Estimate(-0.5, (Part(0.0, 2),))
    foresight = foresee(3, 200, Pilot(3, Variances(0.0, 0.0, 0.01), time, memory))
    assert foresight.assumptions == ()
    assert points(foresight) < points(foresee(3, 200))
    assert foresight.memory_ratio == 1.0
    assert foresight.time_ratio == pytest.approx(math.exp(smallest_visible(time, 0.05 / 3)))
    # The same noise in twice as many seeds.
    later = foresee(6, 200, Pilot(3, time=time)).time_ratio
    assert later == pytest.approx(math.exp(smallest_visible(Estimate(0.0, (Part(0.02**2 / 6, 9),)), 0.05 / 3)))


def test_a_sweep_without_questions_or_with_few_sees_nothing_of_accuracy() -> None:
    assert foresee(5, None).accuracy_points is None
    assert foresee(5, 49).accuracy_points is None
    assert foresee(5, 50).accuracy_points is not None


def test_more_arms_and_more_looks_see_less() -> None:
    plain = foresee(5, 200)
    assert points(plain) < points(foresee(5, 200, arms=4)) < points(foresee(5, 200, arms=4, looks=3))


def test_where_no_difference_is_seen_it_says_100_points() -> None:
    assert points(foresee(2, 50, Pilot(2, Variances(1.0, 0.5, 0.5)))) == 100.0


def test_the_share_that_is_seen_is_seen_against_its_own_variance() -> None:
    share = visible_share(ASSUMED_ANSWERS, 5, 200)
    assert smallest_visible(ASSUMED_ANSWERS.at(share).expected(5, 200)) == pytest.approx(share, abs=1e-6)
    assert share > smallest_visible(ASSUMED_ANSWERS.expected(5, 200))
