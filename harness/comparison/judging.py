"""From differences to words: what a report may say of an arm, and why it says no more.

Three metrics are primary: accuracy, the leading memory and seconds a step. They alone get a word, corrected (Holm) for
how many arms and metrics there are, and for how often the results were looked at. All others are described.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.comparison import estimates
from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.fairness import OtherCause, unproven_quantization
from harness.comparison.margins import Margins
from harness.comparison.metrics import ACCURACY, STEP_SECONDS, Aspect
from harness.comparison.needs import Needs, needs_crossed, needs_paired
from harness.comparison.order import Order, was_shared

ALPHA = 0.05


class Word(StrEnum):
    """What is said of an arm against its baseline in one metric."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    """Apart by less than the margin, either way."""
    NOT_WORSE = "not_worse"
    """If worse, then by less than the margin."""
    UNDECIDED = "undecided"


class Reason(StrEnum):
    """Why there is no word, or why it is `undecided`."""

    ONE_SEED = "one_seed"
    """It speaks of two adapters, and never of two methods."""
    FEW_QUESTIONS = "few_questions"
    UNPAIRABLE = "unpairable"
    """The arms were not asked the same questions."""
    NOT_POSITIVE = "not_positive"
    """A value has no ratio."""
    SEPARATED = "separated"
    """All runs of one arm came before all of the other."""
    ORDER_UNKNOWN = "order_unknown"
    """Nobody knows whether the arms took turns."""
    SHARED = "shared"
    """Others used the machine."""
    UNFAIR = "unfair"
    """The arms differ in something else that touches this metric."""
    TELLS_NOTHING = "tells_nothing"
    """The benchmark is too easy or too hard for these arms."""
    UNPROVEN = "unproven"
    """The base was not quantized as it was asked for."""


@dataclass(frozen=True)
class Judgement:
    """What may be said of one primary metric."""

    word: Word | None
    """None: nothing may be said, for one of `reasons`."""
    within_margin: bool = False
    """Better or worse, but by less than the margin."""
    reasons: tuple[Reason, ...] = ()
    causes: tuple[OtherCause, ...] = ()
    """Of UNFAIR: in what the arms differ."""
    p_different: float | None = None
    """Corrected for the number of tests. None: there is no test, since the difference is exact or withheld."""
    p_equivalent: float | None = None
    p_not_worse: float | None = None
    alpha: float = ALPHA
    """What they are held against, corrected for the number of looks."""
    at_least_as_good: float | None = None
    """Probability that the arm is at least as good as its baseline, as a second reading (Estimate.probability)."""
    needs: Needs | None = None
    """Of UNDECIDED: what would decide it."""


@dataclass(frozen=True)
class _Case:
    comparison: Comparison
    paired: PairedDifference
    reasons: tuple[Reason, ...]
    causes: tuple[OtherCause, ...]

    @property
    def is_tested(self) -> bool:
        return not self.reasons and not self.paired.is_exact and not self.paired.is_none


def judge(
    comparisons: Sequence[Comparison], margins: Margins, alphas: Sequence[float], score_tells: bool
) -> list[Comparison]:
    """Return the comparisons with their judgements. `alphas`: of each, corrected for looks. `score_tells`: whether the
    benchmark tells the arms apart."""
    cases = [case for comparison in comparisons for case in _cases(comparison, score_tells)]
    tested = [case for case in cases if case.is_tested]
    raw = [_p_values(case.paired, margins) for case in tested]
    corrected = (
        list(zip(*(estimates.holm(p_values) for p_values in zip(*raw, strict=True)), strict=True)) if raw else []
    )
    p_values = dict(zip(map(id, tested), corrected, strict=True))
    judged = []
    for comparison, alpha in zip(comparisons, alphas, strict=True):
        own = [case for case in cases if case.comparison is comparison]
        judgements = {
            case.paired.metric.key: _judgement(case, p_values.get(id(case)), margins, alpha, len(tested))
            for case in own
        }
        judged.append(replace(comparison, judgements=judgements))
    return judged


def _cases(comparison: Comparison, score_tells: bool) -> list[_Case]:
    primary = (comparison.of(ACCURACY), comparison.leading_memory, comparison.of(STEP_SECONDS))
    cases = []
    for paired in filter(None, primary):
        causes = comparison.fairness.touching(paired.metric.aspect)
        cases.append(_Case(comparison, paired, tuple(_reasons(comparison, paired, score_tells, bool(causes))), causes))
    return cases


def _reasons(comparison: Comparison, paired: PairedDifference, score_tells: bool, is_unfair: bool) -> list[Reason]:
    sides = (comparison.arm, comparison.baseline)
    is_time = paired.metric.aspect is Aspect.TIME
    found = {
        Reason.UNPROVEN: any(unproven_quantization(side) for side in sides),
        Reason.UNFAIR: is_unfair,
        Reason.SEPARATED: is_time and len(paired.seeds) > 1 and comparison.order is Order.SEPARATED,
        Reason.ORDER_UNKNOWN: is_time and len(paired.seeds) > 1 and comparison.order is Order.UNKNOWN,
        Reason.SHARED: is_time and any(was_shared(run.record) for pair in comparison.pairs for run in pair),
        Reason.TELLS_NOTHING: paired.metric is ACCURACY and not score_tells,
        Reason.UNPAIRABLE: paired.unpairable is not None,
        Reason.ONE_SEED: len(paired.seeds) == 1,
        Reason.FEW_QUESTIONS: paired.questions is not None and paired.questions < estimates.FEWEST_QUESTIONS,
        Reason.NOT_POSITIVE: paired.effect is None,
    }
    return [reason for reason, applies in found.items() if applies]


def _p_values(paired: PairedDifference, margins: Margins) -> tuple[float, float, float]:
    estimate, margin = paired.estimate, margins.of(paired.metric)
    assert estimate is not None, "what has no estimate has a reason"
    above, below = estimate.p_above(margin.low), estimate.p_below(margin.high)
    return estimate.p_different(), max(above, below), above if paired.metric.more_is_better else below


def _judgement(
    case: _Case, p_values: tuple[float, ...] | None, margins: Margins, alpha: float, tests: int
) -> Judgement:
    paired, metric = case.paired, case.paired.metric
    if case.reasons:
        only_seed = case.reasons == (Reason.ONE_SEED,)
        return Judgement(Word.UNDECIDED if only_seed else None, reasons=case.reasons, causes=case.causes, alpha=alpha)
    margin, effect = margins.of(metric), paired.effect
    assert effect is not None
    direction = Word.BETTER if (effect > 0) == metric.more_is_better else Word.WORSE
    is_within = margin.low < effect < margin.high
    if paired.is_none:
        return Judgement(Word.EQUIVALENT, alpha=alpha)
    if paired.is_exact:
        return Judgement(direction, within_margin=is_within, alpha=alpha)
    assert p_values is not None
    different, equivalent, not_worse = (p_value < alpha for p_value in p_values)
    word = Word.UNDECIDED
    if different:
        word = direction
    elif equivalent:
        word = Word.EQUIVALENT
    elif not_worse:
        word = Word.NOT_WORSE
    assert paired.estimate is not None
    good = paired.estimate.probability_at_least(0.0)
    return Judgement(
        word,
        within_margin=different and equivalent,
        p_different=p_values[0],
        p_equivalent=p_values[1],
        p_not_worse=p_values[2],
        alpha=alpha,
        at_least_as_good=good if metric.more_is_better else 1 - good,
        needs=_needs(paired, margins, alpha / tests) if word in (Word.UNDECIDED, Word.NOT_WORSE) else None,
    )


def _needs(paired: PairedDifference, margins: Margins, alpha: float) -> Needs | None:
    """Return what would decide it. `alpha`: at its strictest, as if every other test said nothing."""
    margin = margins.of(paired.metric)
    half_width = min(-margin.low, margin.high)
    if paired.by_question is not None:
        return needs_crossed(paired.by_question, half_width, alpha)
    assert paired.estimate is not None
    return needs_paired(paired.estimate, len(paired.seeds), half_width, alpha)
