"""What was forecast of a run's memory, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.comparison.parts import MeasuredPart, memory_parts
from harness.devices.reading import Quantity
from harness.runs.forecasted import ForecastPhase, MemoryPart
from harness.runs.record import Record

_NOT_PARTED = (MemoryPart.LOSS, MemoryPart.WORKSPACE)
"""No sensor parts logits, and what is unpacked for a moment, from the other tensors."""


@dataclass(frozen=True)
class Foretold:
    """The peak of a training, in MiB: what was forecast, and what was measured."""

    quantity: Quantity
    """What was measured."""
    forecast_mib: float
    measured_mib: float
    forecast_parts_mib: Mapping[MeasuredPart, float]
    measured_parts_mib: Mapping[MeasuredPart, float]


def foretold(record: Record) -> Foretold | None:
    """Return a run's; None where nothing was forecast, or no peak of its training was measured.

    On a CPU the process as it was before it loaded anything is in neither."""
    measured = memory_parts(record)
    if record.forecast is None or measured is None:
        return None
    phase = next((each for each in record.forecast.phases if each.phase is ForecastPhase.TRAIN), None)
    if phase is None:
        return None
    parts: dict[MeasuredPart, float] = {}
    for needed, mib in phase.parts.items():
        part = MeasuredPart.ACTIVATIONS if needed in _NOT_PARTED else MeasuredPart(needed.value)
        parts[part] = parts.get(part, 0.0) + mib
    outside = 0.0
    if measured.quantity is not Quantity.DEVICE:
        parts.pop(MeasuredPart.CONTEXT, None)
    if measured.quantity is Quantity.RESIDENT:
        outside = measured.mib.get(MeasuredPart.CONTEXT, 0.0)
    return Foretold(
        measured.quantity,
        sum(parts.values()),
        measured.peak_mib - outside,
        parts,
        {part: mib for part, mib in measured.mib.items() if part is not MeasuredPart.CONTEXT or not outside},
    )
