"""One sweep made twice, after an upgrade or on another machine: what moved by more than its noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from harness.comparison import estimates
from harness.comparison.arms import Arm, arms_of
from harness.comparison.differences import PairedDifference, difference
from harness.comparison.estimates import Estimate, Part
from harness.comparison.fairness import OtherCause, fairness
from harness.comparison.metrics import METRICS, Aspect, Metric
from harness.comparison.runs import Run, load_sweep
from harness.comparison.settings import differences

ALPHA = 0.05
_MAY_CHANGE = ("versions.", "device", "hardware", "chips", "stand_in", "precision", "threads")
"""Settings that an upgrade or another machine changes; with any other, it is another arm."""


class Move(StrEnum):
    """Which way a metric went."""

    BETTER = "better"
    WORSE = "worse"
    MOVED = "moved"
    """By more than its noise, where neither way is better."""
    WITHIN_NOISE = "within_noise"
    UNKNOWN = "unknown"
    """One seed, or too few questions: there is no noise to hold it against."""


@dataclass(frozen=True)
class MetricChange:
    """A metric of one arm, then and now."""

    paired: PairedDifference
    """Its arm is the new one, its baseline the old one."""
    move: Move
    p_value: float | None
    """Corrected for the number of metrics and arms (Holm). None: the values are exact, or there is no noise."""


@dataclass(frozen=True)
class ArmChange:
    """One arm, then and now."""

    old: Arm
    new: Arm
    metrics: Sequence[MetricChange]
    causes: Sequence[OtherCause]
    """What changed around it: versions, driver, machine."""
    failing: Sequence[Run]
    """New runs that did not complete, of seeds that the old one completed."""

    @property
    def is_worse(self) -> bool:
        return bool(self.failing) or any(metric.move is Move.WORSE for metric in self.metrics)


@dataclass(frozen=True)
class Change:
    """Two sweeps held against each other."""

    arms: Sequence[ArmChange]
    only_old: Sequence[Arm]
    """Without a counterpart that has the same settings."""
    only_new: Sequence[Arm]

    @property
    def is_worse(self) -> bool:
        """Whether a metric got worse by more than its noise, or a run fails that did not."""
        return any(arm.is_worse for arm in self.arms)


def change(old: Path, new: Path) -> Change:
    """Match the arms of two sweeps by their settings and hold them against each other. Raises OSError."""
    before, after = arms_of(load_sweep(old)), arms_of(load_sweep(new))
    matched = list(_matched(before, after))
    found = [[paired for metric in METRICS if (paired := _difference(metric, *pair)) is not None] for pair in matched]
    tested = [paired for of_arm in found for paired in of_arm if paired.interval is not None]
    raw = [paired.estimate.p_different() for paired in tested if paired.estimate is not None]
    corrected = dict(zip(map(id, tested), estimates.holm(raw), strict=True))
    arms = [
        ArmChange(
            then,
            now,
            [_change(paired, corrected.get(id(paired))) for paired in of_arm],
            fairness(now, then).causes,
            [run for run in now.runs if not run.completed and run.record.seed in then.by_seed],
        )
        for (now, then), of_arm in zip(matched, found, strict=True)
    ]
    gone = [arm for arm in before if arm not in [then for _, then in matched]]
    return Change(arms, gone, [arm for arm in after if arm not in [now for now, _ in matched]])


def _matched(before: Sequence[Arm], after: Sequence[Arm]) -> Iterator[tuple[Arm, Arm]]:
    """Yield each new arm with the old one of the same settings."""
    free = list(before)
    for now in after:
        for then in free:
            if not [key for key in differences(now.settings, then.settings) if not key.startswith(_MAY_CHANGE)]:
                free.remove(then)
                yield now, then
                break


def _difference(metric: Metric, now: Arm, then: Arm) -> PairedDifference | None:
    """Return new minus old. What a seed does not pair, time above all, is held against the spread of both sides."""
    paired = difference(metric, now, metric, then)
    if paired is None or paired.metric.aspect is not Aspect.TIME or paired.effect is None:
        return paired
    logs = [np.log(values) for values in (paired.arm_values, paired.baseline_values)]
    if len(paired.seeds) < 2:
        return paired
    parts = tuple(Part(float(side.var(ddof=1)) / len(side), len(side) - 1) for side in logs)
    return replace(paired, estimate=Estimate(paired.effect, parts))


def _change(paired: PairedDifference, p_value: float | None) -> MetricChange:
    effect = paired.effect
    if paired.is_none:
        return MetricChange(paired, Move.WITHIN_NOISE, None)
    if effect is None or (p_value is None and not paired.is_exact):
        return MetricChange(paired, Move.UNKNOWN, None)
    if p_value is not None and p_value >= ALPHA:
        return MetricChange(paired, Move.WITHIN_NOISE, p_value)
    better = paired.metric.more_is_better
    if better is None:
        return MetricChange(paired, Move.MOVED, p_value)
    return MetricChange(paired, Move.BETTER if (effect > 0) == better else Move.WORSE, p_value)
