"""What would decide: read off data whose variances are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.comparison.estimates import Estimate, Part, crossed, paired
from harness.comparison.needs import (
    MOST_SEEDS,
    Needs,
    Variances,
    needs_crossed,
    needs_paired,
    smallest_margin,
    smallest_visible,
    variances,
)


def answers(
    seeds: int, questions: int, *, seed_sd: float = 0.0, question_sd: float = 0.0, noise: float = 0.2, lot: int = 0
) -> NDArray[np.float64]:
    """Normal values, since only their variances count."""
    draw = np.random.default_rng(lot)
    of_seed = seed_sd * draw.normal(size=(seeds, 1))
    of_question = question_sd * draw.normal(size=(1, questions))
    return of_seed + of_question + noise * draw.normal(size=(seeds, questions))


def crossed_needs(differences: NDArray[np.float64], margin: float) -> Needs:
    needs = needs_crossed(differences, margin)
    assert needs is not None
    return needs


def test_the_analysis_of_variance_finds_the_parts_that_were_put_in() -> None:
    found = [variances(answers(8, 300, seed_sd=0.05, question_sd=0.1, lot=lot)) for lot in range(60)]
    assert np.mean([parts.seeds for parts in found]) == pytest.approx(0.05**2, rel=0.15)
    assert np.mean([parts.questions for parts in found]) == pytest.approx(0.1**2, rel=0.05)
    assert np.mean([parts.residual for parts in found]) == pytest.approx(0.2**2, rel=0.02)


def test_what_is_expected_of_a_sweep_is_what_it_finds_on_the_average() -> None:
    parts = Variances(0.03**2, 0.1**2, 0.2**2)
    expected = parts.expected(4, 80)
    found = [crossed(answers(4, 80, seed_sd=0.03, question_sd=0.1, lot=lot)) for lot in range(800)]
    for place in (0, 1):
        several = [estimate.parts[place] for estimate in found if estimate is not None]
        assert np.mean([part.variance for part in several]) == pytest.approx(expected.parts[place].variance, rel=0.06)
        assert several[0].degrees_of_freedom == expected.parts[place].degrees_of_freedom


@pytest.mark.parametrize("seeds", [3, 5, 12])
def test_the_smallest_visible_difference_is_seen_in_eight_sweeps_of_ten(seeds: int) -> None:
    size = smallest_visible(Estimate(0.0, (Part(1.0 / seeds, seeds - 1),)))
    degrees, error = seeds - 1, seeds**-0.5
    power = stats.nct.sf(stats.t.ppf(0.975, degrees), degrees, size / error)
    assert power == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize("seeds", [3, 5, 12])
def test_within_the_smallest_margin_equal_arms_are_found_equivalent_in_eight_sweeps_of_ten(seeds: int) -> None:
    margin = smallest_margin(Estimate(0.0, (Part(1.0 / seeds, seeds - 1),)))
    values = np.random.default_rng(0).normal(size=(20_000, seeds))
    half = stats.t.ppf(0.95, seeds - 1) * values.std(axis=1, ddof=1) / seeds**0.5
    found = np.mean(abs(values.mean(axis=1)) + half < margin)
    assert 0.79 < found < 0.86


def test_without_an_error_any_difference_is_visible() -> None:
    assert smallest_visible(Estimate(0.0, (Part(0.0, 2),))) == 0.0


def test_more_noise_needs_more_seeds_and_more_questions() -> None:
    quiet = crossed_needs(answers(5, 400, noise=0.2), 0.02)
    loud = crossed_needs(answers(5, 400, noise=0.6), 0.02)
    assert quiet.seeds_low is not None
    assert loud.seeds_low is not None
    assert quiet.seeds_low < loud.seeds_low
    assert quiet.questions_low is not None
    assert loud.questions_low is not None
    assert 2 * quiet.questions_low < loud.questions_low


def test_a_wider_margin_needs_no_more() -> None:
    differences = answers(4, 300, seed_sd=0.01, noise=0.3)
    narrow, wide = crossed_needs(differences, 0.02), crossed_needs(differences, 0.05)
    assert (wide.seeds_low or 99) <= (narrow.seeds_low or 99)
    assert (wide.seeds_high or 99) <= (narrow.seeds_high or 99)


def test_what_is_undecided_is_told_at_least_one_more() -> None:
    needs = crossed_needs(answers(5, 1000, noise=0.01), 0.05)
    assert (needs.seeds_low, needs.seeds_high) == (6, 6)
    assert (needs.questions_low, needs.questions_high) == (1001, 1001)


def test_seeds_that_vary_make_more_questions_useless() -> None:
    needs = crossed_needs(answers(3, 1000, seed_sd=0.1, noise=0.2, lot=2), 0.02)
    assert needs.questions_alone_cannot
    assert needs.questions_low is None
    assert not needs.seeds_alone_cannot


def test_questions_that_one_arm_finds_easier_make_more_seeds_useless() -> None:
    needs = crossed_needs(answers(5, 100, question_sd=0.4, noise=0.1), 0.02)
    assert needs.seeds_alone_cannot
    assert (needs.seeds_low, needs.seeds_high) == (None, None)
    assert not needs.questions_alone_cannot


def test_a_stricter_alpha_needs_more() -> None:
    differences = answers(5, 400, noise=0.4)
    plain, strict = needs_crossed(differences, 0.03), needs_crossed(differences, 0.03, 0.05 / 3)
    assert plain is not None
    assert strict is not None
    assert (plain.seeds_high or 99) < (strict.seeds_high or 99)


def test_one_seed_tells_nothing_of_what_would_decide() -> None:
    assert needs_crossed(answers(1, 500), 0.02) is None


def test_the_range_of_seeds_holds_what_is_truly_needed_in_about_eight_of_ten() -> None:
    # Known variance: the smallest number whose smallest visible difference and margin are within 5%.
    def decides(seeds: int) -> bool:
        expected = Estimate(0.0, (Part(0.05**2 / seeds, seeds - 1),))
        return max(smallest_visible(expected), smallest_margin(expected)) <= 0.05

    needed = next(seeds for seeds in range(2, 60) if decides(seeds))
    draw, held = np.random.default_rng(5), 0
    for _ in range(400):
        estimate = paired(0.05 * draw.normal(size=5))
        assert estimate is not None
        needs = needs_paired(estimate, 5, 0.05)
        held += (needs.seeds_low or 99) <= needed <= (needs.seeds_high or 99)
    assert 0.74 <= held / 400 <= 0.88


def test_runs_that_count_for_themselves_need_fewer_seeds_than_pairs() -> None:
    variance = 0.06**2 / 5
    by_pairs = needs_paired(Estimate(0.0, (Part(variance, 4),)), 5, 0.05)
    by_runs = needs_paired(Estimate(0.0, (Part(variance, 7),)), 5, 0.05)
    assert by_pairs.seeds_high is not None
    assert by_runs.seeds_high is not None
    assert by_runs.seeds_high < by_pairs.seeds_high


def test_a_metric_without_questions_says_nothing_of_them() -> None:
    needs = needs_paired(Estimate(0.0, (Part(1.0, 2),)), 3, 0.01)
    assert (needs.seeds_low, needs.questions_low, needs.questions_high) == (None, None, None)
    assert needs.questions_alone_cannot is None
    assert MOST_SEEDS == 60


def test_arms_that_differ_more_answer_more_questions_differently() -> None:
    alike = Variances(0.0, 0.0, 0.04)
    apart = alike.at(0.12)
    # 40 of 1,000 differ where the arms are equal; 12 points apart sqrt(40^2 + 120^2) = 126.5 of 1,000.
    assert apart.questions + apart.residual == pytest.approx(0.1265 - 0.12**2, abs=1e-4)
    assert alike.at(0.0) == alike
