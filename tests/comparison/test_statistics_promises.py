"""A small part of benchmarks/statistics.py: what the rules promise, with known truth and the library's own estimates.

Each bound lies between what the rule gives and what its nearest wrong variant does, by about three standard errors of
the simulation or more; the variants are named.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.statistics import (
    ALIKE,
    UNLIKE,
    Drift,
    Layout,
    Noise,
    TimeCase,
    World,
    draw,
    drift_of,
    generator_of,
    judge,
    judge_time,
    latent,
    layouts,
    noise_of,
    pairs,
)
from harness.comparison import estimates
from harness.comparison.estimates import ALPHA, Estimate


def crossed(world: World, replications: int) -> list[Estimate]:
    found = [
        estimates.crossed(matrix.astype(np.float64))
        for some in draw(world, replications, generator_of(world, 0))
        for matrix in some
    ]
    return [estimate for estimate in found if estimate is not None]


def missed(world: World, replications: int) -> float:
    """Share of 95% intervals that leave out the truth."""
    intervals = [estimate.interval() for estimate in crossed(world, replications)]
    return float(np.mean([not low <= world.difference <= high for low, high in intervals]))


def test_the_worlds_have_the_truth_that_they_state() -> None:
    world = World(10, 200, 0.9, UNLIKE, 0.05, -0.05)
    answers = np.concatenate(list(draw(world, 3000, generator_of(world, 1))))
    assert answers.mean() == pytest.approx(-0.05, abs=0.002)
    # The two arms' seeds vary by 5 points each, independently; the rest of a seed mean's variance is of the questions.
    of_seeds = answers.mean(axis=2).var(axis=1, ddof=1).mean()
    assert of_seeds == pytest.approx(2 * 0.05**2, rel=0.25)
    assert latent(0.9, 0.0, 1.0)[1] == 0.0


@pytest.mark.parametrize(("likeness", "base", "seed_sd"), [(ALIKE, 0.9, 0.02), (UNLIKE, 0.6, 0.05)])
def test_three_seeds_that_vary_give_few_false_words(likeness: object, base: float, seed_sd: float) -> None:
    # 4 to 5%; with Satterthwaite's degrees of freedom 7 to 7.5%, over questions alone 50 to 70%.
    assert missed(World(3, 1319, base, likeness, seed_sd), 3000) < 0.061  # type: ignore[arg-type]


def test_few_questions_that_nearly_all_are_answered_keep_their_coverage() -> None:
    # 1% and 2.6% of false equivalence; with the two questions that nobody asked at +-1/S, or without them, 6.5 and 9%.
    world = World(10, 50, 0.98, ALIKE, 0.0, -0.05)
    found = crossed(world, 1500)
    assert np.mean([one.interval().low > world.difference for one in found]) < 0.04
    assert np.mean([one.interval(1 - 2 * ALPHA).low > world.difference for one in found]) < 0.05


def test_the_two_questions_that_nobody_asked_cost_little_width() -> None:
    # 8 points; a whole +-1 would make it 12.
    widths = [2 * estimate.half_width() for estimate in crossed(World(10, 50, 0.9, ALIKE, 0.0), 300)]
    assert np.mean(widths) < 0.09


def test_five_seeds_are_seldom_called_equivalent_where_they_differ_by_the_margin() -> None:
    world = World(5, 1319, 0.9, ALIKE, 0.01, -0.02)
    found = crossed(world, 2000)
    intervals = [one.interval(1 - 2 * ALPHA) for one in found]
    assert np.mean([low > -0.02 and high < 0.02 for low, high in intervals]) < 0.065
    assert np.mean([low > -0.02 for low, _ in intervals]) < 0.065
    (first, *_) = found
    assert (first.p_above(-0.02) < ALPHA) == (intervals[0].low > -0.02)


def test_five_seeds_that_hardly_vary_are_called_equivalent_where_they_are() -> None:
    found = crossed(World(5, 1319, 0.9, ALIKE, 0.005), 200)
    intervals = [one.interval(1 - 2 * ALPHA) for one in found]
    assert np.mean([low > -0.02 and high < 0.02 for low, high in intervals]) > 0.9


def test_the_second_reading_is_as_often_right_as_it_says() -> None:
    # Where it gives at least 90% to "the arm is no worse", and the arm is in truth worse by next to nothing.
    found = crossed(World(3, 1319, 0.6, UNLIKE, 0.02), 2000)
    assert np.mean([one.probability_at_least(0.0) >= 0.9 for one in found]) < 0.12


def test_one_seed_cannot_speak_of_methods() -> None:
    # McNemar's test is right about two adapters: with seeds that vary it finds them different, as they are.
    world = World(1, 1319, 0.9, ALIKE, 0.02)
    matrices = [matrix for some in draw(world, 300, generator_of(world, 0)) for matrix in some]
    assert np.mean([estimates.mcnemar(matrix[0].astype(float)).p_value < ALPHA for matrix in matrices]) > 0.5
    assert estimates.crossed(matrices[0].astype(float)) is None


@pytest.mark.parametrize("layout", [Layout.BLOCKS, Layout.ALTERNATING, Layout.MIXED])
@pytest.mark.parametrize("seeds", [3, 5])
def test_a_drift_of_a_fifth_makes_few_false_words_on_time(layout: Layout, seeds: int) -> None:
    judged = judge_time(TimeCase(seeds, Noise.NORMAL_3, Drift.LINEAR, 0.2, layout), 8000)
    assert judged.false < 0.06
    # Who leaves the order out sees 2% of such differences in three seeds, 4 to 30% in five; by pairs a quarter.
    assert judged.power > {3: 0.45, 5: 0.85}[seeds]


def test_pairs_take_a_drift_for_the_arm_where_the_order_is_always_the_same() -> None:
    generator = np.random.default_rng(0)
    for layout, most in ((Layout.ALTERNATING, 0.2), (Layout.SEPARATED, 1.0)):
        is_arm = layouts(layout, 3, 1500, generator)
        logs = noise_of(Noise.NORMAL_3, is_arm.shape, generator) + drift_of(Drift.LINEAR, 0.2, 6)
        found = [estimates.paired(differences) for differences in pairs(logs, is_arm)]
        false = np.mean([estimate.p_different() < ALPHA for estimate in found if estimate is not None])
        assert 0.1 < false < most


def test_looks_that_were_not_announced_add_little() -> None:
    # Paired values, looked at with 3, 4 ... 10 seeds; at 5% each 16.5% would end with a false word.
    values = np.random.default_rng(1).normal(size=(1200, 10))
    false = 0
    for row in values:
        for look, seeds in enumerate(range(3, 11), start=1):
            estimate = estimates.paired(row[:seeds])
            assert estimate is not None
            if estimate.p_different() < estimates.corrected_alpha(look, 1):
                false += 1
                break
    assert false / len(values) < 0.075


def test_the_copies_of_the_benchmark_are_the_library() -> None:
    # It asserts that itself, on the first replications of each case.
    judged = judge(World(3, 50, 0.6, UNLIKE, 0.02, -0.05), 50)
    assert 0 <= judged.missed <= 1
    assert judged.equivalent is not None
