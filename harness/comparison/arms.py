"""The things compared: each arm with its runs, and which arm it is compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.comparison.metrics import METRICS, Metric
from harness.comparison.runs import Run, Sweep
from harness.comparison.settings import Settings, merged, nearest
from harness.devices.reading import Quantity


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
    def _measured(self) -> dict[str, tuple[dict[int, float], list[int]]]:
        """Of each metric the finite values by seed, and the seeds in which it was measured and is not finite."""
        found = {}
        for metric in METRICS:
            cells = {seed: run.cells[metric.key] for seed, run in self.by_seed.items()}
            # What was not measured is None, which is no NaN that was measured.
            told = {seed: float(cell) for seed, cell in cells.items() if cell is not None}
            finite = {seed: value for seed, value in told.items() if math.isfinite(value)}
            found[metric.key] = finite, [seed for seed in told if seed not in finite]
        return found

    def values(self, metric: Metric) -> Mapping[int, float]:
        """Return the finite values by seed, of completed runs that measured it."""
        return self._measured[metric.key][0]

    def not_finite(self, metric: Metric) -> list[int]:
        """Return the seeds of completed runs in which it was NaN or infinite."""
        return self._measured[metric.key][1]

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
