"""The paired difference of an arm and its baseline in each metric, with its interval."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.comparison import estimates
from harness.comparison.answers import Flips, Unpairable, differences_by_question, flips
from harness.comparison.arms import Arm
from harness.comparison.estimates import Estimate
from harness.comparison.fairness import Fairness, fairness
from harness.comparison.intervals import Interval
from harness.comparison.metrics import ACCURACY, LEADING_MEMORY, MERGED_ACCURACY, METRICS, Aspect, Metric, resolution
from harness.comparison.order import Order, order_of
from harness.comparison.pooling import started
from harness.comparison.runs import Run

if TYPE_CHECKING:
    from harness.comparison.judging import Judgement


@dataclass(frozen=True)
class PairedDifference:
    """An arm against its baseline in one metric, over the seeds in which both completed and have a finite value."""

    metric: Metric
    arm: str
    """Its label."""
    baseline: str
    seeds: tuple[int, ...]
    arm_values: tuple[float, ...]
    """In the order of `seeds`, in the metric's own unit; so are the baseline's."""
    baseline_values: tuple[float, ...]
    estimate: Estimate | None
    """On the metric's scale: a difference of shares or nats, or the log of a ratio. None: there is no interval."""
    resolution: float = 0.0
    """The smallest difference that the sensors could tell, in the metric's unit."""
    by_question: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    """Of accuracy: right (1) or wrong (0) of the arm minus that of the baseline; a row a seed, a column a question."""
    unpairable: Unpairable | None = None
    """Why answers could not be joined question by question."""

    @property
    def arm_mean(self) -> float:
        """Of ratios the geometric mean, so that the quotient of the means is the ratio."""
        return _mean(self.metric, self.arm_values)

    @property
    def baseline_mean(self) -> float:
        return _mean(self.metric, self.baseline_values)

    @property
    def questions(self) -> int | None:
        """Of accuracy: how many each pair of runs has in common."""
        return None if self.by_question is None else self.by_question.shape[1]

    @property
    def mean(self) -> float:
        """Arm minus baseline, in the metric's unit."""
        return self.arm_mean - self.baseline_mean

    @property
    def effect(self) -> float | None:
        """The difference on the metric's scale; of time without the drift over the order of the runs, where that was
        estimated. None where there is none, since a value is not positive."""
        if not self.metric.is_ratio:
            return self.mean
        if min(*self.arm_values, *self.baseline_values) <= 0:
            return None
        return math.log(self.arm_mean / self.baseline_mean) if self.estimate is None else self.estimate.mean

    @property
    def ratio(self) -> float | None:
        """Arm to baseline; None where the metric is not compared so, or a value is not positive."""
        return math.exp(self.effect) if self.metric.is_ratio and self.effect is not None else None

    @property
    def is_exact(self) -> bool:
        """Whether every run of an arm came to the same value, in both arms, over at least two seeds.

        A share of right answers never is: other questions would give another."""
        if self.metric.target is not None:
            return False
        return len(self.seeds) > 1 and len(set(self.arm_values)) == len(set(self.baseline_values)) == 1

    @property
    def is_none(self) -> bool:
        """Whether the two are the same in every seed, or nearer than the sensors could tell. Of shares of right answers
        nobody knows that: they may be as large by chance, and so may means."""
        if self.metric.target is not None:
            return False
        pairs = zip(self.arm_values, self.baseline_values, strict=True)
        return all(first == second or abs(first - second) < self.resolution for first, second in pairs)

    @cached_property
    def interval(self) -> Interval | None:
        """95%, on the metric's scale; None too where the difference is exact, or none."""
        if self.estimate is None or self.is_exact or self.is_none:
            return None
        return self.estimate.interval()

    @property
    def ratio_interval(self) -> Interval | None:
        """95%, of the ratio of arm to baseline: never below 0."""
        if self.interval is None or not self.metric.is_ratio:
            return None
        return Interval(math.exp(self.interval.low), math.exp(self.interval.high))


def _mean(metric: Metric, values: Sequence[float]) -> float:
    if metric.is_ratio and min(values) > 0:
        return math.exp(sum(map(math.log, values)) / len(values))
    return sum(values) / len(values)


def loss_by_merging(arm: Arm) -> PairedDifference | None:
    """Return the accuracy of the adapter merged into the unquantized base, minus that of the adapter on the base that
    it was trained on; None where no seed has both."""
    return difference(MERGED_ACCURACY, arm, ACCURACY, arm)


def difference(metric: Metric, arm: Arm, baseline_metric: Metric, baseline: Arm) -> PairedDifference | None:
    """Return None where no seed has the metric, finite, in both."""
    arm_values, baseline_values = arm.values(metric), baseline.values(baseline_metric)
    seeds = sorted(arm_values.keys() & baseline_values.keys())
    if not seeds:
        return None
    pairs = [(arm.by_seed[seed], baseline.by_seed[seed]) for seed in seeds]
    first = np.array([arm_values[seed] for seed in seeds])
    second = np.array([baseline_values[seed] for seed in seeds])
    estimate, by_question, unpairable = None, None, None
    if metric.target is not None and baseline_metric.target is not None:
        joined = differences_by_question(pairs, (metric.target, baseline_metric.target))
        if isinstance(joined, Unpairable):
            unpairable = joined
        else:
            estimate, by_question = estimates.crossed(joined), joined
    elif not metric.is_ratio:
        estimate = estimates.paired(first - second)
    elif min(first.min(), second.min()) > 0:
        estimate = _ratio(metric, np.log(first), np.log(second), pairs)
    return PairedDifference(
        metric,
        arm.label,
        baseline.label,
        tuple(seeds),
        tuple(map(float, first)),
        tuple(map(float, second)),
        estimate,
        resolution(metric, arm.sensors(metric) | baseline.sensors(metric)),
        by_question,
        unpairable,
    )


def _ratio(
    metric: Metric, first: NDArray[np.float64], second: NDArray[np.float64], pairs: Sequence[tuple[Run, Run]]
) -> Estimate | None:
    """Return the log of a ratio from the logs of both sides.

    A seed does not pair times, the hour does: each run counts for itself, beside a drift over the order of the starts.
    Where one arm ran before the other, drift and arm are one, and nothing is known."""
    if metric.aspect is not Aspect.TIME:
        return estimates.paired(first - second)
    if order_of(pairs) not in (Order.INTERLEAVED, Order.BLOCKS):
        return None
    starts = [started(run.record) for side in zip(*pairs, strict=True) for run in side]
    in_order = sorted(starts)
    position = np.array([bisect_left(in_order, start) for start in starts], dtype=np.float64)
    is_arm = np.repeat([True, False], len(pairs))
    return estimates.with_position(np.concatenate([first, second]), is_arm, position)


def _flips(paired: PairedDifference) -> list[Flips]:
    """Return the tables of agreement without reading the answers again; none where scores and answers disagree."""
    if paired.by_question is None:
        return []
    found = []
    questions = paired.by_question.shape[1]
    for seed, row, right, other in zip(
        paired.seeds, paired.by_question, paired.arm_values, paired.baseline_values, strict=True
    ):
        only_arm, only_baseline = int((row > 0).sum()), int((row < 0).sum())
        both_right = round(right * questions) - only_arm
        neither = questions - both_right - only_arm - only_baseline
        if both_right != round(other * questions) - only_baseline or min(both_right, neither) < 0:
            return []
        found.append(Flips(seed, both_right, only_arm, only_baseline, neither))
    return found


@dataclass(frozen=True)
class Comparison:
    """An arm against its baseline, in every metric that both measured in a seed they share."""

    arm: Arm
    baseline: Arm
    differences: Sequence[PairedDifference]
    """In the order of METRICS; none where the two cannot be compared."""
    fairness: Fairness
    not_finite: Sequence[tuple[Metric, Sequence[int]]]
    """Each metric with the seeds that both completed but that are left out, since one of the two values is NaN or
    infinite; those metrics last of which no seed is left."""
    order: Order | None
    """None: no seed was completed by both."""
    judgements: Mapping[str, Judgement] = field(default_factory=dict)
    """By the metric's key; of primary metrics alone, since only those get a word."""

    def of(self, metric: Metric) -> PairedDifference | None:
        """Return the difference in `metric`; None where there is none."""
        return next((difference for difference in self.differences if difference.metric is metric), None)

    def judgement(self, metric: Metric) -> Judgement | None:
        """Return what can be said of `metric`; None where it is described alone."""
        return self.judgements.get(metric.key)

    @property
    def pairs(self) -> list[tuple[Run, Run]]:
        """The runs of arm and baseline, by the seeds that both completed."""
        return [
            (run, self.baseline.by_seed[seed])
            for seed, run in self.arm.by_seed.items()
            if seed in self.baseline.by_seed
        ]

    @property
    def leading_memory(self) -> PairedDifference | None:
        """The one that gets a verdict; None where no sensor measured memory in both arms."""
        return next(filter(None, map(self.of, LEADING_MEMORY)), None)

    def flips(self) -> list[Flips]:
        """Return, by seed, how the answers of the two agree; none where they cannot be joined."""
        paired = self.of(ACCURACY)
        found = [] if paired is None else _flips(paired)
        if found:
            return found
        assert ACCURACY.target is not None
        return flips(self.pairs, (ACCURACY.target, ACCURACY.target))

    def lacking(self) -> list[tuple[Metric, Arm]]:
        """Return each metric that one of the two measured and the other did not, with the one that lacks it."""
        sides = ((self.arm, self.baseline), (self.baseline, self.arm))
        return [
            (metric, side)
            for metric in METRICS
            for side, other in sides
            if side.completed and not side.values(metric) and other.values(metric)
        ]


def compare(arm: Arm, baseline: Arm, axes: Sequence[str] = ()) -> Comparison:
    """Pair the two in every metric, and look for what else differs between them, beside what `axes` declares."""
    found = {metric: difference(metric, arm, metric, baseline) for metric in METRICS}
    paired = [difference for difference in found.values() if difference is not None]
    not_finite = []
    for metric in sorted(METRICS, key=lambda metric: found[metric] is None):
        seeds = {*arm.not_finite(metric), *baseline.not_finite(metric)}.intersection(arm.seeds, baseline.seeds)
        if seeds:
            not_finite.append((metric, sorted(seeds)))
    same_questions = any(difference.by_question is not None for difference in paired)
    pairs = [(arm.by_seed[seed], baseline.by_seed[seed]) for seed in arm.seeds if seed in baseline.by_seed]
    order = order_of(pairs) if pairs else None
    return Comparison(arm, baseline, paired, fairness(arm, baseline, same_questions, axes), not_finite, order)
