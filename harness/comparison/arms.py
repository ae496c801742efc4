"""The things compared: each arm with its runs, and which arm it is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas

from harness.comparison.columns import to_frame
from harness.comparison.metrics import Metric
from harness.comparison.pooling import differing_keys
from harness.comparison.runs import Run, Sweep


@dataclass(frozen=True)
class Summary:
    mean: float
    spread: float | None
    """Standard deviation over seeds; None with one."""
    n: int


@dataclass(frozen=True)
class Arm:
    label: str
    runs: tuple[Run, ...]

    @property
    def completed(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.completed)

    @property
    def is_baseline(self) -> bool:
        return self.runs[0].record.arm == self.runs[0].record.baseline

    @cached_property
    def frame(self) -> pandas.DataFrame:
        """The completed runs by seed, in the columns of `load_runs`."""
        rows = [(run.label, run.record, run.folder) for run in self.completed]
        return to_frame(rows).set_index("seed") if rows else pandas.DataFrame()

    def values(self, metric: Metric) -> pandas.Series[float]:
        """By seed, of completed runs that measured it."""
        return self.frame.get(metric.key, pandas.Series(dtype=float)).dropna()

    def summary(self, metric: Metric) -> Summary | None:
        values = self.values(metric)
        if values.empty:
            return None
        return Summary(float(values.mean()), float(values.std()) if len(values) > 1 else None, len(values))

    def sensors(self, metric: Metric) -> set[str]:
        """What measured it, over the completed runs."""
        return {
            peak.sensor
            for run in self.completed
            for peak in run.record.memory
            if metric.quantity is not None and peak.quantity is metric.quantity
        }

    def outcomes(self) -> str:
        """`2 out_of_memory, 1 failed`"""
        counts = Counter(run.record.status.value for run in self.runs)
        return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def arms_of(sweep: Sweep) -> list[Arm]:
    """Baselines first, else in the order of the sweep."""
    grouped: dict[str, list[Run]] = {}
    for run in sweep.runs:
        grouped.setdefault(run.label, []).append(run)
    arms = [Arm(label, tuple(runs)) for label, runs in grouped.items()]
    return sorted(arms, key=lambda arm: not arm.is_baseline)


def opponents(arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Each arm with the one it is compared with: of the baseline's configurations the one nearest to its own.

    Without a baseline, or with nothing else, the first arm takes that part.
    """
    baselines = [arm for arm in arms if arm.is_baseline]
    others = [arm for arm in arms if not arm.is_baseline]
    if not baselines or not others:
        baselines, others = list(arms[:1]), list(arms[1:])

    def distance(arm: Arm, baseline: Arm) -> int:
        return len(differing_keys([arm.runs[0].configuration, baseline.runs[0].configuration]))

    return [(arm, min(baselines, key=lambda baseline: distance(arm, baseline))) for arm in others]
