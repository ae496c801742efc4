"""record.json: what a run leaves behind. Written last and atomically: no record, no finished run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, computed_field

from harness.devices.reading import Quantity
from harness.runs.events import Evidence, Phase, RowsTokenized

SCHEMA_VERSION = 1


class Outcome(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    OUT_OF_MEMORY = "out_of_memory"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    UNSUPPORTED = "unsupported"


class Diagnosis(BaseModel):
    """What the last words of a failed run mean."""

    line: str
    """The line that told it."""
    cause: str
    fix: str


class DivergenceKind(StrEnum):
    """What showed that a run diverged."""

    NOT_FINITE = "not_finite"
    """A training or validation loss was NaN or infinite."""
    NOT_LOWER = "not_lower"
    """The training loss ended no lower than it began."""


class Divergence(BaseModel):
    """Why a run counts as diverged. Losses are in nats a token."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    kind: DivergenceKind
    step: int
    """Of the first loss that was not finite, or of the last one reported."""
    first_loss: float
    """Mean of the first fifth of the losses that were reported."""
    last_loss: float
    """Mean of the last fifth; of the one that was not finite, that itself."""


class IdentityParts(BaseModel):
    """All that decides a run's result, part by part; the run's identity is their hash (harness.plan.identity)."""

    model_config = ConfigDict(frozen=True)

    model: str
    """Hash of the base's files, a hub id, or the sizes of random weights."""
    template: str
    evaluation: dict[str, Any]
    """The keys of `evaluation` that change an answer."""
    questions: str | None
    """Hash of the benchmark's questions, where they are on this machine."""
    precision: str
    device: list[Any]
    """Kind, product (None: planned where there is none), number of chips and, if any, what stood in for them."""
    threads: int | None
    versions: dict[str, str]
    """Of the libraries that can change a result."""
    method: dict[str, Any]
    quantization: dict[str, Any]
    rows: str
    """Hash of every row that is trained or validated on, in their order, and of how they are read."""
    cut: list[Any]
    """dataset.max_samples and dataset.val_size."""
    training: dict[str, Any]
    """The keys of `training` that change a weight."""
    llamafactory: dict[str, Any]
    seed: int
    processes: int
    """Of all machines together."""


class MemoryPeak(BaseModel):
    """The highest of one quantity in one phase, summed over the run's chips reading by reading."""

    phase: Phase
    quantity: Quantity
    sensor: str
    peak_mib: float
    baseline_mib: float | None = None
    """The same quantity before the run started; None where it has none."""
    readings: int | None = None
    """How many samples the peak was taken from; None where the peak is exact (a high-water mark)."""


class Training(BaseModel):
    """What a training came to that reached its end."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    train_seconds: float
    """Wall time of the training loop without imports, loading and validation."""
    validation_seconds: float
    steps: int
    tokens: int
    tokens_per_second: float
    """tokens / train_seconds."""
    train_loss: float | None
    """The last one reported, also where that is not finite."""
    validation_loss: float | None
    """The last one reported, also where that is not finite."""
    adapter_mib: float | None


class Score(BaseModel):
    """What a benchmark gave. The questions themselves are in answers.jsonl beside it."""

    benchmark: str
    accuracy: float
    """Share of right answers, 0 to 1."""
    correct: int
    questions: int
    seconds: float
    """Wall time of generating and scoring, without imports and loading."""
    generated_tokens: int


class Answer(BaseModel):
    """One question and what a model made of it: one line of answers.jsonl, in the order of `index`."""

    index: int
    question: str
    expected: str
    answer: str
    """The whole generated text."""
    extracted: str
    """What the benchmark took as the answer."""
    correct: bool
    generated_tokens: int


class Reply(BaseModel):
    """What a model said to one of evaluation.prompts."""

    prompt: str
    expected: str | None = None
    """Text that the answer must contain; None: nothing is expected."""
    answer: str
    """The whole generated text."""
    generated_tokens: int
    finished: bool
    """False: it was cut off at evaluation.max_new_tokens."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool | None:
        """None: nothing was expected."""
        return None if self.expected is None else self.expected in self.answer


def passed(replies: Iterable[Reply]) -> tuple[int, int] | None:
    """How many answers hold the text that was expected, and of how many one was; None: of none."""
    outcomes = [reply.passed for reply in replies if reply.passed is not None]
    return (sum(outcomes), len(outcomes)) if outcomes else None


class Sampling(BaseModel):
    """How the sensors of a run were read."""

    interval_seconds: float
    readings: int
    gaps: int
    """Readings that failed or did not come in time."""
    errors: list[str]
    """Each kind of error once."""


class Energy(BaseModel):
    """What the run's chips took, of one attempt."""

    watt_hours: float
    """Integrated over the whole run, loading and evaluation included, as far as `covered_seconds` reaches."""
    mean_watts: float
    """While it was known."""
    covered_seconds: float | None = None
    """Of the run's wall time what the energy is of: holes between readings are left out, not guessed. Where chips were
    read for differently long, the shortest. None: an older version, which bridged every hole, wrote the record."""
    max_temperature_celsius: float | None = None


class Tracking(BaseModel):
    """Whether SwanLab followed the run."""

    mode: str
    problem: str | None = None


class Environment(BaseModel):
    """On what a run ran."""

    versions: dict[str, str]
    """Python and the libraries that decide a result."""
    platform: str
    device: str
    """The product's name of the chip, or of the processor."""
    device_count: int
    cpu_count: int
    host_memory_mib: float
    git_commit: str | None = None
    """The commit of the harness that ran, with `-dirty` where its files were changed."""


class Record(BaseModel):
    """One run, as it ended; record.json."""

    schema_version: int = SCHEMA_VERSION
    status: Outcome
    reason: str | None = None
    """Why it is not completed."""
    sweep: str
    arm: str
    seed: int
    baseline: str
    """The arm that this sweep compares with."""
    identity: str
    """Hash of all that decides the run's result."""
    identity_parts: IdentityParts | None = None
    """What that is a hash of; None: the version that wrote the record kept the hash alone."""
    device: str
    """cpu, cuda or ascend."""
    stand_in: str | None = None
    """What stood in for the hardware, in words: then the figures are the CPU's and the stand-in's."""
    command: str
    """Repeats the run."""
    config: dict[str, Any]
    """Resolved, without secrets; the same as config.yaml."""
    environment: Environment
    started_at: datetime
    wall_seconds: float
    base_weights: str | None = None
    """Hash of the weights that the run started from; None: they are not in a folder, or it did not come so far."""
    rows: RowsTokenized | None = None
    """What was trained on, and what the cutoff took; None: rows were packed together, or it did not come so far."""
    memory: list[MemoryPeak] = []
    evidence: Evidence | None = None
    compute_dtype: str | None = None
    """What the base's linear layers gave out in the first training step, as torch names it; None: not measured."""
    training: Training | None = None
    diverged: bool | None = None
    """Whether its loss was not finite or ended no lower than it began; None: nobody looked, or there are too few."""
    divergence: Divergence | None = None
    score: Score | None = None
    base_score: Score | None = None
    """The base without adapter, scored once for a sweep."""
    base_folder: str | None = None
    """Where the base's answers are, relative to the sweep's folder."""
    merged_score: Score | None = None
    """The adapter merged into the unquantized base."""
    merged_memory: list[MemoryPeak] = []
    """While that was scored, in a child of its own after the run."""
    replies: list[Reply] = []
    """To evaluation.prompts as they were asked last."""
    base_replies: list[Reply] = []
    merged_replies: list[Reply] = []
    unscored: dict[str, str] = {}
    """Of evaluation.targets those that could not be scored after the run, and why."""
    sampling: Sampling | None = None
    energy: Energy | None = None
    tracking: Tracking | None = None
    unread_lines: int = 0
    """Of events and readings: torn ones, which are in no figure."""
    log_tail: list[str] = []
    """The last lines of the worker that failed."""
    diagnosis: Diagnosis | None = None
    """What they mean, where the symptom is known."""
