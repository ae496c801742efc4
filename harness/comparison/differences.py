"""The paired difference of an arm and its baseline in each metric, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harness.comparison.answers import AnswerSheet, Unpairable, UnpairableError, differences_by_question
from harness.comparison.arms import Arm, opponents
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
    not_finite: tuple[int, ...] = ()
    """The seeds that both completed but that are left out: one of the two values is NaN or infinite."""

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


def difference(metric: Metric, arm: Arm, baseline: Arm) -> PairedDifference | None:
    """Return None where no seed has the metric in both arms."""
    return _paired(metric, arm, metric, baseline)


def loss_by_merging(arm: Arm) -> PairedDifference | None:
    """Return the accuracy of the adapter merged into the unquantized base, minus that of the adapter on the base that
    it was trained on; None where no seed has both."""
    return _paired(MERGED_ACCURACY, arm, ACCURACY, arm)


def _paired(metric: Metric, arm: Arm, baseline_metric: Metric, baseline: Arm) -> PairedDifference | None:
    arm_values, baseline_values = arm.values(metric), baseline.values(baseline_metric)
    seeds = arm_values.index.intersection(baseline_values.index)
    if seeds.empty:
        return None
    interval, questions, unpairable = None, None, None
    if metric.target is not None and baseline_metric.target is not None:
        arm_runs, baseline_runs = ({run.record.seed: run for run in side.completed} for side in (arm, baseline))
        try:
            answers = differences_by_question(
                [
                    (
                        AnswerSheet(arm_runs[seed], metric.target),
                        AnswerSheet(baseline_runs[seed], baseline_metric.target),
                    )
                    for seed in seeds
                ]
            )
        except UnpairableError as error:
            unpairable = error.why
        else:
            interval, questions = crossed_interval(answers), answers.shape[1]
    else:
        interval = paired_interval(np.asarray(arm_values[seeds] - baseline_values[seeds], dtype=np.float64))
    not_finite = {*arm.not_finite(metric), *baseline.not_finite(baseline_metric)} & {*arm.seeds} & {*baseline.seeds}
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
        tuple(sorted(not_finite)),
    )


@dataclass(frozen=True)
class Comparison:
    """An arm against its baseline, in every metric that both measured in a seed they share."""

    arm: Arm
    baseline: Arm
    differences: Sequence[PairedDifference]
    """In the order of METRICS; none where the two cannot be compared."""
    fairness: Fairness
    not_finite: Sequence[tuple[Metric, tuple[int, ...]]] = ()
    """Each metric that both measured in seeds that they share, but in none of them finite, with those seeds."""

    def of(self, metric: Metric) -> PairedDifference | None:
        """Return the difference in `metric`; None where there is none."""
        return next((difference for difference in self.differences if difference.metric is metric), None)

    @property
    def leading_memory(self) -> PairedDifference | None:
        """The one that stands in the verdict; None where no sensor measured memory in both arms."""
        return next(filter(None, map(self.of, LEADING_MEMORY)), None)


def compare(arms: Sequence[Arm]) -> list[Comparison]:
    """Return the comparison of each arm but the baselines."""
    return [_comparison(arm, baseline) for arm, baseline in opponents(arms)]


def _comparison(arm: Arm, baseline: Arm) -> Comparison:
    found = [(metric, difference(metric, arm, baseline)) for metric in METRICS]
    not_finite = [
        (metric, tuple(sorted(seeds)))
        for metric, paired in found
        if paired is None
        and (seeds := {*arm.not_finite(metric), *baseline.not_finite(metric)} & {*arm.seeds} & {*baseline.seeds})
    ]
    paired_differences = [paired for _, paired in found if paired is not None]
    same_questions = any(paired.questions is not None for paired in paired_differences)
    return Comparison(arm, baseline, paired_differences, fairness(arm, baseline, same_questions), not_finite)
