"""Two sweeps held against each other, as lines for a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.comparison.change import ArmChange, Change, MetricChange, Move
from harness.report.text import Text


def lines(change: Change, text: Text) -> Iterator[str]:
    """Yield what moved, arm by arm, and what changed around it."""
    if not change.arms:
        yield text.NOTHING_IN_COMMON
    for arm in change.arms:
        yield text.arm_change(arm)
        told = [metric for metric in arm.metrics if metric.move not in (Move.WITHIN_NOISE, Move.UNKNOWN)]
        unknown = [metric for metric in arm.metrics if metric.move is Move.UNKNOWN]
        details = [*text.failing(arm), *map(text.metric_change, told), *map(text.metric_change, unknown)]
        details += text.changed_around([text.cause_name(cause) for cause in arm.causes], arm.causes)
        yield from (f"  {detail}" for detail in details)
    yield from (text.without_counterpart(arm, is_old=True) for arm in change.only_old)
    yield from (text.without_counterpart(arm, is_old=False) for arm in change.only_new)


def as_json(change: Change) -> dict[str, Any]:
    """Return all of it as plain data, in the metrics' own units. Keys and words are the same in every language."""
    return {
        "worse": change.is_worse,
        "arms": [_arm(arm) for arm in change.arms],
        "only_old": [arm.label for arm in change.only_old],
        "only_new": [arm.label for arm in change.only_new],
    }


def _arm(arm: ArmChange) -> dict[str, Any]:
    return {
        "arm": arm.new.label,
        "worse": arm.is_worse,
        "failing_seeds": [run.record.seed for run in arm.failing],
        "metrics": {metric.paired.metric.key: _metric(metric) for metric in arm.metrics},
        "changed": [
            {"what": cause.fact.value, "key": cause.key, "old": cause.baseline_values, "new": cause.arm_values}
            for cause in arm.causes
        ],
    }


def _metric(change: MetricChange) -> dict[str, Any]:
    paired = change.paired
    interval = paired.ratio_interval if paired.metric.is_ratio else paired.interval
    return {
        "move": change.move.value,
        "old": paired.baseline_mean,
        "new": paired.arm_mean,
        "ratio": paired.ratio,
        "difference": paired.mean,
        "interval": interval and list(interval),
        "p_value": change.p_value,
        "seeds": list(paired.seeds),
        "unit": paired.metric.unit.value,
    }
