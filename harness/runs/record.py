"""record.json: what a run leaves behind. Written last and atomically: no record, no finished run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, computed_field

from harness.devices.reading import Quantity
from harness.processes.symptoms import Diagnosis
from harness.runs.events import Evidence, Phase, RowsTokenized

FILE_NAME = "record.json"
SCHEMA_VERSION = 1


class Outcome(StrEnum):
    COMPLETED = "completed"
    OUT_OF_MEMORY = "out_of_memory"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    UNSUPPORTED = "unsupported"


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
    train_seconds: float
    """Wall time of the training loop without imports, loading and validation."""
    validation_seconds: float
    steps: int
    tokens: int
    tokens_per_second: float
    """tokens / train_seconds."""
    train_loss: float | None
    """The last one reported."""
    validation_loss: float | None
    """The last one reported."""
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
    interval_seconds: float
    readings: int
    gaps: int
    """Readings that failed or did not come in time."""
    errors: list[str]
    """Each kind of error once."""


class Energy(BaseModel):
    watt_hours: float
    """Integrated over the whole run, loading and evaluation included."""
    mean_watts: float
    max_temperature_celsius: float | None = None


class Tracking(BaseModel):
    mode: str
    problem: str | None = None


class Environment(BaseModel):
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
    training: Training | None = None
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
    log_tail: list[str] = []
    """The last lines of the child that failed."""
    diagnosis: Diagnosis | None = None
    """What they mean, where the symptom is known."""


class DamagedRecordError(Exception):
    """A record that is there but cannot be read; the message names the file and what is wrong with it."""


def load(folder: Path) -> Record | None:
    """The record in a run's folder; None where there is none. Raises DamagedRecordError."""
    path = folder / FILE_NAME
    try:
        return Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DamagedRecordError(f"{path}: {where}: {first['msg']}") from error


def write_atomically(path: Path, text: str) -> None:
    """Either the whole text is at `path` afterwards, or what was there before."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write(folder: Path, record: Record) -> None:
    """Write record.json. One that is there and not damaged is replaced; a damaged one is kept beside it."""
    path = folder / FILE_NAME
    try:
        load(folder)
    except DamagedRecordError:
        path.rename(path.with_name(f"record.damaged-{int(path.stat().st_mtime)}.json"))
    write_atomically(path, record.model_dump_json(indent=2) + "\n")
