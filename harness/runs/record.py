"""record.json: what a run leaves behind. Written last and atomically: no record, no finished run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, PositiveInt, StringConstraints, computed_field

from harness.devices.reading import Quantity
from harness.runs.events import AdapterChecked, Evidence, FirstStep, Phase, RowsTokenized, RowsTrained
from harness.runs.forecasted import Forecast

SCHEMA_VERSION = 1
PathBelow: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]
"""A path, relative to a folder."""


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
    transient: bool = False
    """Whether the same run may do well the next time: a chip's fault, a lost connection."""


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


class RowsDrawn(BaseModel):
    """What the harness gave LLaMA-Factory of a dataset's rows."""

    model_config = ConfigDict(frozen=True)

    in_files: int
    """All rows of the files that are trained on."""
    set_aside: int
    """Those of them that only validation rows are drawn from."""
    to_train: int
    """Rows in LLaMA-Factory's own files, to train on."""
    to_validate: int


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

    train_seconds: float | None
    """Wall time of the training loop without imports, loading and validation. None here and below: the training was
    adopted, and its files do not tell."""
    validation_seconds: float | None
    steps: int
    tokens: int | None
    tokens_per_second: float | None
    """tokens / train_seconds."""
    step_seconds: float | None = None
    """Median of the optimizer steps after the first `warmup_steps`; None: there are too few, or an older version."""
    warmup_steps: int | None = None
    """How many steps at the start are left out of step_seconds: 3, or 5% of all where that is more."""
    warmup_seconds: float | None = None
    """What they took."""
    kept_step: int | None = None
    """The step whose weights are kept and scored (`load_best_model_at_end`); None: the last one's."""
    train_loss: float | None
    """The last one reported up to the step that is kept, also where that is not finite."""
    validation_loss: float | None
    """As train_loss."""
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
    cut_off: int | None = None
    """Answers that evaluation.max_new_tokens ended; None: an older version did not count them."""
    evalscope_correct: int | None = None
    """Answers that evalscope's own extraction marks right; None: the marks are evalscope's."""
    marked_otherwise: int | None = None
    """Answers that evalscope marks otherwise."""


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
    finished: bool | None = None
    """False: it was cut off at evaluation.max_new_tokens. None: an older version did not say."""
    evalscope_correct: bool | None = None
    """evalscope's own mark, where the harness marks by the number that an answer gives. None: it alone marked."""


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
    idle_watts: float | None = None
    """Before the run started, summed over the chips; None: not read."""
    above_idle_watt_hours: float | None = None
    """watt_hours less what the chips would have taken idle in covered_seconds; never below 0."""
    max_temperature_celsius: float | None = None


class Tracking(BaseModel):
    """Whether SwanLab followed the run."""

    mode: str
    problem: str | None = None
    """The first; None: SwanLab was told everything, where it was to be told."""
    diagnosis: Diagnosis | None = None
    """What the problem means."""
    missing_losses: int | None = None
    """How many of the run's losses SwanLab was not told, at least; None: none, or nobody knows."""
    kept_in: str | None = None
    """The folder of what SwanLab's cloud did not get, which `swanlab sync` sends."""


class Environment(BaseModel):
    """On what a run ran. None where an adopted run does not tell what any other does."""

    versions: dict[str, str]
    """Python and the libraries that decide a result."""
    platform: str | None
    device: str | None
    """The product's name of the chip, or of the processor."""
    device_count: int | None
    cpu_count: PositiveInt | None
    host_memory_mib: float | None
    git_commit: str | None = None
    """The commit of the harness that ran, with `-dirty` where its files were changed."""
    host: str | None = None
    """A hash of the machine's name: it tells two machines apart and names none."""
    driver: str | None = None
    """Of the chips."""
    runtimes: dict[str, str] = {}
    """Versions of CUDA or CANN, and of the chips' firmware, by name."""
    variables: dict[str, str] = {}
    """Environment variables that decide threads, kernels and allocation, as the workers got them."""
    machine_cpu_count: PositiveInt | None = None
    """All that the machine has; `cpu_count` are those that a run may use."""
    cpu_quota: float | None = None
    """CPUs that the cgroup grants; None: no limit, or not told."""
    memory_limit_mib: float | None = None
    """That the cgroup grants."""


class ChipBefore(BaseModel):
    """A chip as the run found it. None: the driver does not tell."""

    chip: int
    """Its logic id."""
    used_mib: float | None = None
    utilization_percent: float | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    clock_mhz: float | None = None
    max_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    ecc: bool | None = None
    other_processes: int | None = None
    """That hold memory on it to compute there; what draws a desktop is none."""


class MachineBefore(BaseModel):
    """The machine as the run found it, before its first worker. None: not told."""

    chips: list[ChipBefore] = []
    cpu_busy_percent: float | None = None
    """Of all cores together, by whoever."""
    load_average: float | None = None
    """Runnable processes over the last minute."""
    busy_processes: int | None = None
    """Those of others that took more than a tenth of a core. None in a container that shows none: they may be outside
    it."""
    available_mib: float | None = None
    """Host memory that a new program could have."""
    cpu_mhz: float | None = None
    cpu_temperature_celsius: float | None = None


class Sharing(BaseModel):
    """Who else used the machine while the run trained. None: not told."""

    others_cpu_percent: float | None = None
    """Processor time of others, in percent of one core, mean over the training."""
    others_on_chips: int | None = None
    """The most processes of others that held memory on the run's chips at once."""


class Neighbour(BaseModel):
    """Another run that the machine had at the same time."""

    run: str
    sweep: str
    chips: list[str] = []
    """What they are called on the machine; none on a CPU."""


class Lease(BaseModel):
    """The chips that a run had, and nobody else meanwhile."""

    chips: list[str]
    """What they are called on the machine."""
    since: datetime
    until: datetime
    """When the run's record was made. What is scored beside the run comes after, on the same chips."""


class KeptFile(BaseModel):
    """A file as the run left it."""

    size_bytes: int
    sha256: str


class Unknown(StrEnum):
    """What the files of an adopted training do not tell."""

    MEMORY = "memory"
    ACCURACY = "accuracy"
    QUANTIZATION = "quantization"
    SEED = "seed"
    """It is taken for what LLaMA-Factory takes by itself."""
    TRAIN_SECONDS = "train_seconds"
    TOKENS = "tokens"
    DEVICE = "device"
    """Whether it was a CPU, a GPU or an NPU."""
    HARDWARE = "hardware"
    """The product's name, the machine, and whoever else used it."""
    ROWS = "rows"
    """What was in them; their name alone is known."""
    VERSIONS = "versions"
    STARTED_AT = "started_at"
    """It is worked out of the time at which the last file was written."""


class Adopted(BaseModel):
    """Where an adopted run comes from: a training that LLaMA-Factory did without the harness."""

    folder: str
    """Its output folder, which keeps the adapter."""
    told: dict[str, list[str]]
    """By file, what it told: LLaMA-Factory's arguments, and what was logged."""
    disbelieved: list[str] = []
    """Files that lie there and are of another training, each with what shows it."""
    unknown: list[Unknown]
    measure: str | None = None
    """The command that repeats the training and measures it; None: too little is known of it."""


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
    device: str | None
    """cpu, cuda or ascend; None: an adopted run that does not tell."""
    adopted: Adopted | None = None
    """None: the harness made the run."""
    stand_in: str | None = None
    """What stood in for the hardware, in words: then the figures are the CPU's and the stand-in's."""
    command: str
    """Repeats the run."""
    config: dict[str, Any]
    """Resolved, without secrets; the same as config.yaml."""
    environment: Environment
    started_at: datetime
    position: int | None = None
    """Its place in the order of its sweep's command, from 1; None: an older version, or a run by itself."""
    attempt: int = 1
    """Those before were cut short by what may pass, and are kept in earlier/."""
    transient: bool = False
    """Whether what it failed of may pass."""
    wall_seconds: float | None
    """The whole run; None: an adopted run, of whose loading and evaluation nothing is known."""
    phase_seconds: dict[Phase, float] = {}
    """How long each phase took, all of its occurrences together."""
    before: MachineBefore | None = None
    sharing: Sharing | None = None
    neighbours: list[Neighbour] | None = None
    """None: an older version, or the run did not come so far."""
    lease: Lease | None = None
    """Attempts of one command have the same `since`. None: as of `neighbours`, or there is no chip to lease."""
    base_weights: str | None = None
    """Hash of the weights that the run started from; None: they are not in a folder, or it did not come so far."""
    drawn: RowsDrawn | None = None
    """None: an older version, or an adopted run."""
    trained_weights: str | None = None
    """Hash of the weights that the training saved; None: it did not come to its end, or an older version."""
    rows: RowsTokenized | None = None
    """What LLaMA-Factory made of these; None: it read them as it trained, or it did not come so far."""
    trained: RowsTrained | None = None
    """What the trainer was given, in its order; None: an older version, or it did not come so far."""
    forecast: Forecast | None = None
    """Of its memory, made before it started; None: none was made, or an older version."""
    memory: list[MemoryPeak] = []
    runtime_mib: float | None = None
    """Resident memory of the training process before it loaded anything."""
    evidence: Evidence | None = None
    first_step: FirstStep | None = None
    adapter_check: AdapterChecked | None = None
    compute_dtype: str | None = None
    """What the base's linear layers gave out in the first training step, as torch names it; None: not measured."""
    training: Training | None = None
    diverged: bool | None = None
    """Whether its loss was not finite or ended no lower than it began; None: nobody looked, or there are too few."""
    divergence: Divergence | None = None
    score: Score | None = None
    base_score: Score | None = None
    """The base, with the adapters that the training started from if any, scored once for a sweep."""
    base_folder: PathBelow | None = None
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
    files: dict[PathBelow, KeptFile] | None = None
    """What it left, by the path below its folder; None: an older version, or an adopted run."""
    unread_lines: int = 0
    """Of events and readings: torn ones, which are in no figure."""
    log_tail: list[str] = []
    """The last lines of the worker that failed."""
    diagnosis: Diagnosis | None = None
    """What they mean, where the symptom is known."""
