"""The paired difference of an arm and its baseline in each metric, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harness.comparison.answers import Sheet, UnpairableError, differences_by_question
from harness.comparison.arms import Arm, opponents
from harness.comparison.intervals import Interval, crossed_interval, paired_interval
from harness.comparison.metrics import ACCURACY, MERGED_ACCURACY, METRICS, Metric


class Word(StrEnum):
    """What a difference says to somebody who reads no intervals."""

    LOWER = "lower"
    HIGHER = "higher"
    SAME = "the same"
    NOISE = "not distinguishable from zero"
    UNKNOWN = "no interval"


@dataclass(frozen=True)
class PairedDifference:
    """Arm minus baseline, over the seeds that both completed."""

    metric: Metric
    arm: str
    baseline: str
    seeds: int
    arm_mean: float
    baseline_mean: float
    interval: Interval | None
    """95%; of the mean difference, in the metric's own unit."""
    questions: int | None = None
    """Of accuracy: how many each pair of runs has in common."""
    problem: str | None = None
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
    def word(self) -> Word:
        if self.interval is None:
            return Word.UNKNOWN
        if self.interval.low == self.interval.high == 0:
            return Word.SAME
        if not self.interval.excludes_zero():
            return Word.NOISE
        return Word.LOWER if self.mean < 0 else Word.HIGHER


def difference(metric: Metric, arm: Arm, baseline: Arm) -> PairedDifference | None:
    """None where no seed has the metric in both arms."""
    return _paired((metric, arm, arm.label), (metric, baseline, baseline.label))


def loss_by_merging(arm: Arm) -> PairedDifference | None:
    """The adapter merged into the unquantized base, minus the adapter on the base that it was trained on. None where no
    seed has both scores."""
    merged = f"{arm.label} merged into the unquantized base"
    return _paired((MERGED_ACCURACY, arm, merged), (ACCURACY, arm, arm.label))


def _paired(one: tuple[Metric, Arm, str], other: tuple[Metric, Arm, str]) -> PairedDifference | None:
    """Of what two arms measured, each under the name that follows it."""
    (metric, arm, name), (its_metric, baseline, its_name) = one, other
    ours, theirs = arm.values(metric), baseline.values(its_metric)
    seeds = ours.index.intersection(theirs.index)
    if seeds.empty:
        return None
    interval, questions, problem = None, None, None
    if metric.answers and its_metric.answers:
        runs = [{run.record.seed: run for run in one.completed} for one in (arm, baseline)]
        try:
            answers = differences_by_question(
                [(Sheet(runs[0][seed], metric.answers), Sheet(runs[1][seed], its_metric.answers)) for seed in seeds]
            )
        except UnpairableError as error:
            problem = str(error)
        else:
            interval, questions = crossed_interval(answers), answers.shape[1]
    else:
        interval = paired_interval(np.asarray(ours[seeds] - theirs[seeds], dtype=np.float64))
    return PairedDifference(
        metric,
        name,
        its_name,
        len(seeds),
        float(ours[seeds].mean()),
        float(theirs[seeds].mean()),
        interval,
        questions,
        problem,
    )


@dataclass(frozen=True)
class Comparison:
    """An arm against its baseline, in every metric that both measured in a seed they share."""

    arm: Arm
    baseline: Arm
    differences: Sequence[PairedDifference]

    def of(self, metric: Metric) -> PairedDifference | None:
        return next((one for one in self.differences if one.metric is metric), None)


def compare(arms: Sequence[Arm]) -> list[Comparison]:
    """Each arm but the baselines; its differences in the order of METRICS."""
    return [
        Comparison(
            arm,
            baseline,
            [one for metric in METRICS if (one := difference(metric, arm, baseline)) is not None],
        )
        for arm, baseline in opponents(arms)
    ]
