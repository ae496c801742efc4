"""What each worker is told: `python -m harness.workers.NAME JOB.json`, one typed job for each.

The workers alone import torch and its kin, and nobody imports them: what both sides know of each other stands here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, StringConstraints, model_validator

from harness.base.files import write_atomically
from harness.config.schema import PromptConfig, Shape
from harness.devices.request import TorchDevice
from harness.runs.forecasted import ForecastPhase, MemoryPart

ARITHMETIC = "arithmetic"
"""The benchmark that is the project's own; every other name is evalscope's."""


class Job(BaseModel):
    """What a worker reads from its one file."""

    # Pydantic keeps names with `model_` for itself, which some fields mean literally.
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    worker: ClassVar[str]
    """The module in harness.workers that takes this job."""

    def write(self, file: Path) -> list[str]:
        """Write the job to `file`, making its folder, and return the command that does it. Raises OSError."""
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, self.model_dump_json(indent=2) + "\n")
        return self.command(file)

    @classmethod
    def command(cls, file: Path | str) -> list[str]:
        """The command that does the job in `file`; `/dev/stdin` for one that comes by its standard input."""
        return [sys.executable, "-P", "-m", f"harness.workers.{cls.worker}", str(file)]


class TrainJob(Job):
    """Train what a train.yaml says, in one process of possibly several."""

    worker = "train"

    arguments: Path
    """The train.yaml that LLaMA-Factory is given."""
    events: Path
    """The events.jsonl that the worker appends to."""
    device: TorchDevice
    """The worker refuses to fall back to the CPU."""
    rows: int | None = None
    """How many LLaMA-Factory is to read to train on; None: it draws them itself, or reads them as it trains."""
    validation_rows: int | None = None
    check: Path | None = None
    """Where the worker writes what the trained model made of a few rows (harness/workers/adapter_check.py)."""
    tokenized: Path | None = None
    """Where the runs of its sweep keep rows that one of them tokenized; None: they are tokenized for this run alone."""
    cache: Path | None = None
    """Where datasets keeps what it reads, until the training ends; None: in the user's own cache, for ever."""


class WorkerRequest(BaseModel):
    """What a process on standby is asked for: a worker that does `python -m MODULE ARGUMENTS`."""

    module: str
    arguments: list[str]
    folder: str
    """Where it works."""


class TorchrunJob(Job):
    """torchrun on this machine, which starts one process of a worker for each chip."""

    worker = "torchrun"

    arguments: list[str]
    """torchrun's own, the worker's module and its job file at their end."""
    announce: str | None = None
    """On node 0 of several: the run, as `NUMBER:NAME`, that the others are told is trained now."""


class MeetJob(Job):
    """Wait on another node than 0 until node 0 trains a run, or is past it."""

    worker = "meet"

    address: str
    """Of node 0."""
    port: int
    run: str
    """`NUMBER:NAME`, as node 0 announces it."""
    patience_seconds: float
    """How long to wait for a sign of life of node 0."""
    answer: Path
    """Where the worker writes a Met as JSON."""


class Met(BaseModel):
    """What came of a MeetJob."""

    node_0_is_at: int | None = None
    """The number of node 0's run; None: there was no answer that helps."""
    problem: str | None = None
    """What is wrong, and what would be right."""


class EvaluationJob(Job):
    """Score a model on a benchmark, put prompts to it, or both."""

    worker = "evaluate"

    benchmark: str | None
    """`arithmetic`, the project's own held-out questions, or evalscope's name of a benchmark. None: only prompts."""
    prompts: list[PromptConfig] = []
    path: Path | None = None
    """Questions on this machine: a file, or a folder with one file a split. None: evalscope fetches them."""
    limit: PositiveInt | None = None
    """Questions; evalscope counts them by subset where a benchmark has several. None: all (arithmetic: 200)."""
    few_shot: NonNegativeInt = 0
    batch_size: PositiveInt = 32
    """The most questions that the model answers at once; fewer where memory holds no more."""
    max_new_tokens: PositiveInt = 512
    seed: int = 42
    """Draws the arithmetic questions: the same in all jobs that are compared."""
    device: TorchDevice
    """The worker refuses to fall back to the CPU."""
    model_arguments: dict[str, Any]
    """LLaMA-Factory's inference arguments: those of the training that say what the model is."""
    model_id: Annotated[str, StringConstraints(pattern=r"^[^./\\][^/\\]*$")]
    """Unique for each variant: evalscope names a folder after it."""
    check: Path | None = None
    """What the training wrote of a few rows: a model that is apart from it is not scored. None: it wrote nothing."""
    output: Path
    """A TargetFolder."""
    events: Path
    """The events.jsonl that the worker appends to."""

    @model_validator(mode="after")
    def _there_is_something_to_ask(self) -> EvaluationJob:
        if self.benchmark is None and not self.prompts:
            raise ValueError("there is neither a benchmark nor a prompt")
        return self

    @property
    def questions_are_local(self) -> bool:
        return self.benchmark in (None, ARITHMETIC) or self.path is not None


class MergeJob(Job):
    """Merge an adapter into its base, by LLaMA-Factory's export."""

    worker = "merge"

    arguments: Path
    """The YAML file that `llamafactory-cli export` would be given."""
    events: Path


class ChatJob(Job):
    """Become a program of LLaMA-Factory's on a model."""

    worker = "chat"

    device: TorchDevice
    program: Literal["chat", "api", "webchat"]
    flags: list[str]
    """LLaMA-Factory's own, as `--name=value`."""


class TrackingJob(Job):
    """Follow the files of a run and tell SwanLab. A line on stdin, or its end, says that the run is over."""

    worker = "track"

    mode: str
    project: str
    workspace: str | None
    experiment: str
    group: str
    tags: list[str]
    config: dict[str, Any]
    log_folder: Path
    """SwanLab's own."""
    events: Path
    readings: Path
    score: Path
    """There in the end, where the run was scored."""


class QuantizationTrialJob(Job):
    """Try each quantization on a device; one line of JSON on stdout for each."""

    worker = "try_quantization"

    device: TorchDevice


class FetchJob(Job):
    """A dataset's file from a hub, or from its cache: its path on stdout, or the error behind `error: `."""

    worker = "fetch_dataset"

    hub: Literal["huggingface", "modelscope"]
    repository: str
    file: str


class RandomWeightsJob(Job):
    """Write random bf16 weights of a shape, shard by shard, as a checkpoint."""

    worker = "random_weights"

    shape: Shape
    folder: Path
    """Not there yet."""
    tokenizer: Path
    """The folder of a model whose tokenizer the checkpoint gets."""


class ToTrace(BaseModel):
    """An arm whose memory is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arguments: dict[str, Any]
    """Its train.yaml."""
    described: dict[str, Any] | None = None
    """The config.json of the model, in place of a folder or a hub id among the arguments."""
    hub: Literal["huggingface", "modelscope"] | None = None
    """Where the arguments name a model; None: it is here."""
    kind: Literal["cpu", "cuda", "ascend"]
    """Of the device that it is to run on."""
    tokens: PositiveInt | None
    """Of every row; None: the dataset of the arguments is read, and its longest row counts."""
    validated: bool = False
    """Whether rows are held out to validate on."""
    questions: PositiveInt | None = None
    """The most that are answered at once when it is scored; None: none is."""
    question_texts: list[str] = []
    """Those that may be the longest; none: a question is taken to be as long as a row."""
    new_tokens: PositiveInt = 1
    processes: PositiveInt = 1
    """That train together, each on a device of its own."""
    limits_bytes: list[int] = []
    """What torch may take of devices of the kind."""
    memory_bytes: list[int] = []
    """What each of these devices has, by which questions are batched; none: nobody knows."""
    expandable: bool = False
    """Whether its allocator is told to make segments that grow."""
    fit_bytes: PositiveInt | None = None
    """What the largest batches are to fit in; None: they are not asked for."""


class TracedPhase(BaseModel):
    """What a phase of a run takes, in bytes."""

    model_config = ConfigDict(frozen=True)

    phase: ForecastPhase
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    """By torch's caching allocator; as allocated on a CPU."""
    parts: dict[MemoryPart, int]
    """At the peak of what is allocated."""


class Traced(BaseModel):
    """What came of it."""

    model_config = ConfigDict(frozen=True)

    tokens: int = 0
    """Of the longest row of a batch, filler included."""
    phases: list[TracedPhase] = []
    full: list[ForecastPhase | None] = []
    """For each limit, the phase that there is no room for; None: all of them fit."""
    largest: dict[int, int] = {}
    """Rows of the largest batch that fits, by the tokens of each row; 0: none does."""
    base_bytes: int = 0
    """Of the base's weights in 16 bits, packed or not."""
    is_partial: bool = False
    """The training could not be followed: what is here is the loading alone."""
    untraced: list[str] = []
    """What was left out, and why."""
    problem: str | None = None
    """Why there is nothing else."""


class ForecastJob(Job):
    """Follow the steps of arms without weights and without their device, and say what memory they take."""

    worker = "forecast"

    arms: list[ToTrace]
    tokenizer: Path
    """The folder of a model whose tokenizer serves where there is a shape instead of a model."""
    answer: Path
    """Where the worker writes a Traced for each arm, a line each."""
