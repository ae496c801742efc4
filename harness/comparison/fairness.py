"""What else differs between two arms, so that a difference is not put down to the wrong cause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from harness.comparison.arms import Arm
from harness.comparison.facts import LEADS, RULES, Fact, Rule, fact_of, is_of_older_version
from harness.comparison.metrics import Aspect
from harness.comparison.settings import (
    CONTENT,
    Settings,
    absence_tells,
    belongs,
    differences,
    is_recorded,
    planned_settings,
)
from harness.runs.record import IdentityParts

__all__ = [
    "Fact",
    "Fairness",
    "OtherCause",
    "UnprovenQuantization",
    "Variation",
    "fairness",
    "refusal",
    "unfair_settings",
    "unproven_quantization",
]

_MEANT_TO_DIFFER = ("method.name", "method.finetuning_type", "quantization")


@dataclass(frozen=True)
class OtherCause:
    """One thing, other than method and quantization, in which two arms differ."""

    fact: Fact
    key: str | None
    """Of the configuration, or the name of a library, a variable, a runtime; None: the fact has no further parts."""
    arm_values: tuple[str, ...]
    """Those of its runs in the pairs that differ, each once; none where it was not set, or not recorded."""
    baseline_values: tuple[str, ...]
    aspects: frozenset[Aspect]
    """What it touches; none: it is told, and spoils nothing."""
    declared: bool = False
    """It is one of comparison.axes, or follows from one, or from the method: what is compared, and spoils nothing."""
    seeds: tuple[int, ...] = ()
    """Of the pairs of runs that differ in it."""
    one_sided: bool = False
    """One arm alone recorded it: whether they differ is not known, so it is told, and takes no word."""

    @property
    def spoils(self) -> bool:
        """Whether it may have made a difference that is put down to method and quantization."""
        return bool(self.aspects) and not self.declared and not self.one_sided


@dataclass(frozen=True)
class Variation:
    """What changed within one arm, from seed to seed: it takes no word, since pairs share it, but widens intervals."""

    arm: str
    """Its label."""
    fact: Fact
    key: str | None
    values: tuple[tuple[str | None, tuple[int, ...]], ...]
    """Each with the seeds that had it; None: not set."""


@dataclass(frozen=True)
class Fairness:
    """What was compared between two arms, pair by pair."""

    causes: tuple[OtherCause, ...]
    equal: tuple[Fact, ...]
    """In each pair that recorded it."""
    not_recorded: tuple[Fact, ...]
    """By neither side, or not by both: of settings only what stands in for them (paths, counts) was compared."""
    within: tuple[Variation, ...] = ()

    @property
    def confounding(self) -> tuple[OtherCause, ...]:
        """The causes that can make a paired difference."""
        return tuple(cause for cause in self.causes if cause.spoils)

    def touching(self, aspect: Aspect) -> tuple[OtherCause, ...]:
        """Return the causes for which no word may be said of metrics of this aspect."""
        return tuple(cause for cause in self.confounding if aspect in cause.aspects)


@dataclass(frozen=True)
class _Difference:
    """Of one pair of runs."""

    seed: int
    fact: Fact
    key: str | None
    arm_value: str | None
    baseline_value: str | None
    one_sided: bool = False


def fairness(arm: Arm, baseline: Arm, same_questions: bool = False, axes: Sequence[str] = ()) -> Fairness:
    """Compare every fact between the two runs of each seed that both completed.

    `same_questions`: whether the answers of both were joined question by question, whatever their records tell.
    `axes`: what they are meant to differ in beside method and quantization, as comparison.axes has it."""
    seeds = [seed for seed in arm.seeds if seed in baseline.by_seed]
    records = {seed: (arm.by_seed[seed].record, baseline.by_seed[seed].record) for seed in seeds}
    settings = {seed: (arm.by_seed[seed].settings, baseline.by_seed[seed].settings) for seed in seeds}
    distinct = list(dict.fromkeys(settings.values()))
    # What the two versions of the harness do not both look for cannot be told to be absent.
    alike = {seed: len(set(map(is_of_older_version, both))) == 1 for seed, both in records.items()}
    found: list[_Difference] = []
    equal: set[Fact] = set()
    not_recorded: set[Fact] = set()
    within: list[Variation] = []
    for fact, rule in RULES.items():
        if rule.read is not None:
            told, also_told = (
                {seed: rule.read(run.record) for seed, run in side.by_seed.items()} for side in (arm, baseline)
            )
            compared = [list(_compared(fact, rule, seed, told[seed], also_told[seed], alike[seed])) for seed in seeds]
            found += [difference for of_pair in compared for difference in of_pair if difference is not None]
            if any(compared):
                equal.add(fact)
            elif any(rule.applies(record) for both in records.values() for record in both):
                not_recorded.add(fact)
            if rule.is_constant:
                within += [*_within(arm, fact, rule, told), *_within(baseline, fact, rule, also_told)]
        elif rule.keys and seeds and _is_asked(fact, arm, baseline):
            is_told = fact is Fact.QUESTIONS and same_questions
            is_told = is_told or all(_is_told(fact, *both) for both in distinct)
            (equal if is_told else not_recorded).add(fact)
    differing = {both: list(_settings(*both)) for both in distinct}
    found += [replace(difference, seed=seed) for seed, both in settings.items() for difference in differing[both]]
    if same_questions:
        found = [difference for difference in found if difference.fact is not Fact.QUESTIONS]
    causes = _causes(found, axes, {key for both in distinct for key in _meant(*both)})
    if arm.seeds and baseline.seeds:
        equal.add(Fact.SEEDS)
        if set(arm.seeds) != set(baseline.seeds):
            first, second = (tuple(map(str, sorted(side.seeds))) for side in (arm, baseline))
            causes.append(OtherCause(Fact.SEEDS, None, first, second, RULES[Fact.SEEDS].aspects))
    different = {cause.fact for cause in causes}
    order = list(Fact).index
    return Fairness(
        tuple(sorted(causes, key=lambda cause: (order(cause.fact), cause.key or ""))),
        tuple(sorted(equal - different, key=order)),
        tuple(sorted(not_recorded - different, key=order)),
        tuple(within),
    )


def unfair_settings(first: IdentityParts, second: IdentityParts, axes: Sequence[str] = ()) -> list[OtherCause]:
    """Return what two planned runs of one seed would differ in, beside method, quantization and `axes`: nothing of it
    is declared. `first`: of the arm; `second`: of its baseline."""
    found = _settings(planned_settings(first), planned_settings(second), first.seed, measured_too=True)
    return [cause for cause in _causes(found, axes, set()) if not cause.declared]


def refusal(arm: str, baseline: str, cause: OtherCause) -> str:
    """Return why comparison.strict refuses a sweep with this cause: key, what is wrong and what would be right."""
    # Content is known by its hash, which is no key that anybody could name.
    axis = cause.key if cause.key is not None and "." in cause.key else cause.fact.value
    values = [", ".join(values) or "not set" for values in (cause.arm_values, cause.baseline_values)]
    return (
        f"{cause.key or cause.fact.value}: {values[0]} for {arm} and {values[1]} for {baseline}, so that their "
        "difference would not be that of method and quantization alone; give both the same, or, where it is what the "
        f"sweep compares (a key that it sweeps over), say comparison.axes=[{axis}]; comparison.strict=false runs it "
        "as it is"
    )


def _compared(
    fact: Fact, rule: Rule, seed: int, told: object, also_told: object, absence_counts: bool
) -> Iterator[_Difference | None]:
    """Yield nothing where neither run of a pair tells the fact, else each difference; None where there is none.

    `absence_counts`: whether a key that one of the two lacks was not set, and not just overlooked."""
    if told is None or also_told is None:
        if told is not also_told:
            yield _Difference(seed, fact, None, _shown(rule, told), _shown(rule, also_told), one_sided=True)
    elif isinstance(told, Mapping) and isinstance(also_told, Mapping):
        differing = [
            key
            for key in (sorted(told.keys() | also_told.keys()) if told != also_told else ())
            if (
                not rule.same(told[key], also_told[key])
                if key in told and key in also_told
                else absence_counts or absence_tells(f"{fact}.{key}")
            )
        ]
        for key in differing:
            yield _Difference(seed, fact, key, _shown(rule, told.get(key)), _shown(rule, also_told.get(key)))
        if not differing:
            yield None
    elif rule.same(told, also_told):
        yield None
    else:
        yield _Difference(seed, fact, None, _shown(rule, told), _shown(rule, also_told))


def _shown(rule: Rule, value: object) -> str | None:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {rule.show(value[key])}" for key in sorted(value))
    return None if value is None else rule.show(value)


def _settings(first: Settings, second: Settings, seed: int = 0, measured_too: bool = False) -> Iterator[_Difference]:
    """Yield the settings in which two runs differ, of facts that are settings alone, or all."""
    for key, values in differences(first, second).items():
        fact = fact_of(key)
        if fact is None or belongs(key, _MEANT_TO_DIFFER) or (RULES[fact].read is not None and not measured_too):
            continue
        arm_value, baseline_value = (None if value is None else str(value) for value in values)
        yield _Difference(seed, fact, key.removeprefix("versions."), arm_value, baseline_value)


def _meant(first: Settings, second: Settings) -> list[str]:
    """Return the keys in which two runs differ as they are meant to."""
    return [key for key in differences(first, second) if belongs(key, _MEANT_TO_DIFFER)]


def _causes(found: Iterable[_Difference], axes: Sequence[str], meant: set[str]) -> list[OtherCause]:
    """Join the differences of all pairs. `meant`: keys that differ as they should."""

    def group(difference: _Difference) -> tuple[str, str, bool]:
        return difference.fact, difference.key or "", difference.one_sided

    groups = [list(several) for _, several in groupby(sorted(found, key=group), key=group)]
    # What follows from that which is declared, or meant, and does differ is excused with it.
    roots = meant | {_name(several[0]) for several in groups if _is_declared(several[0], axes)}
    causes = []
    for several in groups:
        first, rule = several[0], RULES[several[0].fact]
        causes.append(
            OtherCause(
                first.fact,
                first.key,
                _each_once(difference.arm_value for difference in several),
                _each_once(difference.baseline_value for difference in several),
                rule.aspects_of(first.key),
                _is_declared(first, axes) or any(belongs(root, rule.follows) for root in roots),
                tuple(sorted({difference.seed for difference in several})),
                first.one_sided,
            )
        )
    return causes


def _name(difference: _Difference) -> str:
    return difference.key or difference.fact.value


def _is_declared(difference: _Difference, axes: Sequence[str]) -> bool:
    """Return whether an axis names the fact, its key or what that begins with, or what leads to it."""
    names = (difference.fact.value, _name(difference), f"{difference.fact.value}.{difference.key}")
    leads = LEADS.get(_name(difference), ())
    return any(any(belongs(name, [axis]) for name in (*names, *leads)) or belongs(axis, leads) for axis in axes)


def _each_once(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value is not None))


def _is_asked(fact: Fact, arm: Arm, baseline: Arm) -> bool:
    sides = (arm.settings.known, baseline.settings.known)
    return fact is not Fact.QUESTIONS or any(known.get("evaluation.benchmark") is not None for known in sides)


def _is_told(fact: Fact, first: Settings, second: Settings) -> bool:
    """Return whether both record a setting itself, not only what stands in for it."""
    content = RULES[fact].keys[0]
    if content in CONTENT:
        return is_recorded(content, first, second)
    if fact is Fact.ARGUMENTS or (first.complete and second.complete):
        return True
    return any(fact_of(key) is fact for key in first.known.keys() & second.known.keys())


def _within(arm: Arm, fact: Fact, rule: Rule, told: Mapping[int, object]) -> Iterator[Variation]:
    """Yield what an arm's completed runs should share, and do not; what a run did not record counts for nothing."""
    values = {seed: value for seed, value in told.items() if value is not None}
    first = next(iter(values.values()), None)
    if all(value == first for value in values.values()):
        return
    parts = {seed: value if isinstance(value, Mapping) else {None: value} for seed, value in values.items()}
    for key in sorted({key for of_run in parts.values() for key in of_run}, key=str):
        of_key = [of_run.get(key) for of_run in parts.values()]
        if None not in of_key and all(rule.same(of_key[0], value) for value in of_key):
            continue
        seeds: dict[str | None, list[int]] = {}
        for seed in sorted(parts):
            seeds.setdefault(_shown(rule, parts[seed].get(key)), []).append(seed)
        yield Variation(arm.label, fact, key, tuple((text, tuple(of_text)) for text, of_text in seeds.items()))


@dataclass(frozen=True)
class UnprovenQuantization:
    """An arm that asked for quantized weights, in whose loaded model none were found."""

    arm: str
    bits: int
    seeds: tuple[int, ...]


def unproven_quantization(arm: Arm) -> UnprovenQuantization | None:
    """Return None where every run has what it asked for, as far as it was counted. Where some layers are quantized and
    others are not, that is a cause of Fact.QUANTIZED_MODULES."""
    bits = arm.settings.known.get("quantization.bits")
    faulty = tuple(
        run.record.seed
        for run in arm.completed
        if run.record.evidence is not None and run.record.evidence.quantized_modules == 0
    )
    return UnprovenQuantization(arm.label, bits, faulty) if isinstance(bits, int) and bits and faulty else None
