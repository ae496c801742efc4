"""What a run's memory and time went to, part by part, as far as it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.devices.reading import Quantity
from harness.runs.events import Phase
from harness.runs.record import Record

MIB = 2**20


class MeasuredPart(StrEnum):
    """What holds memory while a run trains: a forecast's parts as far as sensors tell them apart."""

    WEIGHTS = "weights"
    """Of the base, quantization constants included."""
    ADAPTER = "adapter"
    GRADIENTS = "gradients"
    OPTIMIZER = "optimizer"
    ACTIVATIONS = "activations"
    """With logits and what kernels take for a moment: what tensors took beside the parts above."""
    SLACK = "allocator_slack"
    """What torch's allocator held and no tensor took."""
    CONTEXT = "runtime_context"
    """On a chip what lies outside of torch's allocator; on a CPU the process before it loaded anything."""
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class MemoryParts:
    """The peak of the training phase and what it consists of."""

    quantity: Quantity
    """What the peak is of."""
    peak_mib: float
    mib: Mapping[MeasuredPart, float]
    """They add up to the peak. A part that was not measured is not here, and is in `unexplained`, which may be below 0
    where parts did not reach their peaks together."""


def memory_parts(record: Record) -> MemoryParts | None:
    """Return the parts of the highest memory of training; None where no peak or no evidence was recorded."""
    evidence, first = record.evidence, record.first_step
    if evidence is None:
        return None
    parts: dict[MeasuredPart, float | None] = {
        MeasuredPart.WEIGHTS: sum(evidence.weight_bytes_by_dtype.values()) / MIB,
        MeasuredPart.ADAPTER: _mib(evidence.adapter_bytes),
        MeasuredPart.GRADIENTS: _mib(first.gradient_bytes) if first else None,
        MeasuredPart.OPTIMIZER: _mib(first.optimizer_bytes) if first else None,
    }
    allocated = _training_peak(record, Quantity.ALLOCATOR_ALLOCATED)
    reserved = _training_peak(record, Quantity.ALLOCATOR_RESERVED)
    device = _training_peak(record, Quantity.DEVICE, above_baseline=True)
    if allocated is not None and reserved is not None:
        if None not in parts.values():
            parts[MeasuredPart.ACTIVATIONS] = allocated - sum(mib for mib in parts.values() if mib is not None)
        parts[MeasuredPart.SLACK] = reserved - allocated
        parts[MeasuredPart.CONTEXT] = None if device is None else device - reserved
        quantity, peak = (Quantity.ALLOCATOR_RESERVED, reserved) if device is None else (Quantity.DEVICE, device)
    else:
        parts[MeasuredPart.CONTEXT] = record.runtime_mib
        resident = _training_peak(record, Quantity.RESIDENT)
        if resident is None:
            return None
        quantity, peak = Quantity.RESIDENT, resident
    known = {part: mib for part, mib in parts.items() if mib is not None}
    rest = peak - sum(known.values())
    return MemoryParts(quantity, peak, known | {MeasuredPart.UNEXPLAINED: rest} if abs(rest) > 0.5 else known)


def _mib(count: int | None) -> float | None:
    return None if count is None else count / MIB


def _training_peak(record: Record, quantity: Quantity, above_baseline: bool = False) -> float | None:
    peaks = [peak for peak in record.memory if peak.quantity is quantity and peak.phase is Phase.TRAIN]
    if above_baseline:
        return max((peak.peak_mib - peak.baseline_mib for peak in peaks if peak.baseline_mib is not None), default=None)
    return max((peak.peak_mib for peak in peaks), default=None)


class TimePart(StrEnum):
    """What a run's wall time went to."""

    LOAD = "load"
    WARMUP = "warmup"
    """The first optimizer steps, which seconds a step leave out."""
    STEPS = "steps"
    VALIDATE = "validate"
    SAVE = "save"
    EVALUATE = "evaluate"
    REST = "rest"
    """Starting and ending processes, and what no worker reported."""


def time_parts(record: Record) -> dict[TimePart, float]:
    """Return the seconds of each part of a run's wall time; none where its phases were not recorded."""
    if not record.phase_seconds:
        return {}
    seconds = {
        TimePart(phase.value): lasted for phase, lasted in record.phase_seconds.items() if phase is not Phase.TRAIN
    }
    training = record.phase_seconds.get(Phase.TRAIN)
    if training is not None:
        warmup = record.training.warmup_seconds if record.training else None
        seconds |= {TimePart.STEPS: training - (warmup or 0.0)}
        if warmup is not None:
            seconds[TimePart.WARMUP] = warmup
    if record.wall_seconds is not None:
        seconds[TimePart.REST] = record.wall_seconds - sum(seconds.values())
    return {part: seconds[part] for part in TimePart if part in seconds}
