"""Which arms no other beats in everything, by their means: noise is not asked."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from harness.comparison.arms import Arm
from harness.comparison.metrics import Metric, Unit


def _mean(arm: Arm, metric: Metric) -> float:
    return fmean(arm.values(metric).values())


def _cost(arm: Arm, metric: Metric) -> float:
    return -_mean(arm, metric) if metric.more_is_better else _mean(arm, metric)


def dominated(arms: Sequence[Arm], metrics: Sequence[Metric]) -> set[str]:
    """Return the labels of those that another arm is at least as good as in every metric, and better than in one."""
    costs = np.array([[_cost(arm, metric) for metric in metrics] for arm in arms])
    return {
        arm.label
        for arm, own in zip(arms, costs, strict=True)
        if ((costs <= own).all(axis=1) & (costs < own).any(axis=1)).any()
    }


def front(arms: Sequence[Arm], cost: Metric, worth: Metric) -> list[tuple[float, float]]:
    """Return the means of `cost` and `worth` (a share in percent) of those that none dominates in the two, by cost."""
    scale = 100 if worth.unit is Unit.SHARE else 1
    beaten = dominated(arms, (cost, worth))
    best = [arm for arm in arms if arm.label not in beaten]
    return sorted((_mean(arm, cost), scale * _mean(arm, worth)) for arm in best)
