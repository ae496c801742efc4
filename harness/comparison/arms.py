"""The things compared: each arm with its runs, and which arm it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas

from harness.comparison.columns import row
from harness.comparison.metrics import Metric
from harness.comparison.runs import Run, Sweep
from harness.comparison.settings import Settings, differences, merged


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

    @cached_property
    def by_seed(self) -> dict[int, Run]:
        """The completed runs."""
        return {run.record.seed: run for run in self.completed}

    @property
    def seeds(self) -> list[int]:
        """Those of the completed runs."""
        return list(self.by_seed)

    @cached_property
    def _rows(self) -> dict[int, dict[str, object]]:
        return {seed: row(run.label, run.record, run.folder.path) for seed, run in self.by_seed.items()}

    def _measured(self, metric: Metric) -> pandas.Series[float]:
        cells = {seed: cells[metric.key] for seed, cells in self._rows.items() if cells[metric.key] is not None}
        return pandas.Series(cells, dtype=float)

    def values(self, metric: Metric) -> pandas.Series[float]:
        """Return the finite values by seed, of completed runs that measured it."""
        measured = self._measured(metric)
        return measured[np.isfinite(measured)]

    def not_finite(self, metric: Metric) -> list[int]:
        """Return the seeds of completed runs in which it was NaN or infinite."""
        measured = self._measured(metric)
        return [int(seed) for seed in measured.index[~np.isfinite(measured)]]

    def sensors(self, metric: Metric) -> set[str]:
        """Return what measured it, over the completed runs."""
        peaks = [peak for run in self.completed for peak in run.record.memory]
        return {peak.sensor for peak in peaks if peak.quantity is metric.quantity}


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
