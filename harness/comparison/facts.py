"""The facts that two arms should share: how a record tells each, what a difference touches, how near counts as equal.

What is compared are the two runs of one seed. What an arm brings about itself (losses, times, peaks, the length of its
answers) is a result and stands nowhere here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from harness.comparison.metrics import Aspect
from harness.comparison.pooling import started
from harness.comparison.settings import CONTENT, belongs
from harness.config.schema import FREE
from harness.runs.record import ChipBefore, Environment, Record


class Fact(StrEnum):
    """What two arms should share, in the order in which a report names it."""

    WEIGHTS = "weights"
    ROWS = "rows"
    QUESTIONS = "questions"
    EVALUATION = "evaluation"
    TEMPLATE = "template"
    METHOD = "method"
    TRAINING = "training"
    ARGUMENTS = "arguments"
    PRECISION = "precision"
    COMPUTE_DTYPE = "compute_dtype"
    ATTENTION = "attention"
    NORM_DTYPE = "norm_dtype"
    UNQUANTIZED_WEIGHTS = "unquantized_weights"
    ADAPTER_DTYPE = "adapter_dtype"
    OPTIMIZER_DTYPE = "optimizer_dtype"
    GRADIENT_CHECKPOINTING = "gradient_checkpointing"
    RECOMPUTED = "recomputed"
    LINEAR_MODULES = "linear_modules"
    QUANTIZED_MODULES = "quantized_modules"
    TRAINABLE_PARAMETERS = "trainable_parameters"
    TRAINING_ROWS = "training_rows"
    ROWS_CUT_OFF = "rows_cut_off"
    ROW_ORDER = "row_order"
    PADDING = "padding"
    STEPS = "steps"
    TOKENS = "tokens"
    BENCHMARK = "benchmark"
    QUESTIONS_SCORED = "questions_scored"
    ADAPTER_CHECK = "adapter_check"
    CUT_OFF_ANSWERS = "cut_off_answers"
    DEVICE = "device"
    CHIP_IDS = "chip_ids"
    PROCESSES = "processes"
    HOST = "host"
    PLATFORM = "platform"
    CPUS = "cpus"
    HOST_MEMORY = "host_memory"
    CGROUP = "cgroup"
    VARIABLES = "variables"
    DRIVER = "driver"
    RUNTIMES = "runtimes"
    VERSIONS = "versions"
    COMMIT = "commit"
    POWER_LIMIT = "power_limit"
    MAX_CLOCK = "max_clock"
    CLOCK = "clock"
    ECC = "ecc"
    STARTED = "started"
    TEMPERATURE_BEFORE = "temperature_before"
    HEAT = "heat"
    CHIP_MEMORY_BEFORE = "chip_memory_before"
    CHIP_LOAD_BEFORE = "chip_load_before"
    CHIP_PROCESSES_BEFORE = "chip_processes_before"
    CPU_BUSY_BEFORE = "cpu_busy_before"
    BUSY_PROCESSES_BEFORE = "busy_processes_before"
    LOAD_AVERAGE_BEFORE = "load_average_before"
    AVAILABLE_MEMORY = "available_memory"
    OTHERS_CPU = "others_cpu"
    OTHERS_ON_CHIPS = "others_on_chips"
    SENSORS = "sensors"
    SAMPLING_INTERVAL = "sampling_interval"
    READINGS = "readings"
    ENERGY = "energy"
    TRACKING = "tracking"
    LOGGING = "logging"
    SEEDS = "seeds"


OF_OTHERS = frozenset(
    {
        *(Fact.CHIP_LOAD_BEFORE, Fact.CHIP_PROCESSES_BEFORE, Fact.OTHERS_ON_CHIPS, Fact.OTHERS_CPU),
        *(Fact.CPU_BUSY_BEFORE, Fact.BUSY_PROCESSES_BEFORE, Fact.LOAD_AVERAGE_BEFORE),
    }
)
"""What others did to the machine, which no setting makes equal."""

_ALL = frozenset(Aspect)
_ANSWERS = frozenset({Aspect.ANSWERS})
_MEMORY = frozenset({Aspect.MEMORY})
_TIME = frozenset({Aspect.TIME})
_COST = _MEMORY | _TIME
_TOLD = frozenset[Aspect]()
"""It cannot change a figure by more than noise, or is a hint alone: told, and no word is taken for it."""


def _written(value: object) -> str:
    """As a configuration file has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Rule:
    """How one fact is compared between the two runs of a seed."""

    aspects: frozenset[Aspect]
    """What a difference touches; none: it is told, and touches nothing."""
    keys: tuple[str, ...] = ()
    """Of settings that belong to the fact, or begin those that do. The longest that fits decides."""
    read: Callable[[Record], Any] | None = None
    """What a record tells. None: it does not. A mapping is compared key by key, and what it lacks was not set."""
    same: Callable[[Any, Any], bool] = operator.eq
    show: Callable[[Any], str] = _written
    narrower: Mapping[str, frozenset[Aspect]] = field(default_factory=dict)
    """Aspects of keys, or of what begins them, that touch less."""
    follows: tuple[str, ...] = ()
    """Settings and facts whose difference brings this one about; where they are meant to differ, so is this."""
    is_constant: bool = True
    """Whether it should be the same over an arm's seeds too."""
    applies: Callable[[Record], bool] = lambda record: True
    """Whether a record that does not tell it should have."""

    def aspects_of(self, key: str | None) -> frozenset[Aspect]:
        """Return what a difference in `key` touches."""
        fitting = [name for name in self.narrower if key is not None and belongs(key, [name])]
        return self.narrower[max(fitting, key=len)] if fitting else self.aspects


# How values are shown, and how near is equal.


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(map(_number, values))


def _within(tolerance: float) -> Callable[[float, float], bool]:
    return lambda first, second: abs(first - second) <= tolerance


def _within_share(share: float) -> Callable[[float, float], bool]:
    return lambda first, second: abs(first - second) <= share * max(abs(first), abs(second))


def _each(same: Callable[[float, float], bool]) -> Callable[[Sequence[float], Sequence[float]], bool]:
    return lambda first, second: len(first) == len(second) and all(map(same, first, second))


# What a record tells, where that is not one of its fields.


def _config(record: Record, group: str) -> Mapping[str, Any]:
    return record.config.get(group) or {}


def _is_on_chips(record: Record) -> bool:
    return record.device != "cpu"


def _is_scored(record: Record) -> bool:
    return record.score is not None


def is_of_older_version(record: Record) -> bool:
    """Return whether the version that wrote `record` looked less closely at what it ran on: absence says nothing."""
    return record.environment.host is None


def _set(record: Record, values: Mapping[str, object | None]) -> Mapping[str, object] | None:
    """Return what is set; None where an older version did not look."""
    found = {key: value for key, value in values.items() if value is not None}
    return None if is_of_older_version(record) and not found else found


def _of_chips(tell: Callable[[ChipBefore], float | None]) -> Callable[[Record], tuple[float, ...] | None]:
    def read(record: Record) -> tuple[float, ...] | None:
        values = [tell(chip) for chip in record.before.chips] if record.before is not None else []
        found = tuple(value for value in values if value is not None)
        return found if found and len(found) == len(values) else None

    return read


def _chips(record: Record) -> tuple[int, ...] | str:
    """Which chips a run had: as it was told, else as it found them; untold, a run takes the first. Where any free one
    would do, chance said which, for every run anew: that parts no arms."""
    told = _config(record, "device").get("chips")
    if told == FREE:
        return FREE
    return tuple(told or (record.before and [chip.chip for chip in record.before.chips]) or (0,))


def _variables(record: Record) -> dict[str, str]:
    """What decides threads, kernels and allocation; without the lists of chips that chance gave to a run."""
    hidden = _SEEN_CHIPS if _chips(record) == FREE else ()
    return {name: value for name, value in record.environment.variables.items() if name not in hidden}


def _shown_chips(chips: tuple[int, ...] | str) -> str:
    return chips if isinstance(chips, str) else _numbers(chips)


def _temperature(record: Record) -> float | None:
    of_chips = _of_chips(lambda chip: chip.temperature_celsius)(record)
    if of_chips:
        return max(of_chips)
    return None if record.before is None else record.before.cpu_temperature_celsius


def _clock(record: Record) -> Mapping[str, float] | None:
    before = record.before
    if before is None:
        return None
    found = {f"chip{chip.chip}": chip.clock_mhz for chip in before.chips} | {"cpu": before.cpu_mhz}
    return {key: value for key, value in found.items() if value is not None} or None


def _cgroup(environment: Environment) -> Mapping[str, float | None]:
    return {"cpu_quota": environment.cpu_quota, "memory_limit_mib": environment.memory_limit_mib}


class _Started(NamedTuple):
    start: datetime
    end: datetime


def _lasted_seconds(record: Record) -> float | None:
    """Of a run that was scored anew, what its own phases took."""
    return sum(record.phase_seconds.values()) or None if record.wall_seconds is None else record.wall_seconds


def _started(record: Record) -> _Started | None:
    seconds = _lasted_seconds(record)
    return None if seconds is None else _Started(started(record), started(record) + timedelta(seconds=seconds))


def _lie_near(first: _Started, second: _Started) -> bool:
    earlier, later = sorted((first, second))
    return later.start - earlier.end <= timedelta(days=1)


_ELEMENTS_A_BYTE = {"nf4": 2.0, "fp4": 2.0, "int8": 1.0}
_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
_CONSTANTS = "quantization state"


class _Weights(NamedTuple):
    quantized: float
    """Elements, before packing."""
    others: tuple[tuple[str, float], ...]
    """Elements by dtype: norms, embeddings and the output layer, and of an unquantized base all else."""


def _weights(record: Record) -> _Weights | None:
    if record.evidence is None:
        return None
    stored = record.evidence.weight_bytes_by_dtype
    quantized = sum(count * _ELEMENTS_A_BYTE.get(dtype, 0.0) for dtype, count in stored.items())
    others = [dtype for dtype in sorted(stored) if dtype != _CONSTANTS and dtype not in _ELEMENTS_A_BYTE]
    return _Weights(quantized, tuple((dtype, stored[dtype] / _BYTES.get(dtype, 1)) for dtype in others))


def _are_alike(first: _Weights, second: _Weights) -> bool:
    """Return whether the same weights are left unquantized, in the same dtypes.

    Of a base that is not quantized, what the other arm quantizes is taken off first: linear layers share one dtype, so
    that it has to lack there exactly what is packed."""
    if bool(first.quantized) == bool(second.quantized):
        return first.others == second.others
    packed, plain = (first, second) if first.quantized else (second, first)
    rest, all_of_it = dict(packed.others), dict(plain.others)
    lacking = {dtype: all_of_it.get(dtype, 0.0) - rest.get(dtype, 0.0) for dtype in rest.keys() | all_of_it.keys()}
    gaps = [count for count in lacking.values() if count]
    # Layers of an odd size are packed with a few elements to spare.
    return len(gaps) == 1 and abs(gaps[0] - packed.quantized) <= 0.001 * packed.quantized


def _shown_weights(weights: _Weights) -> str:
    return ", ".join(f"{dtype} {count:,.0f}" for dtype, count in weights.others)


class _Layers(NamedTuple):
    bits: int | None
    quantized: int
    linear: int


def _layers(record: Record) -> _Layers | None:
    parts = record.identity_parts
    quantization = parts.quantization if parts is not None else _config(record, "quantization")
    evidence = record.evidence
    if evidence is None:
        return None
    return _Layers(quantization.get("bits"), evidence.quantized_modules, evidence.linear_modules)


def _are_quantized_alike(first: _Layers, second: _Layers) -> bool:
    """Return whether each arm is quantized as it asked for: all linear layers, but for the output layer at most; and
    whether two that are have as many."""
    asked = [layers for layers in (first, second) if layers.bits]
    return all(layers.quantized >= layers.linear - 1 for layers in asked) and (
        len({layers.quantized for layers in asked}) < 2
    )


def _sensors(record: Record) -> tuple[tuple[str, str], ...] | None:
    return tuple(sorted({(str(peak.quantity), peak.sensor) for peak in record.memory})) or None


def _share_no_contradiction(first: tuple[tuple[str, str], ...], second: tuple[tuple[str, str], ...]) -> bool:
    """Return whether what both measured was measured by the same; what one alone measured is in no difference."""
    shared = {quantity for quantity, _ in first} & {quantity for quantity, _ in second}
    return all(
        {sensor for quantity, sensor in first if quantity == each}
        == {sensor for quantity, sensor in second if quantity == each}
        for each in shared
    )


def _readings_a_minute(record: Record) -> float | None:
    """Of the quantity that was read most often. By time and not by peak: a slower arm is read more often by itself."""
    counts: dict[str, int] = {}
    for peak in record.memory:
        counts[peak.quantity] = counts.get(peak.quantity, 0) + (peak.readings or 0)
    most = max(counts.values(), default=0)
    seconds = _lasted_seconds(record)
    return 60 * most / seconds if most and seconds else None


def _share_cut_off(record: Record) -> float | None:
    score = record.score
    return None if score is None or score.cut_off is None else 100 * score.cut_off / score.questions


def _logging(record: Record) -> Mapping[str, object] | None:
    training = _config(record, "training")
    keys = ("logging_steps", "save_steps")
    return {f"training.{key}": training[key] for key in keys if training.get(key) is not None} or None


def _tracking(record: Record) -> str | None:
    mode = record.tracking.mode if record.tracking is not None else _config(record, "tracking").get("mode")
    return mode if isinstance(mode, str) else None


def _share_of_machine(record: Record) -> float | None:
    percent = None if record.sharing is None else record.sharing.others_cpu_percent
    cpus = record.environment.cpu_count
    return None if percent is None or cpus is None else percent / cpus


def _load_a_cpu(record: Record) -> float | None:
    load = None if record.before is None else record.before.load_average
    cpus = record.environment.cpu_count
    return None if load is None or cpus is None else load / cpus


_BASE = ("model", "weights")
_DATA = (*_BASE, "rows", "dataset", "template", "llamafactory", "processes", "training.cutoff_length")
_BATCHES = (
    *_DATA,
    *(f"training.{key}" for key in ("batch_size", "gradient_accumulation", "epochs", "max_steps", "packing")),
)
_MACHINE = ("device", "hardware", "stand_in", "host")
_DTYPES = (*_BASE, *_MACHINE, "precision", "llamafactory", "method.finetuning_type")
_ADAPTER = (*_BASE, *(f"method.{key}" for key in ("finetuning_type", "rank", "target")), "llamafactory")
# By what it rules, not by how it is spelled: both vendors' lists of the chips that a process sees.
_SEEN_CHIPS = ("CUDA_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES", "ASCEND_VISIBLE_DEVICES")
_ALLOCATION = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_NPU_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "MALLOC_ARENA_MAX")

RULES: dict[Fact, Rule] = {
    # What was set, or read from outside.
    Fact.WEIGHTS: Rule(_ALL, keys=("model", "weights", *CONTENT["model"])),
    Fact.ROWS: Rule(_ALL, keys=("rows", *CONTENT["rows"], "dataset.max_samples", "dataset.val_size")),
    Fact.QUESTIONS: Rule(_ANSWERS, keys=("questions", *CONTENT["questions"])),
    # Neither the leading memory nor seconds a step has anything of the evaluation in it.
    Fact.EVALUATION: Rule(_ANSWERS, keys=("evaluation",)),
    Fact.TEMPLATE: Rule(_ALL, keys=("template",)),
    Fact.METHOD: Rule(_ALL, keys=("method",), narrower={"method.alpha": _ANSWERS}),
    Fact.TRAINING: Rule(
        _ALL,
        keys=("training",),
        narrower={
            # They scale an update, which costs the same whatever its size.
            **dict.fromkeys(
                (f"training.{key}" for key in ("learning_rate", "scheduler", "warmup_ratio", "warmup_steps")), _ANSWERS
            ),
            # The same activations, kept or computed again.
            "training.gradient_checkpointing": _COST,
        },
    ),
    Fact.ARGUMENTS: Rule(_ALL, keys=("llamafactory",)),
    Fact.PRECISION: Rule(_ALL, keys=("precision", *CONTENT["precision"])),
    Fact.DEVICE: Rule(_ALL, keys=("device", "hardware", "chips", "stand_in", "threads")),
    Fact.PROCESSES: Rule(_ALL, keys=("processes",)),
    # What was loaded.
    Fact.COMPUTE_DTYPE: Rule(_ALL, read=lambda record: record.compute_dtype, follows=_DTYPES),
    Fact.ATTENTION: Rule(_ALL, read=lambda record: record.evidence and record.evidence.attention, follows=_DTYPES),
    Fact.NORM_DTYPE: Rule(_ALL, read=lambda record: record.evidence and record.evidence.norm_dtype, follows=_DTYPES),
    Fact.UNQUANTIZED_WEIGHTS: Rule(
        _ALL,
        read=_weights,
        same=_are_alike,
        show=_shown_weights,
        follows=_DTYPES,
    ),
    Fact.ADAPTER_DTYPE: Rule(
        _ALL, read=lambda record: record.evidence and record.evidence.adapter_dtype, follows=_DTYPES
    ),
    Fact.OPTIMIZER_DTYPE: Rule(
        _ALL, read=lambda record: record.first_step and record.first_step.optimizer_dtype, follows=_DTYPES
    ),
    Fact.GRADIENT_CHECKPOINTING: Rule(
        _COST,
        read=lambda record: record.evidence and record.evidence.gradient_checkpointing,
        follows=("training.gradient_checkpointing", "llamafactory"),
    ),
    Fact.RECOMPUTED: Rule(
        _COST,
        read=lambda record: record.first_step and record.first_step.recomputed,
        follows=("training.gradient_checkpointing", "llamafactory"),
    ),
    Fact.LINEAR_MODULES: Rule(
        _ALL, read=lambda record: record.evidence and record.evidence.linear_modules, follows=_BASE
    ),
    Fact.QUANTIZED_MODULES: Rule(
        _ALL,
        read=_layers,
        same=_are_quantized_alike,
        show=lambda layers: f"{layers.quantized} / {layers.linear}",
        follows=_BASE,
        applies=lambda record: bool(_config(record, "quantization").get("bits")),
    ),
    Fact.TRAINABLE_PARAMETERS: Rule(
        _ALL,
        read=lambda record: record.evidence and record.evidence.trainable_parameters,
        show=_number,
        follows=_ADAPTER,
    ),
    # What it was given. Exactly: the same rows in the same order come to the same tokens.
    Fact.TRAINING_ROWS: Rule(_ALL, read=lambda record: record.rows and record.rows.rows, show=_number, follows=_DATA),
    Fact.ROWS_CUT_OFF: Rule(
        _ALL,
        read=lambda record: record.rows and record.rows.at_cutoff,
        show=_number,
        follows=_DATA,
        is_constant=False,
    ),
    Fact.ROW_ORDER: Rule(
        _ALL, read=lambda record: record.trained and record.trained.digest, follows=_BATCHES, is_constant=False
    ),
    Fact.PADDING: Rule(
        _COST,
        read=lambda record: record.trained and record.trained.padding_tokens,
        show=_number,
        follows=_BATCHES,
        is_constant=False,
    ),
    Fact.STEPS: Rule(_ALL, read=lambda record: record.training and record.training.steps, follows=_BATCHES),
    Fact.TOKENS: Rule(
        _ALL,
        read=lambda record: record.training and record.training.tokens,
        show=_number,
        follows=_BATCHES,
        is_constant=False,
    ),
    # What it was asked.
    Fact.BENCHMARK: Rule(
        _ANSWERS,
        read=lambda record: record.score and record.score.benchmark,
        follows=("evaluation",),
        applies=_is_scored,
    ),
    Fact.QUESTIONS_SCORED: Rule(
        _ANSWERS,
        read=lambda record: record.score and record.score.questions,
        show=_number,
        follows=("evaluation", "questions"),
        applies=_is_scored,
    ),
    # Whether, not how: one that is loaded otherwise than it was trained is a failed run.
    Fact.ADAPTER_CHECK: Rule(
        _ANSWERS, read=lambda record: record.adapter_check and True, follows=("evaluation",), applies=_is_scored
    ),
    # An arm that talks more is cut off more often: that is its own doing, but its reader should know. Two of a hundred
    # answers more or less are no news.
    Fact.CUT_OFF_ANSWERS: Rule(
        _TOLD,
        read=_share_cut_off,
        same=_within(2.0),
        show=lambda share: f"{share:.1f}%",
        is_constant=False,
        applies=_is_scored,
    ),
    # On what it ran.
    Fact.CHIP_IDS: Rule(_COST, read=_chips, show=_shown_chips, follows=(*_MACHINE, "chips", "processes")),
    Fact.HOST: Rule(_COST, read=lambda record: record.environment.host, follows=_MACHINE),
    Fact.PLATFORM: Rule(_COST, read=lambda record: record.environment.platform, follows=_MACHINE),
    # Torch takes as many threads, and another number adds up in another order.
    Fact.CPUS: Rule(_ALL, read=lambda record: record.environment.cpu_count, follows=_MACHINE),
    # A kernel keeps a little more or less of it to itself from one start to the next.
    Fact.HOST_MEMORY: Rule(
        _MEMORY,
        read=lambda record: record.environment.host_memory_mib,
        same=_within_share(0.01),
        show=_number,
        follows=_MACHINE,
    ),
    Fact.CGROUP: Rule(
        _COST,
        read=lambda record: _set(record, _cgroup(record.environment)),
        show=_number,
        narrower={"cpu_quota": _TIME},
        follows=_MACHINE,
    ),
    Fact.VARIABLES: Rule(
        _ALL,
        read=lambda record: _set(record, _variables(record)),
        narrower=dict.fromkeys((*_SEEN_CHIPS, *_ALLOCATION), _COST),
        follows=(*_MACHINE, "chips", "threads", "processes"),
    ),
    Fact.DRIVER: Rule(_ALL, read=lambda record: record.environment.driver, follows=_MACHINE, applies=_is_on_chips),
    Fact.RUNTIMES: Rule(
        _ALL, read=lambda record: record.environment.runtimes or None, follows=_MACHINE, applies=_is_on_chips
    ),
    Fact.VERSIONS: Rule(
        _ALL,
        keys=("versions",),
        read=lambda record: record.environment.versions or None,
        narrower={
            # They compose a run, fetch what is hashed, and read records.
            **dict.fromkeys(("hydra-core", "pandas", "scipy", "pydantic", "huggingface-hub", "modelscope"), _TOLD),
            # They read sensors, or run beside the training.
            "psutil": _COST,
            "nvidia-ml-py": _COST,
            "swanlab": _TIME,
        },
        follows=_MACHINE,
    ),
    # Two commits that give a run one identity ask the same of the libraries, whose versions are compared.
    Fact.COMMIT: Rule(_TOLD, read=lambda record: record.environment.git_commit),
    # Drivers give a limit back as the hardware rounds it.
    Fact.POWER_LIMIT: Rule(
        _TIME,
        read=_of_chips(lambda chip: chip.power_limit_watts),
        same=_each(_within(1.0)),
        show=_numbers,
        follows=_MACHINE,
        applies=_is_on_chips,
    ),
    Fact.MAX_CLOCK: Rule(
        _TIME,
        read=_of_chips(lambda chip: chip.max_clock_mhz),
        show=_numbers,
        follows=_MACHINE,
        applies=_is_on_chips,
    ),
    # What idles clocks itself down, so that this is a hint alone.
    Fact.CLOCK: Rule(_TOLD, read=_clock, same=_within_share(0.3), show=_number, follows=_MACHINE, is_constant=False),
    # On chips without memory of their own for it, its codes take part of the memory and of the bandwidth.
    Fact.ECC: Rule(
        _COST,
        read=_of_chips(lambda chip: chip.ecc),
        show=lambda values: ", ".join(_written(bool(value)) for value in values),
        follows=_MACHINE,
        applies=_is_on_chips,
    ),
    # As it was there and then.
    Fact.STARTED: Rule(
        _TIME,
        read=_started,
        same=_lie_near,
        show=lambda started: f"{started.start:%Y-%m-%d %H:%M}",
        follows=_MACHINE,
        is_constant=False,
    ),
    # A run that follows another finds the chip warm, and it cools within minutes.
    Fact.TEMPERATURE_BEFORE: Rule(
        _TIME, read=_temperature, same=_within(15.0), show=_number, follows=_MACHINE, is_constant=False
    ),
    # An arm's own power heats the chip; only near its limit does a chip slow down.
    Fact.HEAT: Rule(
        _TIME,
        read=lambda record: record.energy and record.energy.max_temperature_celsius,
        same=lambda first, second: abs(first - second) <= 15.0 or max(first, second) < 85.0,
        show=_number,
        follows=_MACHINE,
        is_constant=False,
        applies=_is_on_chips,
    ),
    # The level before is taken off; some hundred MiB are what a driver keeps of itself.
    Fact.CHIP_MEMORY_BEFORE: Rule(
        _MEMORY,
        read=_of_chips(lambda chip: chip.used_mib),
        same=_each(_within(256.0)),
        show=_numbers,
        follows=_MACHINE,
        is_constant=False,
        applies=_is_on_chips,
    ),
    Fact.CHIP_LOAD_BEFORE: Rule(
        _TIME,
        read=_of_chips(lambda chip: chip.utilization_percent),
        same=_each(_within(10.0)),
        show=_numbers,
        follows=_MACHINE,
        is_constant=False,
        applies=_is_on_chips,
    ),
    Fact.CHIP_PROCESSES_BEFORE: Rule(
        _COST,
        read=_of_chips(lambda chip: chip.other_processes),
        show=_numbers,
        follows=_MACHINE,
        is_constant=False,
        applies=_is_on_chips,
    ),
    # A moment's look, in which a system's own services show too.
    Fact.CPU_BUSY_BEFORE: Rule(
        _TIME,
        read=lambda record: record.before and record.before.cpu_busy_percent,
        same=_within(20.0),
        show=_number,
        follows=_MACHINE,
        is_constant=False,
    ),
    # How many they are in that moment. How much they take is compared beside it.
    Fact.BUSY_PROCESSES_BEFORE: Rule(
        _TOLD,
        read=lambda record: record.before and record.before.busy_processes,
        same=_within(1.0),
        follows=_MACHINE,
        is_constant=False,
    ),
    # The run before leaves up to one runnable thread a CPU in this mean, and a few of its helpers.
    Fact.LOAD_AVERAGE_BEFORE: Rule(
        _TIME,
        read=_load_a_cpu,
        same=_within(1.5),
        show=_number,
        follows=_MACHINE,
        is_constant=False,
    ),
    # It changes nothing as long as it suffices, and a run that it does not suffice for ends otherwise.
    Fact.AVAILABLE_MEMORY: Rule(
        _TOLD,
        read=lambda record: record.before and record.before.available_mib,
        same=_within_share(0.2),
        show=_number,
        follows=_MACHINE,
        is_constant=False,
    ),
    # In percent of the whole machine: less than a tenth of it is what a system takes for itself.
    Fact.OTHERS_CPU: Rule(
        _TIME,
        read=_share_of_machine,
        same=_within(10.0),
        show=_number,
        follows=_MACHINE,
        is_constant=False,
    ),
    Fact.OTHERS_ON_CHIPS: Rule(
        _COST,
        read=lambda record: record.sharing and record.sharing.others_on_chips,
        follows=_MACHINE,
        is_constant=False,
        applies=_is_on_chips,
    ),
    # How it was measured and followed.
    Fact.SENSORS: Rule(
        _MEMORY,
        read=_sensors,
        same=_share_no_contradiction,
        show=lambda sensors: ", ".join(f"{quantity}: {sensor}" for quantity, sensor in sensors),
        follows=_MACHINE,
    ),
    Fact.SAMPLING_INTERVAL: Rule(
        _MEMORY, read=lambda record: record.sampling and record.sampling.interval_seconds, show=_number
    ),
    # A busy machine reads late, and a short run has few readings.
    Fact.READINGS: Rule(
        _MEMORY,
        read=_readings_a_minute,
        same=_within_share(0.5),
        show=_number,
        follows=(*_MACHINE, Fact.SAMPLING_INTERVAL, Fact.SENSORS),
        is_constant=False,
    ),
    Fact.ENERGY: Rule(_TIME, read=lambda record: record.energy and True, follows=_MACHINE, applies=_is_on_chips),
    Fact.TRACKING: Rule(_TIME, read=_tracking),
    Fact.LOGGING: Rule(_TIME, read=_logging, applies=lambda record: False),
    # Only seeds that both completed are paired.
    Fact.SEEDS: Rule(_TOLD),
}
"""Every fact. Where a measurement is noisy, the comment above it says why what is nearer than that counts as equal."""

LEADS: Mapping[str, tuple[str, ...]] = {
    **CONTENT,
    "weights": CONTENT["model"],
    "template": ("model.template",),
    "threads": ("device.threads",),
    "device": ("device.name",),
    "hardware": ("device.name",),
    "chips": ("device.chips",),
    "stand_in": ("device.stand_in",),
    "processes": ("launch",),
    Fact.CHIP_IDS: ("device.chips",),
    Fact.SAMPLING_INTERVAL: ("device.interval_seconds",),
    Fact.SENSORS: ("device.sensor",),
    Fact.TRACKING: ("tracking.mode",),
    Fact.VARIABLES: ("device.threads",),
}
"""Keys of the configuration that lead to settings and facts which are no keys themselves."""


def fact_of(key: str) -> Fact | None:
    """Return the fact that a key of the settings belongs to; None: no fact is about it."""
    fitting = [(len(name), fact) for fact, rule in RULES.items() for name in rule.keys if belongs(key, [name])]
    return max(fitting)[1] if fitting else None
