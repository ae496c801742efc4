"""Estimates of a mean difference with what is known of their error. Pure functions of arrays; no metric is named here.

The scale is the caller's: shares, nats, or logs of ratios. Each rule here was chosen by simulation with known truth:
benchmarks/statistics.py runs it, docs/statistics.md has the tables, the limits and the sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import brentq

from harness.comparison.intervals import Interval

ALPHA = 0.05
"""How often a word on a difference may be wrong where there is none."""
CONFIDENCE = 0.95
FEWEST_QUESTIONS = 50
"""Below, an interval over questions does not hold what it promises."""
_SMALLEST_P = 1e-30
"""Below, a p-value of several parts is that of the part that gives the largest."""


class Part(NamedTuple):
    """One independent part of a mean's variance, as it was estimated."""

    variance: float
    degrees_of_freedom: float


@dataclass(frozen=True)
class Estimate:
    """A mean difference and the parts of its variance.

    The quantile of several parts is Student's t of each, weighted by its variance (Cochran and Cox 1950): the interval
    of confidence c reaches sum(V_i t_i) / sqrt(sum(V_i)) to either side, t_i = t((1 + c) / 2, df_i). p-values come of
    the same quantiles: the two-sided one is below 1 - c just where the interval of confidence c leaves out the bound.
    """

    mean: float
    parts: tuple[Part, ...]
    limit: float | None = None
    """The difference cannot be larger than this, either way; None: no limit."""

    @property
    def standard_error(self) -> float:
        return float(sum(part.variance for part in self.parts) ** 0.5)

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the interval of this confidence (0 to 1) around the mean, cut at the limit."""
        half = self.half_width(confidence)
        low, high = self.mean - half, self.mean + half
        return Interval(low, high) if self.limit is None else Interval(max(low, -self.limit), min(high, self.limit))

    def half_width(self, confidence: float = CONFIDENCE) -> float:
        """Return half the width of the interval of this confidence, not cut."""
        return self._deviation((1 - confidence) / 2)

    def p_above(self, bound: float) -> float:
        """Return the one-sided p-value of "the true difference is no more than `bound`": small speaks for more."""
        if self.standard_error == 0:
            return float(self.mean <= bound)
        tail = self._tail(abs(self.mean - bound))
        return tail if self.mean > bound else 1 - tail

    def p_below(self, bound: float) -> float:
        """Return the one-sided p-value of "the true difference is no less than `bound`": small speaks for less."""
        return Estimate(-self.mean, self.parts).p_above(-bound)

    def p_different(self) -> float:
        """Return the two-sided p-value of "there is no difference"."""
        return min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0)))

    def probability_at_least(self, bound: float) -> float:
        """Return the probability that the true difference is at least `bound`: a second reading, and never a verdict.

        Its prior is flat over the difference, with the parts' variances as unknown as the data leave them: Student's t
        read backwards, 1 - p_above(bound). So it says no more than the p-value, and is calibrated wherever that is.
        A prior on how much seeds vary would say more, and with three seeds it would be most of what is said.
        """
        return float(self.mean >= bound) if self.standard_error == 0 else 1 - self.p_above(bound)

    def _deviation(self, tail: float) -> float:
        """Return what the mean exceeds the truth by with this probability, at most one half."""
        error = self.standard_error
        if error == 0:
            return 0.0
        weighted = (part.variance * special.stdtrit(part.degrees_of_freedom, tail) for part in self.parts)
        return float(-sum(weighted) / error)

    def _tail(self, deviation: float) -> float:
        """Return the probability with which the mean exceeds the truth by this: the inverse of `_deviation`."""
        size = deviation / self.standard_error
        # The weighted quantile lies between those of the parts, and so does its probability.
        of_parts = [float(special.stdtr(part.degrees_of_freedom, -size)) for part in self.parts if part.variance > 0]
        low, high = max(min(of_parts), _SMALLEST_P), max(of_parts)
        if high - low <= 1e-12 * high:
            return high

        def excess(log_tail: float) -> float:
            return self._deviation(exp(log_tail)) - deviation

        # In logs, since the quantile is steep where the probability is small.
        ends = log(low), log(high)
        return exp(brentq(excess, *ends, xtol=1e-13)) if excess(ends[0]) > 0 > excess(ends[1]) else high


def paired(differences: NDArray[np.float64]) -> Estimate | None:
    """Return the mean of paired differences, one a seed, with Student's t; None with fewer than two."""
    pairs = len(differences)
    if pairs < 2:
        return None
    return Estimate(float(differences.mean()), (Part(float(differences.var(ddof=1)) / pairs, pairs - 1),))


def crossed(differences: NDArray[np.float64]) -> Estimate | None:
    """Return the mean of differences of right (1) and wrong (0) answers, one row a seed, one column a question.

    Seeds and questions are crossed random effects, d[s, q] = mean + a[s] + b[q] + e[s, q], so that the mean varies by
    A/S + B/Q + E/(SQ) with A, B, E the three variances. The parts are var(seed means) / S with S - 1 degrees of
    freedom and var(question means) / Q with Q - 1: together they expect A/S + B/Q + 2E/(SQ). Counting E twice costs
    little width and is what holds the promise where seeds hardly matter. Among the question means are two that nobody
    asked, + and - `unasked(S)`, so that two arms which agree on every question do not get an interval of no width.

    None with fewer than two seeds, since one tells nothing of how much seeds vary, or fewer than FEWEST_QUESTIONS.
    """
    seeds, questions = differences.shape
    if seeds < 2 or questions < FEWEST_QUESTIONS:
        return None
    question_means = np.append(differences.mean(axis=0), [unasked(seeds), -unasked(seeds)])
    over_questions = float(question_means.var(ddof=1)) / len(question_means)
    over_seeds = float(differences.mean(axis=1).var(ddof=1)) / seeds
    parts = (Part(over_seeds, seeds - 1), Part(over_questions, questions - 1))
    return Estimate(float(differences.mean()), parts, limit=1.0)


def unasked(seeds: int) -> float:
    """Return the mean over the seeds of a question that is added once for and once against the arm.

    Bonett and Price (2012, Journal of Educational and Behavioral Statistics 37) add one answer each way to pairs of one
    seed. Of S seeds that is 1/S where each flips on its own, and 1 where all flip together. 1/S is too little where
    arms differ on few questions (98% right: up to 9% false `equivalent` with ten seeds and 50 questions), 1 makes those
    intervals half as wide again: the fourth root is what holds 5% in all of docs/statistics.md.
    """
    return float(seeds**-0.25)


def with_position(
    logs: NDArray[np.float64], is_arm: NDArray[np.bool_], position: NDArray[np.float64]
) -> Estimate | None:
    """Return how much larger the arm's values are, beside a drift over the order of the runs.

    Least squares, log = constant + difference * is_arm + drift * position: all runs of two arms count, each for
    itself, with 2S - 3 degrees of freedom. `position`: each run's place in the order of their starts.

    It serves wherever the arms' runs alternate: in blocks of one run an arm as a sweep orders them, drawn at random or
    ABAB, and in any other mixture. Pairs within blocks (S - 1 degrees of freedom) see less, since a seed cannot change
    what a step costs and three pairs leave t with two, and go wrong where the order within the block is always the
    same. A drift of 20% over the sweep leaves it at 5% false words; what it cannot take out is a jump in the midst of a
    sweep of three seeds, or a machine that swings. Where all of an arm's runs come before the other's no rule can tell
    arm from hour: the caller says so (harness.comparison.order), since this one would take the drift for straight.

    None with fewer than four runs, or where arm and position are one.
    """
    degrees_of_freedom = len(logs) - 3
    design = np.column_stack([np.ones(len(logs)), is_arm, position - position.mean()]).astype(np.float64)
    if degrees_of_freedom < 1 or np.linalg.matrix_rank(design) < 3:
        return None
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ logs
    residuals = logs - design @ coefficients
    variance = float(residuals @ residuals) / degrees_of_freedom * float(inverse[1, 1])
    return Estimate(float(coefficients[1]), (Part(variance, degrees_of_freedom),))


class Discordant(NamedTuple):
    """The questions of one seed that two adapters answered differently."""

    gained: int
    """Right by the first alone."""
    lost: int
    """Right by the second alone."""
    p_value: float
    """Of "each of these questions was as likely to go to either", two-sided."""


def mcnemar(differences: NDArray[np.float64]) -> Discordant:
    """Return McNemar's exact test of one seed: right (1) or wrong (0) of the first minus that of the second.

    It speaks of these two adapters and never of two methods: with seeds that vary by 2 points, methods that are alike
    would be told apart in 27 to 68 of 100 sweeps of 1,319 questions.
    """
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    # Twice the smaller tail, since a fair coin's are alike: stats.binomtest does the same in 3 ms.
    p_value = float(min(1.0, 2 * special.bdtr(min(gained, lost), gained + lost, 0.5)))
    return Discordant(gained, lost, p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number, in their order (Holm 1979, Scandinavian Journal of Statistics 6).

    Each may be held against the same alpha; that any of them is below it by chance is then no likelier than alpha."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def corrected_alpha(look: int, announced: int) -> float:
    """Return what the p-values of the `look`-th look (1, 2, ...) at growing results are held against.

    Of `announced` looks each gets ALPHA / announced (Bonferroni). The k-th look, where that was not announced, gets
    ALPHA / (k (k + 1)): after one look that has spent ALPHA all others together add at most half of it whatever the
    data, and some tenths of a point as simulated, since looks share most of their runs.
    """
    if look <= announced:
        return ALPHA / announced
    return ALPHA / (look * (look + 1)) if look > 1 else ALPHA
