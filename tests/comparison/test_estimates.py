"""Estimates: known cases by hand, against scipy, and what must hold of every one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import stats

from harness.comparison.estimates import (
    ALPHA,
    FEWEST_QUESTIONS,
    Estimate,
    Part,
    corrected_alpha,
    crossed,
    holm,
    mcnemar,
    paired,
    with_position,
)

PARTS = st.lists(st.builds(Part, st.floats(1e-6, 1e3), st.integers(1, 2000).map(float)), min_size=1, max_size=3).map(
    tuple
)
ESTIMATES = st.builds(Estimate, st.floats(-100, 100), PARTS)
ANSWERS = arrays.arrays(
    np.float64, st.tuples(st.integers(2, 6), st.integers(50, 80)), elements=st.sampled_from([-1, 0, 1])
)
LOGS = arrays.arrays(np.float64, st.integers(4, 12).map(lambda half: 2 * half), elements=st.floats(-3, 3))


def some(estimate: Estimate | None) -> Estimate:
    assert estimate is not None
    return estimate


def alternating(runs: int) -> NDArray[np.bool_]:
    """ABBA, again and again: neither arm comes earlier."""
    return np.resize([True, False, False, True], runs)


def test_paired_differences_have_students_t() -> None:
    # Mean 2, standard deviation 1, three pairs; t(0.975, 2) = 4.3027.
    interval = some(paired(np.array([1.0, 2.0, 3.0]))).interval()
    assert interval.low == pytest.approx(2 - 4.3027 / 3**0.5, abs=1e-4)
    assert interval.high == pytest.approx(2 + 4.3027 / 3**0.5, abs=1e-4)


def test_one_pair_has_no_estimate() -> None:
    assert paired(np.array([1.0])) is None


def test_a_p_value_of_one_part_is_that_of_the_t_test() -> None:
    values = np.array([0.3, 1.1, -0.2, 0.9, 0.4])
    estimate = some(paired(values))
    assert estimate.p_different() == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-9)
    above = stats.ttest_1samp(values, 0.2, alternative="greater").pvalue
    assert estimate.p_above(0.2) == pytest.approx(above, rel=1e-9)


def test_two_parts_have_the_weighted_quantile_of_cochran_and_cox() -> None:
    # t(0.975, 2) = 4.302653, t(0.975, 199) = 1.971957; weights 1 and 3.
    estimate = Estimate(0.0, (Part(1.0, 2), Part(3.0, 199)))
    assert estimate.interval().high == pytest.approx((4.302653 + 3 * 1.971957) / 4**0.5, abs=1e-4)


def test_crossed_answers_by_hand() -> None:
    # Seed 0: the arm alone is right on one question in four; seed 1: on none. Then means of columns are 0.5 and 0.
    differences = np.zeros((2, 100))
    differences[0, :25] = 1.0
    estimate = some(crossed(differences))
    over_seeds, over_questions = estimate.parts
    columns = [0.5] * 25 + [0.0] * 75 + [2**-0.25, -(2**-0.25)]
    assert estimate.mean == 0.125
    assert over_seeds == (pytest.approx(np.var([0.25, 0.0], ddof=1) / 2), 1)
    assert over_questions == (pytest.approx(np.var(columns, ddof=1) / 102), 99)


def test_arms_that_agree_on_every_question_have_an_interval_of_some_width() -> None:
    interval = some(crossed(np.zeros((3, 200)))).interval()
    assert -0.015 < interval.low < 0 < interval.high < 0.015


def test_few_seeds_or_questions_have_no_estimate() -> None:
    assert crossed(np.zeros((1, 500))) is None
    assert crossed(np.zeros((5, FEWEST_QUESTIONS - 1))) is None
    assert crossed(np.zeros((2, FEWEST_QUESTIONS))) is not None


@given(ANSWERS)
def test_no_interval_of_answers_passes_100_points(differences: NDArray[np.float64]) -> None:
    interval = some(crossed(differences)).interval(0.999)
    assert -1 <= interval.low <= interval.high <= 1


@given(ANSWERS)
def test_swapped_arms_have_the_mirrored_interval(differences: NDArray[np.float64]) -> None:
    there, back = some(crossed(differences)), some(crossed(-differences))
    assert there.interval().low == pytest.approx(-back.interval().high, abs=1e-12)
    assert there.p_above(0.02) == pytest.approx(back.p_below(-0.02), abs=1e-9)


@given(ANSWERS)
def test_the_order_of_seeds_and_questions_changes_nothing(differences: NDArray[np.float64]) -> None:
    shuffled = differences[::-1, ::-1]
    assert some(crossed(shuffled)).interval() == pytest.approx(some(crossed(differences)).interval(), abs=1e-12)


@given(ESTIMATES)
def test_an_interval_widens_with_its_confidence(estimate: Estimate) -> None:
    widths = [estimate.half_width(confidence) for confidence in (0.5, 0.8, 0.9, 0.95, 0.99, 0.9999)]
    assert all(narrow < wide for narrow, wide in pairwise(widths))


@given(ESTIMATES, st.floats(0.5, 0.9999))
def test_p_values_agree_with_intervals(estimate: Estimate, confidence: float) -> None:
    distance = abs(abs(estimate.mean) - estimate.half_width(confidence))
    assume(distance > 1e-9 * estimate.standard_error)
    assert (estimate.p_different() < 1 - confidence) == estimate.interval(confidence).excludes_zero()


@given(ESTIMATES, st.floats(-100, 100))
def test_the_two_one_sided_p_values_sum_to_one(estimate: Estimate, bound: float) -> None:
    assert estimate.p_above(bound) + estimate.p_below(bound) == pytest.approx(1, abs=1e-9)
    assert estimate.probability_at_least(bound) == pytest.approx(1 - estimate.p_above(bound), abs=1e-12)


@given(ESTIMATES, st.floats(0.01, 100), st.floats(-50, 50))
def test_a_p_value_does_not_depend_on_the_unit(estimate: Estimate, scale: float, bound: float) -> None:
    parts = tuple(Part(part.variance * scale**2, part.degrees_of_freedom) for part in estimate.parts)
    scaled = Estimate(estimate.mean * scale, parts)
    assert scaled.p_above(bound * scale) == pytest.approx(estimate.p_above(bound), rel=1e-6, abs=1e-12)


@given(PARTS, st.floats(1e-12, 0.4999))
def test_a_tail_is_the_inverse_of_its_deviation(parts: tuple[Part, ...], tail: float) -> None:
    estimate = Estimate(0.0, parts)
    assert estimate.p_below(estimate.half_width(1 - 2 * tail)) == pytest.approx(tail, rel=1e-4, abs=1e-15)


def test_a_difference_of_a_thousand_errors_has_a_p_value_all_the_same() -> None:
    assert 0 < Estimate(1000.0, (Part(1.0, 2), Part(1.0, 1318))).p_different() < 1e-5
    assert Estimate(1000.0, (Part(1.0, 1318),)).p_different() < 1e-12


def test_without_any_error_a_bound_is_passed_or_not() -> None:
    estimate = Estimate(0.5, (Part(0.0, 2),))
    assert estimate.interval() == (0.5, 0.5)
    assert (estimate.p_above(0.4), estimate.p_above(0.5), estimate.p_different()) == (0.0, 1.0, 0.0)
    assert [estimate.probability_at_least(bound) for bound in (0.4, 0.5, 0.6)] == [1.0, 1.0, 0.0]
    assert Estimate(0.0, (Part(0.0, 2),)).p_different() == 1.0


@given(st.lists(st.floats(0.01, 1e4), min_size=4, max_size=10), st.floats(0.01, 0.9999))
def test_no_interval_of_a_ratio_passes_minus_100_percent(ratios: list[float], confidence: float) -> None:
    interval = some(paired(np.log(ratios))).interval(confidence)
    assert np.exp(interval.low) - 1 >= -1


def test_a_straight_drift_is_taken_out_whole() -> None:
    is_arm = np.array([True, False, True, False, True, False])
    position = np.arange(6.0)
    logs = 0.1 * is_arm + 0.05 * position + np.array([0.001, -0.001, 0.002, 0.0, -0.002, 0.001])
    estimate = some(with_position(logs, is_arm, position))
    assert estimate.mean == pytest.approx(0.1, abs=0.003)
    assert estimate.parts[0].degrees_of_freedom == 3
    assert estimate.interval().low > 0.09
    # Pairs by seed take half of the drift for the arm.
    assert some(paired(logs[::2] - logs[1::2])).mean == pytest.approx(0.05, abs=0.003)


def test_with_position_is_least_squares() -> None:
    draw = np.random.default_rng(3)
    is_arm, position, logs = alternating(10), np.arange(10.0), draw.normal(size=10)
    design = np.column_stack([np.ones(10), is_arm, position])
    coefficients, squares, _, _ = np.linalg.lstsq(design, logs)
    error = np.sqrt(squares[0] / 7 * np.linalg.inv(design.T @ design)[1, 1])
    estimate = some(with_position(logs, is_arm, position))
    assert (estimate.mean, estimate.standard_error) == (pytest.approx(coefficients[1]), pytest.approx(error))


@given(LOGS, st.floats(-1, 1), st.floats(-1, 1), st.floats(-5, 5))
def test_neither_drift_nor_unit_nor_clock_moves_a_ratio(
    logs: NDArray[np.float64], drift: float, unit: float, start: float
) -> None:
    is_arm, position = alternating(len(logs)), np.arange(float(len(logs)))
    before = some(with_position(logs, is_arm, position))
    after = some(with_position(logs + drift * position + unit, is_arm, position + start))
    assert after.mean == pytest.approx(before.mean, abs=1e-8)
    assert after.standard_error == pytest.approx(before.standard_error, abs=1e-8)


def test_arm_and_order_that_are_one_have_no_estimate() -> None:
    assert with_position(np.arange(6.0), np.ones(6, dtype=bool), np.arange(6.0)) is None
    assert with_position(np.array([0.1, 0.2]), np.array([True, False]), np.arange(2.0)) is None
    assert with_position(np.array([0.1, 0.2, 0.3]), np.array([True, False, True]), np.arange(3.0)) is None


def test_mcnemar_counts_the_questions_on_which_two_adapters_differ() -> None:
    differences = np.concatenate([np.ones(12), np.zeros(188)])
    assert mcnemar(differences) == (12, 0, pytest.approx(2 * 0.5**12))
    assert mcnemar(np.array([1.0, -1.0, -1.0, 0.0])) == (1, 2, pytest.approx(1.0))
    assert mcnemar(np.zeros(200)) == (0, 0, 1.0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.6, 0.7]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_never_laxer_than_one_test_nor_stricter_than_bonferroni(p_values: list[float]) -> None:
    for raw, corrected in zip(p_values, holm(p_values), strict=True):
        assert raw <= corrected <= min(1.0, len(p_values) * raw) + 1e-12
    in_order = [corrected for _, corrected in sorted(zip(p_values, holm(p_values), strict=True))]
    assert in_order == sorted(in_order)


@pytest.mark.parametrize("announced", [1, 2, 5])
def test_announced_looks_share_alpha_and_the_others_get_ever_less(announced: int) -> None:
    spent = [corrected_alpha(look, announced) for look in range(1, announced + 1)]
    assert sum(spent) == pytest.approx(ALPHA)
    more = [corrected_alpha(look, announced) for look in range(announced, announced + 50)]
    assert more == sorted(more, reverse=True)
    assert len(set(more)) == 50
    assert sum(more[1:]) <= ALPHA / (announced + 1)
