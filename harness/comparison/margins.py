"""Margins: how large a difference must be to matter. Named before a sweep, as keys of `comparison`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.comparison.intervals import Interval
from harness.comparison.metrics import Metric, Unit
from harness.comparison.pooling import started
from harness.config.schema import ComparisonConfig
from harness.runs.record import Record


@dataclass(frozen=True)
class Margins:
    """Within these, two arms serve equally well."""

    points: float
    """Of accuracy, in points of percent."""
    time_ratios: Interval
    """Of time and energy."""
    memory_ratios: Interval
    nats: float
    """Of a loss, in nats a token."""

    def of(self, metric: Metric) -> Interval:
        """Return the margin on the scale in which `metric` is compared: a share, nats, or the log of a ratio."""
        if metric.unit is Unit.SHARE:
            return Interval(-self.points / 100, self.points / 100)
        if metric.unit is Unit.NATS_PER_TOKEN:
            return Interval(-self.nats, self.nats)
        ratios = self.memory_ratios if metric.unit is Unit.MIB else self.time_ratios
        return Interval(math.log(ratios.low), math.log(ratios.high))


def margins_of(config: ComparisonConfig) -> Margins:
    """Return what the keys of `comparison` say."""
    return Margins(
        config.margin_points,
        Interval(*config.margin_time_ratios),
        Interval(*config.margin_memory_ratios),
        config.margin_nats,
    )


def settings_of(records: Sequence[Record]) -> list[ComparisonConfig]:
    """Return each set of keys under which runs were made, the newest first; the defaults where none was recorded."""
    found: list[ComparisonConfig] = []
    for record in sorted(records, key=started, reverse=True):
        keys = record.config.get("comparison")
        config = ComparisonConfig(**keys) if isinstance(keys, dict) else ComparisonConfig()
        if config not in found:
            found.append(config)
    return found or [ComparisonConfig()]
