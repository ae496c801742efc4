"""What a worker reports to its parent: one JSON object a line in events.jsonl.

A line is written whole and at once, so a worker that is killed leaves every event before its death.
Times are seconds since the epoch, from the machine's one clock, so that they join with the sampler's readings.
"""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.base import json_lines
from harness.base.json_lines import LineReader


class Phase(StrEnum):
    """What a worker is doing, as memory is kept apart by it."""

    LOAD = "load"
    """From the start of the worker to the first optimizer step: imports, tokenization, weights."""
    TRAIN = "train"
    VALIDATE = "validate"
    """The validation loss, in the midst of training."""
    SAVE = "save"
    EVALUATE = "evaluate"
    """The benchmark, in a worker of its own."""


class _Event(BaseModel):
    # A loss that is not finite is a result: as null it would be no loss at all, and as text it is JSON to all readers.
    model_config = ConfigDict(ser_json_inf_nan="strings")

    time: float = Field(default_factory=time.time)


class PhaseStarted(_Event):
    """A worker begins a phase, and with it ends the one before."""

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
    gradient_checkpointing: bool
    """As the model's modules are set; whether it happened is in FirstStep."""
    attention: str | None = None
    """The kernel that transformers chose (eager, sdpa, flash_attention_2); several are joined by ` / `."""
    norm_dtype: str | None = None
    """In which the normalisation layers hold their weights; joined likewise."""
    adapter_dtype: str | None = None
    """In which what is trained is held; joined likewise."""
    adapter_bytes: int | None = None
    """Of all that is trained, as it is held."""


class FirstStep(_Event):
    """What the first optimizer step showed, which no configuration tells for sure. None: not measured."""

    kind: Literal["first_step"] = "first_step"
    recomputed: bool | None = None
    """Whether the layers' forward ran again in the backward pass: gradient checkpointing as it really was."""
    gradient_bytes: int | None = None
    optimizer_bytes: int | None = None
    """The optimizer's state of this process."""
    optimizer_dtype: str | None = None
    """Of that state, the step counter left out; several are joined by ` / `."""


class RowsTrained(_Event):
    """What the trainer was given, batch by batch, by this process."""

    kind: Literal["rows_trained"] = "rows_trained"
    digest: str
    """Hash of the token ids of every row, in the order of training."""
    rows: int
    tokens: int
    """Without padding."""
    padding_tokens: int


class LibrariesImported(_Event):
    """What the process takes before any weight is loaded: the runtime's own part of the memory."""

    kind: Literal["libraries_imported"] = "libraries_imported"
    resident_mib: float | None = None


class AdapterChecked(_Event):
    """The loss of one batch, by the model as it was trained and by the adapter as it was loaded to be scored."""

    kind: Literal["adapter_checked"] = "adapter_checked"
    trained_loss: float
    """Nats a token."""
    loaded_loss: float
    noise: float
    """How far apart they may be: what precision and kernels explain."""

    @property
    def is_same(self) -> bool:
        """Whether it is the same model. Not where a loss is no number."""
        return abs(self.loaded_loss - self.trained_loss) <= self.noise


class ComputeDtypeMeasured(_Event):
    """In what the base's linear layers computed in the first training step."""

    kind: Literal["compute_dtype"] = "compute_dtype"
    dtype: str
    """torch's name, as in `bfloat16`; several are joined by ` / `."""


class RowsTokenized(_Event):
    """What became of the training rows before the first step; not told where they are read as it trains (streaming)."""

    kind: Literal["rows_tokenized"] = "rows_tokenized"
    rows: int
    """Those that are trained on."""
    at_cutoff: int
    """Rows as long as the cutoff: they were cut, but for one that happens to be just as long."""
    cutoff_tokens: int
    sequences: int | None = None
    """What they were packed into; None: they were not."""
    held_out: int = 0
    """Rows that LLaMA-Factory split off to validate on (`val_size`)."""
    validation: int | None = None
    """Rows that are validated on; None: none are, or an older version did not tell."""
    tokenize_seconds: float | None = None
    """Of its loading, what the process took to tokenize rows for all of the sweep; None: another had, or they are not
    shared."""


class TrainingStarted(_Event):
    """The model is loaded and the first step is next."""

    kind: Literal["training_started"] = "training_started"
    total_steps: int


class TrainingStep(_Event):
    """An optimizer step is done."""

    kind: Literal["step"] = "step"
    step: int
    tokens: int
    """Tokens of all processes since training began, padding not counted (transformers gathers them)."""


class TrainingLoss(_Event):
    """What transformers reports of the training every logging_steps."""

    kind: Literal["loss"] = "loss"
    step: int
    loss: float
    """Mean over the steps since the last one reported."""
    learning_rate: float
    gradient_norm: float | None = None


class ValidationLoss(_Event):
    """The loss on the rows that were held out, in nats a token."""

    kind: Literal["validation_loss"] = "validation_loss"
    step: int
    loss: float


class TrainingFinished(_Event):
    """The training loop has reached its end."""

    kind: Literal["training_finished"] = "training_finished"
    train_seconds: float
    """Wall time of the training loop without validation."""
    validation_seconds: float
    """What the validation loss took, beside train_seconds."""
    steps: int
    tokens: int
    kept_step: int | None = None
    """The step whose weights are kept, the best by its validation loss or what else was asked for
    (`load_best_model_at_end`); None: the last one's."""


class EvaluationProgress(_Event):
    """So many questions or prompts are answered."""

    kind: Literal["evaluation_progress"] = "evaluation_progress"
    done: int
    total: int


class FailureCause(StrEnum):
    """What kind of failure ended a worker."""

    ERROR = "error"
    OUT_OF_MEMORY = "out_of_memory"
    UNSUPPORTED = "unsupported"
    """The device cannot do what was asked of it."""


class Failure(_Event):
    """The last words of a worker that could still speak."""

    kind: Literal["failure"] = "failure"
    error: str
    """The exception's type and message."""
    cause: FailureCause


Event = Annotated[
    PhaseStarted
    | PhasePeaks
    | Evidence
    | FirstStep
    | RowsTrained
    | LibrariesImported
    | AdapterChecked
    | ComputeDtypeMeasured
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
    """Append an event to the events.jsonl at `path`. Raises OSError where the disk has no room for it."""
    json_lines.append(path, [event])


class EventReader(LineReader[Event]):
    """Reads an events.jsonl as it grows."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Event)


def read(path: Path) -> list[Event]:
    """Return every event in the events.jsonl at `path`; none where there is no such file, or none to be read."""
    return read_lines(path, Event)[0]


class ReportedLoss(BaseModel):
    """Of a TrainingLoss or a ValidationLoss what a curve is drawn from."""

    time: float
    kind: Literal["loss", "validation_loss"]
    step: int
    loss: float


def read_losses(path: Path) -> list[ReportedLoss]:
    """Return the losses in the events.jsonl at `path`, which are few among all that is reported."""
    losses: list[ReportedLoss] = read_lines(path, ReportedLoss, only=b'loss"')[0]
    return losses


def read_lines(path: Path, type_: Any, only: bytes | None = None) -> tuple[list[Any], int]:
    """Return what can be read of a file of JSON lines to which nobody writes any more, and how many lines cannot.

    What is there and cannot be read at all, such as a folder, counts as a line."""
    reader: LineReader[Any] = LineReader(path, type_, only)
    try:
        return reader.all(), reader.skipped
    except OSError:
        return [], 1
