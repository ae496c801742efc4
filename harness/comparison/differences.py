"""The paired difference of an arm and its baseline in each metric, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harness.comparison.answers import Unpairable, differences_by_question
from harness.comparison.arms import Arm
from harness.comparison.fairness import Fairness, fairness
from harness.comparison.intervals import Interval, crossed_interval, paired_interval
from harness.comparison.metrics import ACCURACY, LEADING_MEMORY, MERGED_ACCURACY, METRICS, Metric


class Direction(StrEnum):
    """What a difference says to somebody who reads no intervals."""

    LOWER = "lower"
    HIGHER = "higher"
    SAME = "same"
    NOISE = "noise"
    """The interval holds zero."""
    UNKNOWN = "unknown"
    """There is no interval."""


@dataclass(frozen=True)
class PairedDifference:
    """Arm minus baseline, over the seeds in which both completed and have a finite value."""

    metric: Metric
    arm: str
    """Its label."""
    baseline: str
    seeds: int
    arm_mean: float
    baseline_mean: float
    interval: Interval | None
    """95%; of the mean difference, in the metric's own unit."""
    questions: int | None = None
    """Of accuracy: how many each pair of runs has in common."""
    unpairable: Unpairable | None = None
    """Why there is no interval, where more than one seed does not help."""

    @property
    def mean(self) -> float:
        return self.arm_mean - self.baseline_mean

    @property
    def relative_percent(self) -> float | None:
        """The mean difference in percent of the baseline's mean; None where that is 0."""
        return 100 * self.mean / abs(self.baseline_mean) if self.baseline_mean else None

    @property
    def relative_interval(self) -> Interval | None:
        """The interval in percent of the baseline's mean, which is taken as known exactly."""
        if self.interval is None or not self.baseline_mean:
            return None
        scale = 100 / abs(self.baseline_mean)
        return Interval(self.interval.low * scale, self.interval.high * scale)

    @property
    def direction(self) -> Direction:
        if self.interval is None:
            return Direction.UNKNOWN
        if self.interval.low == self.interval.high == 0:
            return Direction.SAME
        if not self.interval.excludes_zero():
            return Direction.NOISE
        return Direction.LOWER if self.mean < 0 else Direction.HIGHER


def loss_by_merging(arm: Arm) -> PairedDifference | None:
    """Return the accuracy of the adapter merged into the unquantized base, minus that of the adapter on the base that
    it was trained on; None where no seed has both."""
    return difference(MERGED_ACCURACY, arm, ACCURACY, arm)


def difference(metric: Metric, arm: Arm, baseline_metric: Metric, baseline: Arm) -> PairedDifference | None:
    """Return None where no seed has the metric, finite, in both."""
    arm_values, baseline_values = arm.values(metric), baseline.values(baseline_metric)
    seeds = arm_values.index.intersection(baseline_values.index)
    if seeds.empty:
        return None
    interval, questions, unpairable = None, None, None
    if metric.target is not None and baseline_metric.target is not None:
        pairs = [(arm.by_seed[seed], baseline.by_seed[seed]) for seed in seeds]
        answers = differences_by_question(pairs, (metric.target, baseline_metric.target))
        if isinstance(answers, Unpairable):
            unpairable = answers
        else:
            interval, questions = crossed_interval(answers), answers.shape[1]
    else:
        interval = paired_interval(np.asarray(arm_values[seeds] - baseline_values[seeds], dtype=np.float64))
    return PairedDifference(
        metric,
        arm.label,
        baseline.label,
        len(seeds),
        float(arm_values[seeds].mean()),
        float(baseline_values[seeds].mean()),
        interval,
        questions,
        unpairable,
    )


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

    def of(self, metric: Metric) -> PairedDifference | None:
        """Return the difference in `metric`; None where there is none."""
        return next((difference for difference in self.differences if difference.metric is metric), None)

    @property
    def leading_memory(self) -> PairedDifference | None:
        """The one that stands in the verdict; None where no sensor measured memory in both arms."""
        return next(filter(None, map(self.of, LEADING_MEMORY)), None)


def compare(arm: Arm, baseline: Arm) -> Comparison:
    """Pair the two in every metric, and look for what else differs between them."""
    found = {metric: difference(metric, arm, metric, baseline) for metric in METRICS}
    paired = [difference for difference in found.values() if difference is not None]
    not_finite = []
    for metric in sorted(METRICS, key=lambda metric: found[metric] is None):
        seeds = {*arm.not_finite(metric), *baseline.not_finite(metric)}.intersection(arm.seeds, baseline.seeds)
        if seeds:
            not_finite.append((metric, sorted(seeds)))
    same_questions = any(difference.questions is not None for difference in paired)
    return Comparison(arm, baseline, paired, fairness(arm, baseline, same_questions), not_finite)
