"""What is known of a sweep before it starts: what it compares, whether that is fair, which differences it can see."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path

from harness.comparison.arms import arms_of, opponents
from harness.comparison.differences import Comparison, compare
from harness.comparison.facts import RULES, Fact
from harness.comparison.fairness import OtherCause, refusal, unfair_settings
from harness.comparison.findings import FOR_A_VERDICT
from harness.comparison.foresight import Foresight, Pilot, foresee
from harness.comparison.margins import Margins, margins_of
from harness.comparison.metrics import ACCURACY, STEP_SECONDS
from harness.comparison.needs import variances
from harness.comparison.runs import load_sweep
from harness.data import arithmetic
from harness.plan.spec import RunSpec
from harness.processes.jobs import ARITHMETIC
from harness.tracking import account

_HOW_MEASURED = {
    "device.chips": Fact.CHIP_IDS,
    "device.interval_seconds": Fact.SAMPLING_INTERVAL,
    "device.sensor": Fact.SENSORS,
    "tracking.mode": Fact.TRACKING,
    "training.logging_steps": Fact.LOGGING,
    "training.save_steps": Fact.LOGGING,
}
"""Keys that change no result, and so no identity, but what a run takes or how that is seen."""
_FEWEST_OF_A_PILOT = 3
"""Seeds: two tell next to nothing of how much seeds vary."""


@dataclass(frozen=True)
class PlannedArm:
    """Runs that will differ in their seeds alone."""

    name: str
    by_seed: dict[int, RunSpec]

    @property
    def any(self) -> RunSpec:
        return next(iter(self.by_seed.values()))

    @property
    def is_baseline(self) -> bool:
        return self.name == self.any.config.baseline


@dataclass(frozen=True)
class PlannedPair:
    """An arm and the one that it will be compared with."""

    arm: PlannedArm
    baseline: PlannedArm

    @property
    def seeds(self) -> list[int]:
        """Those that they share."""
        return [seed for seed in self.arm.by_seed if seed in self.baseline.by_seed]


@dataclass(frozen=True)
class Outlook:
    """What one sweep is about to do."""

    sweep: str
    arms: tuple[str, ...]
    """The name of each, the baseline's first; several may share one."""
    seeds: tuple[int, ...]
    runs: int
    completed: int
    """Of these runs: they are not run again."""
    is_scored: bool
    margins: Margins
    looks: int
    """As announced."""
    foresight: Foresight | None
    """None: nothing is compared, since there is one arm."""
    for_a_verdict: tuple[int, ...] | None
    """The seeds that would do, those at hand first; None: there are enough, or there is nothing to compare."""


def arms(specs: Sequence[RunSpec]) -> list[PlannedArm]:
    """Return the arms of a sweep in the order in which they start."""
    grouped: dict[str, PlannedArm] = {}
    for spec in specs:
        grouped.setdefault(spec.of_arm, PlannedArm(spec.arm, {})).by_seed[spec.config.seed] = spec
    return list(grouped.values())


def pairs(planned: Sequence[PlannedArm]) -> list[PlannedPair]:
    """Return each arm with its baseline, chosen as `comparison.arms.opponents` will choose it from the records."""
    baselines = [arm for arm in planned if arm.is_baseline]
    others = [arm for arm in planned if not arm.is_baseline]
    if not baselines or not others:
        baselines, others = list(planned[:1]), list(planned[1:])

    def distance(arm: PlannedArm, baseline: PlannedArm) -> int:
        return len(unfair_settings(arm.any.parts, baseline.any.parts, ()))

    return [PlannedPair(arm, min(baselines, key=partial(distance, arm))) for arm in others]


def causes(pair: PlannedPair) -> Iterator[OtherCause]:
    """Yield in what the two will differ, beside method, quantization and what is declared."""
    first, second = pair.arm.any, pair.baseline.any
    axes = first.config.comparison.axes
    yield from (cause for cause in unfair_settings(first.parts, second.parts, axes) if cause.spoils)
    for key, fact in _HOW_MEASURED.items():
        values = [attrgetter(key)(spec.config) for spec in (first, second)]
        if values[0] != values[1] and not {key, key.partition(".")[0], fact}.intersection(axes):
            ours, theirs = (() if value is None else (str(value),) for value in values)
            yield OtherCause(fact, key, ours, theirs, RULES[fact].aspects)


def refusals(specs: Sequence[RunSpec]) -> list[str]:
    """Return why comparison.strict refuses one sweep: key, what is wrong and what would be right."""
    told = []
    for pair in pairs(arms(specs)):
        told += [refusal(pair.arm.name, pair.baseline.name, cause) for cause in causes(pair)]
        told += _other_seeds(pair)
        if len(pair.seeds) < 2:
            seeds = enough(sorted({*pair.arm.by_seed, *pair.baseline.by_seed}))
            told.append(
                f"seed: {pair.arm.name} and {pair.baseline.name} share {len(pair.seeds)}, which tells nothing of "
                f"methods; give two at least, for a verdict seed={_listed(seeds)}"
            )
    return list(dict.fromkeys(told))


def warnings(specs: Sequence[RunSpec]) -> list[str]:
    """Return what is unfair in one sweep that is run all the same, and whether its tracking gets nowhere."""
    told = list(_unreachable(specs))
    for pair in pairs(arms(specs)):
        told += _other_seeds(pair)
        found = [
            f"{cause.key or cause.fact} ({', '.join(cause.arm_values) or 'not set'} and "
            f"{', '.join(cause.baseline_values) or 'not set'})"
            for cause in causes(pair)
        ]
        if found:
            told.append(
                f"{pair.arm.name} and {pair.baseline.name} differ in {', '.join(found)}: the report will have no word "
                "on what that touches; comparison.axes=[...] declares what is meant to be compared"
            )
    return list(dict.fromkeys(told))


def _unreachable(specs: Sequence[RunSpec]) -> Iterator[str]:
    if specs[0].config.dry_run or all(spec.config.tracking.mode != "cloud" for spec in specs):
        return
    found = account.find(os.environ, Path.cwd(), Path.home())
    if found is not None and not account.answers(found.asked):
        yield (
            f"tracking.mode=cloud: {found.asked} does not answer; where it does not until a run starts, that one is "
            "kept on the disk for `swanlab sync`; tracking=local needs no network, and behind a proxy export "
            "HTTPS_PROXY=http://HOST:PORT"
        )


def _other_seeds(pair: PlannedPair) -> Iterator[str]:
    first, second = (sorted(arm.by_seed) for arm in (pair.arm, pair.baseline))
    if first != second:
        sides = f"{_listed(first)} for {pair.arm.name} and {_listed(second)} for {pair.baseline.name}"
        yield f"seed: {sides}; only seeds that both have are compared, so give both the same"


def outlook(specs: Sequence[RunSpec], done: Sequence[Path]) -> Outlook:
    """Return what is known of one sweep. `done`: the folders of those of its runs that are completed."""
    config = specs[0].config
    planned = arms(specs)
    compared = pairs(planned)
    shared = min((len(pair.seeds) for pair in compared), default=0)
    seeds = tuple(dict.fromkeys(spec.config.seed for spec in specs))
    foresight = None
    if compared:
        pilot = _pilot(specs, done) if len(done) < len(specs) else None
        foresight = foresee(shared, _questions(planned), pilot, arms=len(planned), looks=config.comparison.looks)
    return Outlook(
        sweep=config.sweep,
        arms=tuple(arm.name for arm in sorted(planned, key=lambda arm: not arm.is_baseline)),
        seeds=seeds,
        runs=len(specs),
        completed=len(done),
        is_scored=any(spec.config.evaluation.benchmark for spec in specs),
        margins=margins_of(config.comparison),
        looks=config.comparison.looks,
        foresight=foresight,
        for_a_verdict=enough(seeds) if compared and shared < FOR_A_VERDICT else None,
    )


def enough(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return as many seeds as a verdict takes, those that are given first."""
    further = range(max(seeds, default=-1) + 1, 2**32)
    return (*seeds, *further[: max(0, FOR_A_VERDICT - len(seeds))])


def _questions(planned: Sequence[PlannedArm]) -> int | None:
    """How many questions every arm is asked; None: none, or that shows only once they are fetched."""
    counts = [_asked(arm.any) for arm in planned]
    known = [count for count in counts if count is not None]
    return min(known) if len(known) == len(counts) else None


def _asked(spec: RunSpec) -> int | None:
    evaluation = spec.config.evaluation
    if evaluation.benchmark is None:
        return None
    if evaluation.benchmark == ARITHMETIC:
        return evaluation.limit or arithmetic.DEFAULT_QUESTIONS
    file = None if evaluation.path is None else spec.started_in / Path(evaluation.path).expanduser()
    if file is None or file.suffix != ".jsonl" or not file.is_file():
        return evaluation.limit
    with file.open("rb") as lines:
        there = sum(not line.isspace() for line in lines)
    return min(there, evaluation.limit or there)


def _pilot(specs: Sequence[RunSpec], done: Sequence[Path]) -> Pilot | None:
    """What runs of this sweep that are completed tell of how much its differences vary."""
    if len(done) < 2 * _FEWEST_OF_A_PILOT:
        return None
    folder = specs[0].sweep_folder.path
    sides = opponents(arms_of(load_sweep(folder, only=done)))
    comparisons = [compare(arm, baseline, specs[0].config.comparison.axes) for arm, baseline in sides]
    best = max(comparisons, key=lambda comparison: len(comparison.pairs), default=None)
    return None if best is None or len(best.pairs) < _FEWEST_OF_A_PILOT else _told(best)


def _told(comparison: Comparison) -> Pilot:
    accuracy, memory, time = comparison.of(ACCURACY), comparison.leading_memory, comparison.of(STEP_SECONDS)
    joined = None if accuracy is None else accuracy.by_question
    return Pilot(
        len(comparison.pairs),
        answers=None if joined is None or min(joined.shape) < 2 else variances(joined),
        time=None if time is None else time.estimate,
        memory=None if memory is None else memory.estimate,
    )


def _listed(seeds: Sequence[int]) -> str:
    return ",".join(map(str, seeds))
