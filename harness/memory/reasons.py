"""Why arms need what they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.memory.forecast import ArmForecast
from harness.runs.forecasted import MemoryPart, PhaseForecast

_NEGLIGIBLE = 0.01
"""Of what the baseline needs: a part that differs by less makes no difference."""


@dataclass(frozen=True)
class Reason:
    """Why an arm needs more or less than its baseline, each at its own peak."""

    arm: str
    baseline: str
    largest: MemoryPart
    """What the arm needs most for."""
    largest_mib: tuple[float, float]
    """Of the arm and of its baseline."""
    saved_mib: dict[MemoryPart, float]
    """By part, the largest first; below 0: the arm needs more."""

    @property
    def is_shared(self) -> bool:
        """Whether the largest part is as large in both."""
        own, other = self.largest_mib
        return abs(own - other) <= _NEGLIGIBLE * max(own, other)


def reasons(arms: Sequence[ArmForecast]) -> list[Reason]:
    """Return the reason of each arm that has a baseline among them."""
    found = []
    for arm in arms:
        baseline = next((other for other in arms if _is_baseline_of(other, arm)), None)
        if baseline is not None:
            found.append(_reason(arm, baseline))
    return found


def _is_baseline_of(other: ArmForecast, arm: ArmForecast) -> bool:
    return (
        other.arm.is_baseline
        and not arm.arm.is_baseline
        and other.arm.others == arm.arm.others
        and other.forecast.device == arm.forecast.device
    )


def _reason(arm: ArmForecast, baseline: ArmForecast) -> Reason:
    own, other = arm.forecast.peak, baseline.forecast.peak
    largest = max((part for part in own.parts if part is not MemoryPart.CONTEXT), key=own.parts.__getitem__)
    saved = {part: _of(other, part) - _of(own, part) for part in MemoryPart}
    noticed = _NEGLIGIBLE * other.peak_device_mib
    return Reason(
        arm.arm.name,
        baseline.arm.name,
        largest,
        (own.parts[largest], _of(other, largest)),
        {part: mib for part, mib in sorted(saved.items(), key=lambda item: -abs(item[1])) if abs(mib) >= noticed},
    )


def _of(phase: PhaseForecast, part: MemoryPart) -> float:
    return phase.parts.get(part, 0.0)
