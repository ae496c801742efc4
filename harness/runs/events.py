"""What a child process reports to its parent: one JSON object a line in events.jsonl.

A line is written whole and at once, so a child that is killed leaves every event before its death.
Times are seconds since the epoch, from the machine's one clock, so that they join with the sampler's readings.
"""

from __future__ import annotations

import os
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from harness.base.json_lines import LineReader


class Phase(StrEnum):
    LOAD = "load"
    """From the start of the child to the first optimizer step: imports, tokenization, weights."""
    TRAIN = "train"
    VALIDATE = "validate"
    """The validation loss, in the midst of training."""
    SAVE = "save"
    EVALUATE = "evaluate"
    """The benchmark, in a child of its own."""


class _Event(BaseModel):
    time: float = Field(default_factory=time.time)


class PhaseStarted(_Event):
    kind: Literal["phase_started"] = "phase_started"
    phase: Phase


class PhasePeaks(_Event):
    """Highest memory of the phase that just ended, as the process itself knows it. None: not measured here."""

    kind: Literal["phase_peaks"] = "phase_peaks"
    phase: Phase
    allocator_allocated_mib: float | None = None
    """Of torch's caching allocator on the one chip that the process trains on."""
    allocator_reserved_mib: float | None = None
    resident_mib: float | None = None
    """Linux VmHWM of this process, reset at the phase's start; holds shared library pages too."""


class Evidence(_Event):
    """What proves that the model was loaded as its configuration says; counted after loading, before training."""

    kind: Literal["evidence"] = "evidence"
    quantized_modules: int
    linear_modules: int
    """Linear layers of the base, quantized or not; the adapter's own are not counted."""
    weight_bytes_by_dtype: dict[str, int]
    """Bytes of the base: packed weights under nf4, fp4 or int8, their constants under `quantization state`."""
    trainable_parameters: int
    total_parameters: int
    """Logical parameters of base and adapter: a packed 4-bit weight counts for all that it holds."""
    compute_dtype: str
    gradient_checkpointing: bool


class RowsTokenized(_Event):
    """What the cutoff takes from the training rows; not told where rows are packed together."""

    kind: Literal["rows_tokenized"] = "rows_tokenized"
    rows: int
    """Those that LLaMA-Factory trains on: it leaves out what it cannot read."""
    at_cutoff: int
    """Rows as long as the cutoff: they were cut, but for one that happens to be just as long."""
    cutoff_tokens: int


class TrainingStarted(_Event):
    kind: Literal["training_started"] = "training_started"
    total_steps: int


class TrainingStep(_Event):
    kind: Literal["step"] = "step"
    step: int
    tokens: int
    """Tokens of this process since training began, padding not counted."""


class TrainingLoss(_Event):
    kind: Literal["loss"] = "loss"
    step: int
    loss: float
    """Mean over the steps since the last one reported."""
    learning_rate: float
    gradient_norm: float | None = None


class ValidationLoss(_Event):
    kind: Literal["validation_loss"] = "validation_loss"
    step: int
    loss: float


class TrainingFinished(_Event):
    kind: Literal["training_finished"] = "training_finished"
    train_seconds: float
    """Wall time of the training loop without validation."""
    validation_seconds: float
    """What the validation loss took, beside train_seconds."""
    steps: int
    tokens: int


class EvaluationProgress(_Event):
    kind: Literal["evaluation_progress"] = "evaluation_progress"
    done: int
    total: int


class FailureCause(StrEnum):
    ERROR = "error"
    OUT_OF_MEMORY = "out_of_memory"
    UNSUPPORTED = "unsupported"
    """The device cannot do what was asked of it."""


class Failure(_Event):
    """The last words of a child that could still speak."""

    kind: Literal["failure"] = "failure"
    error: str
    """The exception's type and message."""
    cause: FailureCause


Event = Annotated[
    PhaseStarted
    | PhasePeaks
    | Evidence
    | RowsTokenized
    | TrainingStarted
    | TrainingStep
    | TrainingLoss
    | ValidationLoss
    | TrainingFinished
    | EvaluationProgress
    | Failure,
    Field(discriminator="kind"),
]


def report(path: Path, event: Event) -> None:
    """Append an event to `path`, in one write so that a reader never sees half of another's line."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, event.model_dump_json().encode() + b"\n")
    finally:
        os.close(descriptor)


class EventReader(LineReader[Event]):
    """Reads an events file as it grows."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Event)


def read(path: Path) -> list[Event]:
    return list(EventReader(path).new())
