"""What would decide a comparison that is undecided: how many seeds, or how many questions.

A forecast reads the parts of the variance off the data at hand, and asks of which number on the rule of
`harness.comparison.estimates` would decide in POWER of all repetitions: whichever is true, that there is no difference
(then `equivalent`) or that there is one as large as the margin (then `better` or `worse`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.comparison.estimates import ALPHA, FEWEST_QUESTIONS, Estimate, Part, unasked

POWER = 0.8
RANGE = 0.8
"""Confidence of the range in which the variance over seeds is taken to lie."""
MOST_SEEDS = 60
MOST_QUESTIONS = 20_000
"""More is written as None: nobody would, and the forecast does not reach that far."""
_ENDLESS = 10**9


@dataclass(frozen=True)
class Variances:
    """Of the difference of two arms' answers, d[s, q] = mean + a[s] + b[q] + e[s, q], as squared shares."""

    seeds: float
    """Of a: how much the difference in accuracy varies with the seed, over all questions that could be asked."""
    questions: float
    """Of b: how much it varies with the question, over all seeds."""
    residual: float
    """Of e."""

    def expected(self, seeds: int, questions: int) -> Estimate:
        """Return what `estimates.crossed` finds of so many seeds and questions on the average, around a mean of 0."""
        seed_means = self.seeds + self.residual / questions
        # Of the Q question means and the two that nobody asked: divided by Q + 1 to a variance, by Q + 2 to a mean's.
        squares = (questions - 1) * (self.questions + self.residual / seeds) + 2 * unasked(seeds) ** 2
        over_questions = squares / (questions + 1) / (questions + 2)
        return Estimate(0.0, (Part(seed_means / seeds, seeds - 1), Part(over_questions, questions - 1)), limit=1.0)

    def at(self, difference: float) -> Variances:
        """Return what these, of arms that are alike, become where one is better by `difference`, a share.

        The more the arms differ, the more answers do: of p in 100 that differ, those won and those lost are p_w and p_l
        with p_w - p_l = difference, and p_w p_l stays what it was. Of what that adds to the variance a third is the
        questions', as in the simulations of docs/statistics.md."""
        differing = self.seeds + self.questions + self.residual
        added = max(float(np.hypot(differing, difference)) - difference**2 - differing, 0.0)
        return Variances(self.seeds, self.questions + added / 3, self.residual + 2 * added / 3)


@dataclass(frozen=True)
class Needs:
    """In all, with those that are there. Each is a range, since few seeds tell little of how much seeds vary."""

    seeds_low: int | None
    """With the questions as they are. None: more than MOST_SEEDS."""
    seeds_high: int | None
    questions_low: int | None
    """With the seeds as they are. None: more than MOST_QUESTIONS, or the metric has no questions."""
    questions_high: int | None
    seeds_alone_cannot: bool
    """No number of seeds would do, with these questions."""
    questions_alone_cannot: bool | None
    """No number of questions would do, with these seeds. None: the metric has no questions."""


def variances(differences: NDArray[np.float64]) -> Variances:
    """Return the parts of the variance, by analysis of variance, of at least two seeds (rows) and questions (columns).

    E = mean square of the residuals; A = var(means of the rows) - E / Q; B = var(means of the columns) - E / S; what
    comes out below 0 is 0.
    """
    seeds, questions = differences.shape
    by_seed, by_question = differences.mean(axis=1), differences.mean(axis=0)
    residuals = differences - by_seed[:, None] - by_question + differences.mean()
    residual = float((residuals**2).sum()) / ((seeds - 1) * (questions - 1))
    return Variances(
        max(float(by_seed.var(ddof=1)) - residual / questions, 0.0),
        max(float(by_question.var(ddof=1)) - residual / seeds, 0.0),
        residual,
    )


def smallest_visible(expected: Estimate, alpha: float = ALPHA) -> float:
    """Return the smallest true difference whose interval of confidence 1 - alpha leaves out 0 in POWER of all
    repetitions, on the estimate's scale."""
    return _reach(expected, 1 - alpha, POWER)


def smallest_margin(expected: Estimate, alpha: float = ALPHA) -> float:
    """Return the smallest margin within which two arms that are the same are found equivalent in POWER of all
    repetitions, by two one-sided tests at alpha: the interval of confidence 1 - 2 alpha lies within it."""
    return _reach(expected, 1 - 2 * alpha, (1 + POWER) / 2)


def _reach(expected: Estimate, confidence: float, probability: float) -> float:
    """Return what an interval's half-width and the mean's error together stay below with this probability.

    The half-width is t times an error that is itself estimated: of f degrees of freedom (Satterthwaite's, of several
    parts) its mean is c = 4f / (4f + 1) of the true one and its variance 1 - c^2, so that the sum stays below
    t c + z sqrt(1 + t^2 (1 - c^2)) true errors (Johnson and Welch 1940, Biometrika 31, on the noncentral t). With many
    degrees of freedom that is t + z; with two, t(.975) + t(.8) would promise 80% and keep 77.
    """
    error = expected.standard_error
    if error == 0:
        return 0.0
    degrees = error**4 / sum(part.variance**2 / part.degrees_of_freedom for part in expected.parts)
    share = 4 * degrees / (4 * degrees + 1)
    quantile = expected.half_width(confidence) / error
    spread = np.sqrt(1 + quantile**2 * (1 - share**2))
    return float(error * (quantile * share + special.ndtri(probability) * spread))


def needs_crossed(differences: NDArray[np.float64], margin: float, alpha: float = ALPHA) -> Needs | None:
    """Return what a difference in accuracy needs; None with fewer than two seeds. `differences`: one row a seed, one
    column a question; `margin`: a share."""
    seeds, questions = differences.shape
    if seeds < 2 or questions < FEWEST_QUESTIONS:
        return None
    found = variances(differences)
    of_seed_means = float(differences.mean(axis=1).var(ddof=1))
    low, high = (
        Variances(max(bound - found.residual / questions, 0.0), found.questions, found.residual)
        for bound in _variance_range(of_seed_means, seeds - 1)
    )

    def decides(parts: Variances, seeds: int, questions: int) -> bool:
        return _decides(parts.expected(seeds, questions), margin, alpha)

    def enough_seeds(parts: Variances) -> int | None:
        return _fewest(lambda number: decides(parts, number, questions), seeds + 1, MOST_SEEDS)

    def enough_questions(parts: Variances) -> int | None:
        return _fewest(lambda number: decides(parts, seeds, number), questions + 1, MOST_QUESTIONS)

    return Needs(
        enough_seeds(low),
        enough_seeds(high),
        enough_questions(low),
        enough_questions(high),
        not decides(low, _ENDLESS, questions),
        not decides(low, seeds, _ENDLESS),
    )


def needs_paired(estimate: Estimate, seeds: int, margin: float, alpha: float = ALPHA) -> Needs:
    """Return what a metric without questions needs. `estimate`: from `seeds` seeds, with one part; `margin`: on its
    scale."""
    (part,) = estimate.parts
    # One more seed is one more pair, or two more runs where each run counts for itself.
    degrees_a_seed = 1 if part.degrees_of_freedom <= seeds - 1 else 2

    def enough(variance: float) -> int | None:
        def decides(number: int) -> bool:
            degrees = part.degrees_of_freedom + degrees_a_seed * (number - seeds)
            return _decides(Estimate(0.0, (Part(variance * seeds / number, degrees),)), margin, alpha)

        return _fewest(decides, seeds + 1, MOST_SEEDS)

    low, high = map(enough, _variance_range(part.variance, part.degrees_of_freedom))
    return Needs(low, high, None, None, seeds_alone_cannot=False, questions_alone_cannot=None)


def _variance_range(variance: float, degrees_of_freedom: float) -> tuple[float, float]:
    """Return the interval of confidence RANGE of a variance that was estimated from normal values."""
    bounds = special.chdtri(degrees_of_freedom, [(1 - RANGE) / 2, (1 + RANGE) / 2])
    return float(variance * degrees_of_freedom / bounds[0]), float(variance * degrees_of_freedom / bounds[1])


def _decides(expected: Estimate, margin: float, alpha: float) -> bool:
    return max(smallest_visible(expected, alpha), smallest_margin(expected, alpha)) <= margin


def _fewest(is_enough: Callable[[int], bool], low: int, high: int) -> int | None:
    """Return the smallest number from `low` to `high` that is enough; None if none is. More never does less."""
    if not is_enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return high
