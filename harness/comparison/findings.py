"""What a comparison came to, in numbers and enums: all that a verdict and a report rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.comparison import estimates, margins
from harness.comparison.arms import Arm, arms_of, opponents
from harness.comparison.decision import Choice, decide
from harness.comparison.differences import Comparison, PairedDifference, compare, loss_by_merging
from harness.comparison.fairness import UnprovenQuantization, unproven_quantization
from harness.comparison.judging import judge
from harness.comparison.margins import Margins
from harness.comparison.metrics import ACCURACY, MERGED_ACCURACY, METRICS, Metric
from harness.comparison.order import Order, was_shared
from harness.comparison.runs import Run, Sweep
from harness.config.schema import ComparisonConfig
from harness.devices.reading import Quantity
from harness.runs import looks
from harness.runs.folder import SweepFolder
from harness.runs.record import Record

TOO_HARD, TOO_EASY = 0.05, 0.98
"""Share of right answers, the mean over an arm's seeds, of the arms alone: what the base scores tells nothing of them.
Where no arm exceeds the first, a benchmark is too hard to tell arms apart, and what is right may be luck; where all
reach the second it is too easy."""
FOR_A_VERDICT = 5
"""Seeds: with these an interval keeps what it promises at a width that serves (docs/statistics.md)."""

LIMITS: dict[str, Callable[[Sequence[Record]], bool]] = {
    "no_accelerator": lambda records: all(record.device == "cpu" for record in records),
    "npu_untried": lambda records: any(record.device == "ascend" for record in records),
    "card_power": lambda records: any(record.device == "ascend" for record in records),
    "sampled": lambda records: any(peak.readings is not None for record in records for peak in record.memory),
    "other_users": lambda records: any(
        peak.quantity is Quantity.DEVICE for record in records for peak in record.memory
    ),
    "no_memory": lambda records: not any(record.memory for record in records),
    "no_accuracy": lambda records: not any(record.score or record.merged_score for record in records),
    "no_validation_loss": lambda records: (
        not any(record.training and record.training.validation_loss is not None for record in records)
    ),
    "no_energy": lambda records: not any(record.energy for record in records),
}
"""What a report may not tell, and whether it is so, by the records of the completed runs."""


@dataclass(frozen=True)
class MarkedOtherwise:
    """An arm with answers that evalscope's own extraction marks otherwise than the number that they give."""

    arm: Arm
    otherwise: int
    answers: int
    """Of those of its runs that have such answers; so are the two below."""
    correct: int
    evalscope_correct: int


@dataclass(frozen=True)
class UselessScore:
    """A score at which the benchmark tells nothing about the arms."""

    bound: float
    """Share of right answers: no arm is above it, or all are at least there."""
    is_upper: bool


@dataclass(frozen=True)
class SeedsMissing:
    """An arm that lacks seeds which it was run with, or which another arm completed."""

    arm: Arm
    uncompleted: tuple[Run, ...]
    not_run: tuple[int, ...]


@dataclass(frozen=True)
class Caveats:
    """What a reader of the verdict's sentences alone would get wrong."""

    unproven: Sequence[UnprovenQuantization]
    diverged: Sequence[Run]
    not_finite: Sequence[tuple[Arm, Metric]]
    """Where values are NaN or infinite and so in no mean."""
    seeds_missing: Sequence[SeedsMissing]
    confounded: Sequence[Comparison]
    """Of arms that differ in more than method and quantization."""
    stand_ins: Sequence[str]
    """What stood in for the hardware, in words of the configuration."""
    cpu_only: bool
    """Every completed run was on a CPU."""
    few_seeds: int | None
    """Fewer than FOR_A_VERDICT: no two arms share more."""
    separated: Sequence[Comparison]
    """Of arms of which one ran before the other, over several seeds."""
    shared: Sequence[Run]
    """During which others used the machine."""
    lacking: Sequence[tuple[Comparison, Metric, Arm]]
    """Metrics that one of two arms lacks."""
    cut_off: Sequence[tuple[Arm, int, int]]
    """Arms with answers that evaluation.max_new_tokens ended: how many of how many, over their runs."""
    marked_otherwise: Sequence[MarkedOtherwise]
    other_margins: bool
    """The runs were made under several sets of comparison keys; the newest count."""
    absent_baselines: Sequence[str]
    """None of them is among the runs, and the first arm takes their part."""


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
    caveats: Caveats
    limits: Sequence[str]
    """Those of LIMITS that apply, and `no_result` and `one_setting`."""
    settings: ComparisonConfig
    margins: Margins
    looks: Sequence[int]
    """At which look at its runs each comparison is, from 1."""
    alphas: Sequence[float]
    """What the p-values of each comparison are held against."""
    choices: Sequence[Choice]
    """Which arm for which purpose."""

    @property
    def leading(self) -> Comparison | None:
        """The comparison that a verdict opens with: the first that came to something."""
        return min(self.comparisons, key=lambda comparison: not comparison.differences, default=None)


def find(sweep: Sweep) -> Findings:
    """Compare the runs of a sweep. Nothing is ranked inside its noise."""
    arms = arms_of(sweep)
    every = margins.settings_of([run.record for run in sweep.runs])
    settings = every[0]
    named = margins.margins_of(settings)
    useless = _useless_score(arms)
    compared = [compare(arm, baseline, settings.axes) for arm, baseline in opponents(arms)]
    taken = [_look(comparison, sweep) for comparison in compared]
    alphas = [estimates.corrected_alpha(look, settings.looks) for look in taken]
    comparisons = judge(compared, named, alphas, useless is None)
    return Findings(
        sweep,
        arms,
        comparisons,
        list(filter(None, map(loss_by_merging, arms))),
        useless,
        _caveats(arms, comparisons, len(every) > 1),
        list(_limits(arms, comparisons)),
        settings,
        named,
        taken,
        alphas,
        decide(arms, comparisons, settings.memory_limit_mib),
    )


def _look(comparison: Comparison, sweep: Sweep) -> int:
    """Return how often two arms were looked at with different runs that could have given a verdict, this time included.

    With one seed in common there was none to be had."""
    sides = [
        {run.folder.name: run.record.seed for run in side.completed} for side in (comparison.arm, comparison.baseline)
    ]
    seen = {frozenset(name for side in sides for name in side)}
    for folder in sweep.folders:
        for look in looks.read(SweepFolder(folder)):
            of_sides = [{name for name in look.completed if name in side} for side in sides]
            seeds = [{side[name] for name in names} for side, names in zip(sides, of_sides, strict=True)]
            if len(seeds[0] & seeds[1]) > 1:
                seen.add(frozenset(of_sides[0] | of_sides[1]))
    return len(seen)


def _useless_score(arms: Sequence[Arm]) -> UselessScore | None:
    values = [arm.values(metric) for arm in arms for metric in (ACCURACY, MERGED_ACCURACY)]
    scores = [fmean(of_arm.values()) for of_arm in values if of_arm]
    if scores and max(scores) <= TOO_HARD:
        return UselessScore(max(scores), True)
    if scores and min(scores) >= TOO_EASY:
        return UselessScore(min(scores), False)
    return None


def _caveats(arms: Sequence[Arm], comparisons: Sequence[Comparison], other_margins: bool) -> Caveats:
    records = [run.record for arm in arms for run in arm.runs]
    devices = {run.record.device for arm in arms for run in arm.completed}
    seeds = max((len(paired.seeds) for comparison in comparisons for paired in comparison.differences), default=0)
    baseline_is_absent = comparisons and not any(arm.is_baseline for arm in arms)
    return Caveats(
        unproven=list(filter(None, map(unproven_quantization, arms))),
        diverged=[run for arm in arms for run in arm.diverged],
        not_finite=[(arm, metric) for arm in arms for metric in METRICS if arm.not_finite(metric)],
        seeds_missing=list(_seeds_missing(arms, comparisons)),
        confounded=[each for each in comparisons if each.differences and each.fairness.confounding],
        stand_ins=list(dict.fromkeys(record.stand_in for record in records if record.stand_in is not None)),
        cpu_only=devices == {"cpu"},
        few_seeds=seeds if 0 < seeds < FOR_A_VERDICT else None,
        separated=[each for each in comparisons if len(each.pairs) > 1 and each.order is Order.SEPARATED],
        shared=[run for arm in arms for run in arm.completed if was_shared(run.record)],
        lacking=[(each, metric, arm) for each in comparisons for metric, arm in each.lacking()],
        cut_off=list(_cut_off(arms)),
        marked_otherwise=list(_marked_otherwise(arms)),
        other_margins=other_margins,
        absent_baselines=sorted({record.baseline for record in records}) if baseline_is_absent else [],
    )


def _cut_off(arms: Sequence[Arm]) -> Iterator[tuple[Arm, int, int]]:
    for arm in arms:
        scores = [
            run.record.score for run in arm.completed if run.record.score and run.record.score.cut_off is not None
        ]
        cut_off = sum(score.cut_off or 0 for score in scores)
        if cut_off:
            yield arm, cut_off, sum(score.questions for score in scores)


def _marked_otherwise(arms: Sequence[Arm]) -> Iterator[MarkedOtherwise]:
    for arm in arms:
        scores = [run.record.score for run in arm.completed if run.record.score and run.record.score.marked_otherwise]
        if scores:
            yield MarkedOtherwise(
                arm,
                otherwise=sum(score.marked_otherwise or 0 for score in scores),
                answers=sum(score.questions for score in scores),
                correct=sum(score.correct for score in scores),
                evalscope_correct=sum(score.evalscope_correct or 0 for score in scores),
            )


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


def _limits(arms: Sequence[Arm], comparisons: Sequence[Comparison]) -> Iterator[str]:
    completed = [run.record for arm in arms for run in arm.completed]
    if not completed:
        yield "no_result"
        return
    yield from (limit for limit, applies in LIMITS.items() if applies(completed))
    yield "one_setting"
