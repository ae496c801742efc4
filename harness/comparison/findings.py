"""What a comparison came to, in numbers and enums: all that a verdict and a report rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from harness.comparison.arms import Arm, arms_of
from harness.comparison.differences import Comparison, PairedDifference, compare, loss_by_merging
from harness.comparison.fairness import UnprovenQuantization, unproven_quantization
from harness.comparison.metrics import ACCURACY, MERGED_ACCURACY, METRICS, Metric
from harness.comparison.runs import Run, Sweep
from harness.devices.reading import Quantity

TOO_HARD, TOO_EASY = 0.05, 0.98
"""Share of right answers, the mean over an arm's seeds. Where no arm exceeds the first, a benchmark is too hard to tell
arms apart, and what is right may be luck; where all reach the second it is too easy."""


@dataclass(frozen=True)
class UselessScore:
    """A score at which the benchmark tells nothing about the arms."""

    bound: float
    """Share of right answers: no arm is above it, or all are at least there."""
    is_upper: bool
    with_base: bool
    """Whether the base without adapter was scored too."""


@dataclass(frozen=True)
class StandIn:
    """What stood in for the hardware, in words of the configuration."""

    description: str


@dataclass(frozen=True)
class CpuOnly:
    """Every completed run was on a CPU."""


@dataclass(frozen=True)
class FewSeeds:
    """One or two seeds at most are shared by two arms."""

    seeds: int


@dataclass(frozen=True)
class BaselineAbsent:
    """The sweep's baseline is not among the runs, and another arm takes its part."""

    wanted: tuple[str, ...]
    instead: str


@dataclass(frozen=True)
class Diverged:
    """A run whose loss was not finite or ended no lower than it began."""

    run: Run


@dataclass(frozen=True)
class NotFinite:
    """Values that are NaN or infinite and so in no mean."""

    arm: str
    metric: Metric
    seeds: tuple[int, ...]
    n: int
    """How many runs the mean is over."""


@dataclass(frozen=True)
class SeedsMissing:
    """An arm that lacks seeds which it was run with, or which another arm completed."""

    arm: Arm
    uncompleted: tuple[Run, ...]
    not_run: tuple[int, ...]


@dataclass(frozen=True)
class Confounded:
    """A comparison of arms that differ in more than method and quantization."""

    comparison: Comparison


Caveat: TypeAlias = (
    UnprovenQuantization
    | StandIn
    | Diverged
    | NotFinite
    | SeedsMissing
    | Confounded
    | CpuOnly
    | FewSeeds
    | BaselineAbsent
)
"""What a reader of the verdict's sentences alone would get wrong."""


class Limit(StrEnum):
    """What a report does not tell."""

    NO_RESULT = "no_result"
    NO_ACCELERATOR = "no_accelerator"
    NPU_UNTRIED = "npu_untried"
    CARD_POWER = "card_power"
    SAMPLED = "sampled"
    OTHER_USERS = "other_users"
    NO_MEMORY = "no_memory"
    NO_ACCURACY = "no_accuracy"
    NO_VALIDATION_LOSS = "no_validation_loss"
    NO_ENERGY = "no_energy"
    MULTIPLICITY = "multiplicity"
    ONE_SETTING = "one_setting"


@dataclass(frozen=True)
class Findings:
    """Everything that was found out about the runs of one or several sweeps."""

    sweep: Sweep
    arms: Sequence[Arm]
    comparisons: Sequence[Comparison]
    merging: Sequence[PairedDifference]
    """Of each arm that was scored merged too: what merging changed."""
    useless_score: UselessScore | None
    """None: the benchmark tells the arms apart, or there was none."""
    caveats: Sequence[Caveat]
    limits: Sequence[Limit]

    @property
    def leading(self) -> Comparison | None:
        """The comparison that a verdict opens with: the first that came to something."""
        return next(filter(lambda comparison: comparison.differences, self.comparisons), None) or next(
            iter(self.comparisons), None
        )


def find(sweep: Sweep) -> Findings:
    """Compare the runs of a sweep. Nothing is ranked inside its noise."""
    arms = arms_of(sweep)
    comparisons = compare(arms)
    return Findings(
        sweep,
        arms,
        comparisons,
        [loss for arm in arms if (loss := loss_by_merging(arm)) is not None],
        _useless_score(arms),
        list(_caveats(arms, comparisons)),
        list(_limits(arms, comparisons)),
    )


def _useless_score(arms: Sequence[Arm]) -> UselessScore | None:
    bases = [run.record.base_score.accuracy for arm in arms for run in arm.completed if run.record.base_score]
    summaries = [arm.summary(kind) for arm in arms for kind in (ACCURACY, MERGED_ACCURACY)]
    scores = [summary.mean for summary in summaries if summary and summary.mean is not None] + bases
    if scores and max(scores) <= TOO_HARD:
        return UselessScore(max(scores), True, bool(bases))
    if scores and min(scores) >= TOO_EASY:
        return UselessScore(min(scores), False, bool(bases))
    return None


def _caveats(arms: Sequence[Arm], comparisons: Sequence[Comparison]) -> Iterator[Caveat]:
    yield from filter(None, map(unproven_quantization, arms))
    yield from (Diverged(run) for arm in arms for run in arm.diverged)
    for arm in arms:
        for metric in METRICS:
            summary = arm.summary(metric)
            if summary is not None and summary.not_finite:
                yield NotFinite(arm.label, metric, tuple(arm.not_finite(metric)), summary.n)
    yield from _seeds_missing(arms, comparisons)
    yield from (Confounded(comparison) for comparison in comparisons if _is_confounded(comparison))
    records = [run.record for arm in arms for run in arm.runs]
    for description in dict.fromkeys(record.stand_in for record in records):
        if description is not None:
            yield StandIn(description)
    completed = [run.record for arm in arms for run in arm.completed]
    if completed and all(record.device == "cpu" for record in completed):
        yield CpuOnly()
    seeds = max((paired.seeds for comparison in comparisons for paired in comparison.differences), default=0)
    if seeds in (1, 2):
        yield FewSeeds(seeds)
    if comparisons and not any(arm.is_baseline for arm in arms):
        yield BaselineAbsent(tuple(sorted({record.baseline for record in records})), arms[0].label)


def _is_confounded(comparison: Comparison) -> bool:
    return bool(comparison.differences and comparison.fairness.confounding)


def _seeds_missing(arms: Sequence[Arm], comparisons: Sequence[Comparison]) -> Iterator[SeedsMissing]:
    """Yield the arms whose means are over fewer seeds than they should be. One without any mean says so elsewhere."""
    opposite: dict[str, set[int]] = {}
    for comparison in comparisons:
        for side, other in ((comparison.arm, comparison.baseline), (comparison.baseline, comparison.arm)):
            opposite.setdefault(side.label, set()).update(other.seeds)
    for arm in arms:
        uncompleted = tuple(run for run in arm.runs if not run.completed)
        not_run = opposite.get(arm.label, set()) - {run.record.seed for run in arm.runs}
        if arm.completed and (uncompleted or not_run):
            yield SeedsMissing(arm, uncompleted, tuple(sorted(not_run)))


def _limits(arms: Sequence[Arm], comparisons: Sequence[Comparison]) -> Iterator[Limit]:
    completed = [run.record for arm in arms for run in arm.completed]
    if not completed:
        yield Limit.NO_RESULT
        return
    peaks = [peak for record in completed for peak in record.memory]
    conditions = {
        Limit.NO_ACCELERATOR: all(record.device == "cpu" for record in completed),
        Limit.NPU_UNTRIED: any(record.device == "ascend" for record in completed),
        Limit.CARD_POWER: any(record.device == "ascend" for record in completed),
        Limit.SAMPLED: any(peak.readings is not None for peak in peaks),
        Limit.OTHER_USERS: any(peak.quantity is Quantity.DEVICE for peak in peaks),
        Limit.NO_MEMORY: not peaks,
        Limit.NO_ACCURACY: not any(record.score or record.merged_score for record in completed),
        Limit.NO_VALIDATION_LOSS: not any(
            record.training and record.training.validation_loss is not None for record in completed
        ),
        Limit.NO_ENERGY: not any(record.energy for record in completed),
        Limit.MULTIPLICITY: bool(comparisons),
        Limit.ONE_SETTING: True,
    }
    yield from (limit for limit, applies in conditions.items() if applies)
