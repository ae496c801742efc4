"""What else differs between two arms, so that a difference is not put down to the wrong cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from harness.comparison.arms import Arm
from harness.comparison.settings import CONTENT, belongs, differences, is_recorded
from harness.runs.record import Record

_MEANT_TO_DIFFER = ("method.name", "method.finetuning_type", "quantization.")


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
    GRADIENT_CHECKPOINTING = "gradient_checkpointing"
    LINEAR_MODULES = "linear_modules"
    QUANTIZED_MODULES = "quantized_modules"
    TRAINING_ROWS = "training_rows"
    STEPS = "steps"
    TOKENS = "tokens"
    BENCHMARK = "benchmark"
    DEVICE = "device"
    PROCESSES = "processes"
    PLATFORM = "platform"
    VERSIONS = "versions"
    SEEDS = "seeds"


_SETTINGS = {
    Fact.WEIGHTS: ("model", "weights", *CONTENT["model"]),
    Fact.ROWS: ("rows", *CONTENT["rows"], "dataset.max_samples", "dataset.val_size"),
    Fact.QUESTIONS: ("questions", *CONTENT["questions"]),
    Fact.EVALUATION: ("evaluation",),
    Fact.TEMPLATE: ("template",),
    Fact.METHOD: ("method",),
    Fact.TRAINING: ("training",),
    Fact.ARGUMENTS: ("llamafactory",),
    Fact.PRECISION: ("precision", *CONTENT["precision"]),
    Fact.DEVICE: ("device", "hardware", "chips", "stand_in", "threads"),
    Fact.PROCESSES: ("processes",),
}
"""Facts that are settings, with the keys that belong to each or begin those that do. The longest that fits decides."""

_MEASURED: dict[Fact, Callable[[Record], object]] = {
    Fact.COMPUTE_DTYPE: lambda record: record.compute_dtype,
    Fact.GRADIENT_CHECKPOINTING: lambda record: record.evidence and record.evidence.gradient_checkpointing,
    Fact.LINEAR_MODULES: lambda record: record.evidence and record.evidence.linear_modules,
    Fact.QUANTIZED_MODULES: lambda record: record.evidence and record.evidence.quantized_modules,
    Fact.TRAINING_ROWS: lambda record: record.rows and record.rows.rows,
    Fact.STEPS: lambda record: record.training and record.training.steps,
    Fact.TOKENS: lambda record: record.training and record.training.tokens,
    Fact.BENCHMARK: lambda record: record.score and record.score.benchmark,
    Fact.PLATFORM: lambda record: record.environment.platform,
}
"""What the runs themselves tell; a fault can make them differ although their settings do not."""


@dataclass(frozen=True)
class OtherCause:
    """One thing, other than method and quantization, in which two arms differ."""

    fact: Fact
    key: str | None
    """Of the configuration, or a library's name; None: the fact has no further parts."""
    arm_values: tuple[str, ...]
    """Those of its runs, each once; none where it was not set."""
    baseline_values: tuple[str, ...]


@dataclass(frozen=True)
class Fairness:
    """What was compared between two arms."""

    causes: tuple[OtherCause, ...]
    equal: tuple[Fact, ...]
    not_recorded: tuple[Fact, ...]
    """By at least one side: of settings only what stands in for them (paths, counts) was compared."""

    @property
    def confounding(self) -> tuple[OtherCause, ...]:
        """The causes that can make a paired difference: only seeds that both completed are paired."""
        return tuple(cause for cause in self.causes if cause.fact is not Fact.SEEDS)


def fairness(arm: Arm, baseline: Arm, same_questions: bool = False) -> Fairness:
    """Compare every setting, other than method and quantization, and every fact that the runs themselves tell.

    `same_questions`: whether the answers of both were joined question by question, whatever their records tell."""
    causes = [*_settings(arm, baseline), *_versions(arm, baseline)]
    if same_questions:
        causes = [cause for cause in causes if cause.fact is not Fact.QUESTIONS]
    equal: set[Fact] = set()
    not_recorded: set[Fact] = set()
    pairs = [
        (arm.by_seed[seed].record, baseline.by_seed[seed].record) for seed in arm.seeds if seed in baseline.by_seed
    ]
    sides = (arm.settings.known, baseline.settings.known)
    for fact, tell in _MEASURED.items():
        if fact is Fact.QUANTIZED_MODULES and any(known.get("quantization.bits") is None for known in sides):
            continue
        values = [(tell(first), tell(second)) for first, second in pairs]
        recorded = [pair for pair in values if None not in pair]
        if any(first != second for first, second in recorded):
            causes.append(OtherCause(fact, None, *(_shown(*side) for side in zip(*recorded, strict=True))))
        elif recorded:
            equal.add(fact)
        elif fact is not Fact.BENCHMARK and pairs:
            not_recorded.add(fact)
    has_questions = any(known.get("evaluation.benchmark") is not None for known in sides)
    for fact in _SETTINGS:
        if fact is not Fact.QUESTIONS or has_questions:
            is_told = _is_told(fact, arm, baseline) or (fact is Fact.QUESTIONS and same_questions)
            (equal if is_told else not_recorded).add(fact)
    if arm.seeds and baseline.seeds:
        equal.add(Fact.SEEDS)
        if set(arm.seeds) != set(baseline.seeds):
            causes.append(OtherCause(Fact.SEEDS, None, _shown(*sorted(arm.seeds)), _shown(*sorted(baseline.seeds))))
    equal.add(Fact.VERSIONS)
    different = {cause.fact for cause in causes}
    order = list(Fact).index
    return Fairness(
        tuple(sorted(causes, key=lambda cause: (order(cause.fact), cause.key or ""))),
        tuple(sorted(equal - different, key=order)),
        tuple(sorted(not_recorded - different, key=order)),
    )


def _shown(*values: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(value) for value in values if value is not None))


def _fact_of(key: str) -> Fact | None:
    """Return the fact that a key of the settings belongs to; None: arms are meant to differ in it."""
    if key.startswith(_MEANT_TO_DIFFER):
        return None
    fitting = [(len(name), fact) for fact, names in _SETTINGS.items() for name in names if belongs(key, [name])]
    return max(fitting)[1] if fitting else None


def _settings(arm: Arm, baseline: Arm) -> Iterator[OtherCause]:
    for key, values in differences(arm.settings, baseline.settings).items():
        fact = _fact_of(key)
        if fact is not None:
            yield OtherCause(fact, key, *map(_shown, values))


def _versions(arm: Arm, baseline: Arm) -> Iterator[OtherCause]:
    """Yield each library, Python among them, whose versions differ."""
    sides = [[run.record.environment.versions for run in side.completed or side.runs] for side in (arm, baseline)]
    for library in sorted({name for side in sides for versions in side for name in versions}):
        found = [tuple(sorted({versions[library] for versions in side if library in versions})) for side in sides]
        if found[0] != found[1]:
            yield OtherCause(Fact.VERSIONS, library, found[0], found[1])


def _is_told(fact: Fact, arm: Arm, baseline: Arm) -> bool:
    """Return whether both arms record a setting itself, not only what stands in for it."""
    first, second = arm.settings, baseline.settings
    content = _SETTINGS[fact][0]
    if content in CONTENT:
        return is_recorded(content, first, second)
    if fact is Fact.ARGUMENTS or (first.complete and second.complete):
        return True
    return any(_fact_of(key) is fact for key in first.known.keys() & second.known.keys())


@dataclass(frozen=True)
class UnprovenQuantization:
    """An arm that asked for quantized weights, in whose loaded model none were found."""

    arm: str
    bits: int
    seeds: tuple[int, ...]


def unproven_quantization(arm: Arm) -> UnprovenQuantization | None:
    """Return None where every run has what it asked for, as far as it was counted."""
    bits = arm.settings.known.get("quantization.bits")
    faulty = tuple(
        run.record.seed
        for run in arm.completed
        if run.record.evidence is not None and run.record.evidence.quantized_modules == 0
    )
    return UnprovenQuantization(arm.label, bits, faulty) if isinstance(bits, int) and bits and faulty else None
