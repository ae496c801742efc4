"""Intervals for paired differences. Pure functions of arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """The bounds of a 95% interval, in the unit of what it is about."""

    low: float
    high: float

    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def _around(mean: float, variance: float, degrees_of_freedom: float) -> Interval:
    half = stats.t.ppf((1 + CONFIDENCE) / 2, degrees_of_freedom) * np.sqrt(variance)
    return Interval(float(mean - half), float(mean + half))


def paired_interval(differences: NDArray[np.float64]) -> Interval | None:
    """Student's t over the pairs (one a seed); None with fewer than two."""
    if len(differences) < 2:
        return None
    variance = differences.var(ddof=1) / len(differences)
    return _around(float(differences.mean()), float(variance), len(differences) - 1)


def crossed_interval(differences: NDArray[np.float64]) -> Interval | None:
    """For differences of right (1) and wrong (0) answers, one row a seed, one column a question.

    Seeds and questions are crossed random effects, d[s, q] = mean + a[s] + b[q] + e[s, q], so that the mean
    varies by A/S + B/Q + E/(SQ) with A, B, E the three variances. The sum used here,

        V = var(seed means) / S + var(question means) / Q,

    expects A/S + B/Q + 2E/(SQ): it counts E twice and so errs to the wide side, as the resampling of both
    does, which counts it three times (Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1).
    Degrees of freedom are Satterthwaite's. Among the question means are one +1 and one -1 that nobody asked
    (Bonett and Price 2012, Journal of Educational and Behavioral Statistics 37), so that two arms which agree
    on every question do not get an interval of no width.

    With one seed the first term is missing: the interval covers the choice of questions alone. None with
    fewer than two questions.
    """
    seeds, questions = differences.shape
    if questions < 2:
        return None
    question_means = np.append(differences.mean(axis=0), [1.0, -1.0])
    over_questions = float(question_means.var(ddof=1)) / len(question_means)
    over_seeds = float(differences.mean(axis=1).var(ddof=1)) / seeds if seeds > 1 else 0.0
    variance = over_seeds + over_questions
    degrees_of_freedom = variance**2 / (over_seeds**2 / max(seeds - 1, 1) + over_questions**2 / (questions - 1))
    low, high = _around(float(differences.mean()), variance, degrees_of_freedom)
    return Interval(max(low, -1.0), min(high, 1.0))
