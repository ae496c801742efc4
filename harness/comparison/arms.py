"""The things compared: each arm with its runs, and which arm it is compared with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas

from harness.comparison.columns import row
from harness.comparison.metrics import Metric
from harness.comparison.runs import Run, Sweep
from harness.comparison.settings import Settings, differences, merged
from harness.runs.record import Outcome


@dataclass(frozen=True)
class Summary:
    """A metric over the completed runs of an arm that measured it."""

    mean: float | None
    """Of the values that are finite; None where none is."""
    spread: float | None
    """Standard deviation over seeds; None with one."""
    n: int
    """Of the finite values."""
    not_finite: int
    """How many were NaN or infinite: those are in neither mean nor spread."""


@dataclass(frozen=True)
class Arm:
    """Runs that differ in their seeds alone."""

    label: str
    runs: tuple[Run, ...]

    @property
    def completed(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.completed)

    @property
    def diverged(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.diverged)

    @property
    def is_baseline(self) -> bool:
        return self.runs[0].record.arm == self.runs[0].record.baseline

    @cached_property
    def settings(self) -> Settings:
        return merged(run.settings for run in self.runs)

    @property
    def seeds(self) -> list[int]:
        """Those of the completed runs."""
        return [run.record.seed for run in self.completed]

    @cached_property
    def _rows(self) -> dict[int, dict[str, object]]:
        return {run.record.seed: row(run.label, run.record, run.folder.path) for run in self.completed}

    def _measured(self, metric: Metric) -> dict[int, float]:
        cells = {seed: cells.get(metric.key) for seed, cells in self._rows.items()}
        return {seed: float(value) for seed, value in cells.items() if isinstance(value, int | float)}

    def values(self, metric: Metric) -> pandas.Series[float]:
        """Return the finite values by seed, of completed runs that measured it."""
        finite = {seed: value for seed, value in self._measured(metric).items() if math.isfinite(value)}
        return pandas.Series(finite, dtype=float)

    def not_finite(self, metric: Metric) -> list[int]:
        """Return the seeds of completed runs in which it was NaN or infinite."""
        return [seed for seed, value in self._measured(metric).items() if not math.isfinite(value)]

    def summary(self, metric: Metric) -> Summary | None:
        """Return None where no completed run measured it."""
        values, not_finite = self.values(metric), self.not_finite(metric)
        if values.empty and not not_finite:
            return None
        return Summary(
            None if values.empty else float(values.mean()),
            float(values.std()) if len(values) > 1 else None,
            len(values),
            len(not_finite),
        )

    def sensors(self, metric: Metric) -> set[str]:
        """Return what measured it, over the completed runs."""
        return {
            peak.sensor
            for run in self.completed
            for peak in run.record.memory
            if metric.quantity is not None and peak.quantity is metric.quantity
        }

    def outcomes(self) -> Counter[Outcome]:
        """Return how many runs ended in each way."""
        return Counter(run.record.status for run in self.runs)


def arms_of(sweep: Sweep) -> list[Arm]:
    """Return the arms of a sweep, baselines first, else in the order of the sweep."""
    grouped: dict[str, list[Run]] = {}
    for run in sweep.runs:
        grouped.setdefault(run.label, []).append(run)
    arms = [Arm(label, tuple(runs)) for label, runs in grouped.items()]
    return sorted(arms, key=lambda arm: not arm.is_baseline)


def opponents(arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Return each arm with the one it is compared with: of the baselines the one whose settings are nearest to its own.

    Without a baseline, or with nothing else, the first arm takes that part."""
    baselines = [arm for arm in arms if arm.is_baseline]
    others = [arm for arm in arms if not arm.is_baseline]
    if not baselines or not others:
        baselines, others = list(arms[:1]), list(arms[1:])
    return [
        (arm, min(baselines, key=lambda baseline: len(differences(arm.settings, baseline.settings)))) for arm in others
    ]
