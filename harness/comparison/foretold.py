"""What was forecast of a run's memory, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.comparison.parts import MemoryPart, memory_parts
from harness.devices.reading import Quantity
from harness.runs.forecasted import ForecastPhase
from harness.runs.forecasted import MemoryPart as Needed
from harness.runs.record import Record

_MEASURED_AS = {
    Needed.WEIGHTS: MemoryPart.WEIGHTS,
    Needed.ADAPTER: MemoryPart.ADAPTER,
    Needed.GRADIENTS: MemoryPart.GRADIENTS,
    Needed.OPTIMIZER: MemoryPart.OPTIMIZER,
    Needed.ACTIVATIONS: MemoryPart.ACTIVATIONS,
    Needed.LOSS: MemoryPart.ACTIVATIONS,
    Needed.WORKSPACE: MemoryPart.ACTIVATIONS,
    Needed.SLACK: MemoryPart.WORKSPACE,
    Needed.CONTEXT: MemoryPart.RUNTIME,
}
"""No sensor parts logits, and what is unpacked for a moment, from the other tensors."""


@dataclass(frozen=True)
class Foretold:
    """The peak of a training, in MiB: what was forecast, and what was measured."""

    quantity: Quantity
    """What was measured."""
    forecast_mib: float
    measured_mib: float
    forecast_parts_mib: Mapping[MemoryPart, float]
    measured_parts_mib: Mapping[MemoryPart, float]


def foretold(record: Record) -> Foretold | None:
    """Return a run's; None where nothing was forecast, or no peak of its training was measured.

    On a CPU the process as it was before it loaded anything is in neither."""
    measured = memory_parts(record)
    if record.forecast is None or measured is None:
        return None
    phase = next((each for each in record.forecast.phases if each.phase is ForecastPhase.TRAIN), None)
    if phase is None:
        return None
    parts: dict[MemoryPart, float] = {}
    for needed, mib in phase.parts.items():
        part = _MEASURED_AS[needed]
        parts[part] = parts.get(part, 0.0) + mib
    outside = 0.0
    if measured.quantity is not Quantity.DEVICE:
        parts.pop(MemoryPart.RUNTIME, None)
    if measured.quantity is Quantity.RESIDENT:
        outside = measured.mib.get(MemoryPart.RUNTIME, 0.0)
    return Foretold(
        measured.quantity,
        sum(parts.values()),
        measured.peak_mib - outside,
        parts,
        {part: mib for part, mib in measured.mib.items() if part is not MemoryPart.RUNTIME or not outside},
    )
