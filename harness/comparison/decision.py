"""Which arm for which purpose, by rules that are said beside their numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.comparison.arms import Arm
from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.judging import Word
from harness.comparison.metrics import ACCURACY, LEADING_MEMORY, STEP_SECONDS, Metric
from harness.runs.record import Outcome


class Purpose(StrEnum):
    """What an arm may be chosen for."""

    FITS = "fits"
    """It keeps to comparison.memory_limit_mib, in every run."""
    LEAST_MEMORY = "least_memory"
    FASTEST = "fastest"
    MOST_ACCURATE = "most_accurate"


class Basis(StrEnum):
    """What a choice rests on."""

    SHOWN = "shown"
    """A verdict: this arm is better than every other, or than the baseline while no other is."""
    SEVERAL = "several"
    """Several arms are better than the baseline, and were not tested against each other."""
    EQUIVALENT = "equivalent"
    """All arms serve equally well, within the margin."""
    UNDECIDED = "undecided"
    COUNTED = "counted"
    """Held against a limit, without a test."""


@dataclass(frozen=True)
class Choice:
    """The answer for one purpose."""

    purpose: Purpose
    basis: Basis
    metric: Metric
    arms: tuple[str, ...]
    """Those that serve the purpose, the best first; of UNDECIDED and EQUIVALENT all that were compared."""
    values: tuple[tuple[str, float], ...]
    """Of each arm that was measured, the best first: the highest of its runs for FITS, else its mean."""
    limit_mib: float | None = None
    """Of FITS."""
    failed: tuple[str, ...] = ()
    """Of FITS: arms of which a run ended out of memory."""


def decide(arms: Sequence[Arm], comparisons: Sequence[Comparison], limit_mib: float | None) -> list[Choice]:
    """Return what can be said for each purpose; one that nobody measured is not among them."""
    choices = [
        None if limit_mib is None else _fitting(arms, limit_mib),
        _best(Purpose.LEAST_MEMORY, arms, comparisons, lambda comparison: comparison.leading_memory),
        _best(Purpose.FASTEST, arms, comparisons, lambda comparison: comparison.of(STEP_SECONDS)),
        _best(Purpose.MOST_ACCURATE, arms, comparisons, lambda comparison: comparison.of(ACCURACY)),
    ]
    return [choice for choice in choices if choice is not None]


def _fitting(arms: Sequence[Arm], limit_mib: float) -> Choice | None:
    metric = next((each for each in LEADING_MEMORY if any(arm.values(each) for arm in arms)), None)
    if metric is None:
        return None
    highest = {arm.label: max(by_seed.values()) for arm in arms if (by_seed := arm.values(metric))}
    failed = tuple(arm.label for arm in arms if any(run.record.status is Outcome.OUT_OF_MEMORY for run in arm.runs))
    values = tuple(sorted(highest.items(), key=lambda item: item[1]))
    fitting = tuple(label for label, mib in values if mib <= limit_mib and label not in failed)
    return Choice(Purpose.FITS, Basis.COUNTED, metric, fitting, values, limit_mib, failed)


def _best(
    purpose: Purpose,
    arms: Sequence[Arm],
    comparisons: Sequence[Comparison],
    paired_of: Callable[[Comparison], PairedDifference | None],
) -> Choice | None:
    """Arms are tested against their baseline alone; so nothing is said of two that are both better than it."""
    found = [(comparison, paired) for comparison in comparisons if (paired := paired_of(comparison)) is not None]
    if not found or len({(paired.metric, comparison.baseline.label) for comparison, paired in found}) > 1:
        return None
    metric, baseline = found[0][1].metric, found[0][0].baseline
    means = {baseline.label: found[0][1].baseline_mean} | {paired.arm: paired.arm_mean for _, paired in found}
    values = tuple(sorted(means.items(), key=lambda item: -item[1] if metric.more_is_better else item[1]))
    words = {}
    for comparison, paired in found:
        judgement = comparison.judgement(metric)
        words[paired.arm] = judgement.word if judgement is not None else None
    order = [label for label, _ in values]
    better = tuple(label for label in order if words.get(label) is Word.BETTER)
    if better:
        return Choice(purpose, Basis.SHOWN if len(better) == 1 else Basis.SEVERAL, metric, better, values)
    if all(word is Word.WORSE for word in words.values()):
        return Choice(purpose, Basis.SHOWN, metric, (baseline.label,), values)
    if all(word is Word.EQUIVALENT for word in words.values()):
        return Choice(purpose, Basis.EQUIVALENT, metric, tuple(order), values)
    return Choice(purpose, Basis.UNDECIDED, metric, tuple(order), values)
