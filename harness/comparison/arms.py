"""The things compared: each arm with its runs, and which arm it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas

from harness.comparison.metrics import METRICS, Metric
from harness.comparison.runs import Run, Sweep
from harness.comparison.settings import Settings, merged, nearest
from harness.devices.reading import Quantity

_NOTHING = pandas.Series(dtype=float)


@dataclass(frozen=True)
class Arm:
    """Runs that differ in their seeds alone."""

    label: str
    runs: tuple[Run, ...]

    @cached_property
    def completed(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.completed)

    @cached_property
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

    @cached_property
    def seeds(self) -> list[int]:
        """Those of the completed runs."""
        return list(self.by_seed)

    @cached_property
    def _measured(self) -> dict[str, tuple[pandas.Series[float], list[int]]]:
        """Of each metric that a completed run measured the finite values by seed, and the other seeds."""
        seeds = pandas.Index(self.seeds)
        rows = [run.cells for run in self.by_seed.values()]
        found = {}
        for metric in METRICS:
            # What was not measured is None, which is no NaN that was measured.
            cells_of_metric = [cells[metric.key] for cells in rows]
            is_told = [cell is not None for cell in cells_of_metric]
            if any(is_told):
                values = np.array(cells_of_metric, dtype=np.float64)
                is_finite = np.isfinite(values)
                series = pandas.Series(values[is_finite], seeds if is_finite.all() else seeds[is_finite])
                found[metric.key] = series, [int(seed) for seed in seeds[is_told & ~is_finite]]
        return found

    def values(self, metric: Metric) -> pandas.Series[float]:
        """Return the finite values by seed, of completed runs that measured it."""
        return self._measured[metric.key][0] if metric.key in self._measured else _NOTHING

    def not_finite(self, metric: Metric) -> list[int]:
        """Return the seeds of completed runs in which it was NaN or infinite."""
        return self._measured[metric.key][1] if metric.key in self._measured else []

    @cached_property
    def _sensors(self) -> dict[Quantity, set[str]]:
        found: dict[Quantity, set[str]] = {}
        for run in self.completed:
            for peak in run.record.memory:
                found.setdefault(peak.quantity, set()).add(peak.sensor)
        return found

    def sensors(self, metric: Metric) -> set[str]:
        """Return what measured it, over the completed runs."""
        return set() if metric.quantity is None else self._sensors.get(metric.quantity, set())


def arms_of(sweep: Sweep) -> list[Arm]:
    """Return the arms of a sweep, in the order of its runs: baselines first."""
    grouped: dict[str, list[Run]] = {}
    for run in sweep.runs:
        grouped.setdefault(run.label, []).append(run)
    return [Arm(label, tuple(runs)) for label, runs in grouped.items()]


def opponents(arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Return each arm with the one it is compared with: of the baselines the one whose settings are nearest to its own.

    Without a baseline, or with nothing else, the first arm takes that part."""
    baselines = [arm for arm in arms if arm.is_baseline]
    others = [arm for arm in arms if not arm.is_baseline]
    if not baselines or not others:
        baselines, others = list(arms[:1]), list(arms[1:])
    places = nearest([arm.settings for arm in others], [baseline.settings for baseline in baselines])
    return [(arm, baselines[place]) for arm, place in zip(others, places, strict=True)]
