"""What a sweep will be able to see, said before it starts.

The smallest true difference that gets its word in 80 of 100 repetitions. From an earlier run of the same sweep where
there is one, else from assumptions that are named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from scipy.optimize import brentq

from harness.comparison.estimates import ALPHA, FEWEST_QUESTIONS, Estimate, Part
from harness.comparison.needs import Variances, smallest_visible

ASSUMED_ANSWERS = Variances(seeds=0.02**2, questions=0.0, residual=0.04)
"""Two arms on one base, right nine times in ten, whose difference in accuracy varies by 2 points with the seed, which
answer 4 in 100 questions differently in the same seed, and whose training makes no kind of question easier than
another (docs/statistics.md, "What was assumed")."""
ASSUMED_TIME_SD = 0.03
"""Of the log of a run's seconds a step: 3%, the quieter of the noises simulated in docs/statistics.md."""
ASSUMED_MEMORY_SD = 0.01
"""Of the log of the ratio of two runs' peaks: 1%; peaks of host memory in reports/examples vary by 1.1 to 1.7%."""
PRIMARY_METRICS = 3
"""Accuracy, the leading memory, seconds a step: each gets a word for each arm, and Holm's correction holds the first
of them to alpha over their number."""


class Assumption(StrEnum):
    """What had to be assumed, since no earlier run tells it."""

    ANSWERS = "answers"
    """ASSUMED_ANSWERS."""
    TIME = "time"
    """ASSUMED_TIME_SD."""
    MEMORY = "memory"
    """ASSUMED_MEMORY_SD."""


@dataclass(frozen=True)
class Pilot:
    """What an earlier run of the same sweep tells of how much the difference of two arms varies. None: not measured."""

    seeds: int
    """Of each arm: the more, the more its variances are worth."""
    answers: Variances | None = None
    time: Estimate | None = None
    """Of the log of the ratio of times."""
    memory: Estimate | None = None


@dataclass(frozen=True)
class Foresight:
    """The smallest differences that a sweep can see with 80% power, either way. None: it can see none."""

    seeds: int
    questions: int | None
    """None: nothing is scored."""
    accuracy_points: float | None
    """Points of percent, 100 where none is seen; None too below 50 questions."""
    time_ratio: float | None
    """1.10: an arm that takes a tenth longer, or one that the baseline exceeds by a tenth."""
    memory_ratio: float | None
    assumptions: tuple[Assumption, ...]
    """None where all is from a pilot."""

    @property
    def sees_methods(self) -> bool:
        """False with one seed, which speaks of two adapters and never of two methods."""
        return self.seeds > 1


def foresee(
    seeds: int, questions: int | None, pilot: Pilot | None = None, *, arms: int = 2, looks: int = 1
) -> Foresight:
    """Return what `seeds` seeds of each arm and `questions` questions can see.

    `arms`: the baseline included; `looks`: as announced. Holm's correction is taken at its strictest, as if each
    difference were the only one, so that what is promised holds whatever the other metrics say.
    """
    pilot = pilot or Pilot(0)
    assumptions = (
        *([Assumption.ANSWERS] if questions is not None and pilot.answers is None else []),
        *([Assumption.TIME] if pilot.time is None else []),
        *([Assumption.MEMORY] if pilot.memory is None else []),
    )
    if seeds < 2:
        return Foresight(seeds, questions, None, None, None, assumptions)
    alpha = ALPHA / max(looks, 1) / (PRIMARY_METRICS * max(arms - 1, 1))
    accuracy = None
    if questions is not None and questions >= FEWEST_QUESTIONS:
        accuracy = 100 * visible_share(pilot.answers or ASSUMED_ANSWERS, seeds, questions, alpha)
    # Each run counts for itself (2S runs, three of what they tell spent on two arms and the drift), or by pairs.
    time = _ratio(pilot, pilot.time, 2 * ASSUMED_TIME_SD**2, seeds, 2 * seeds - 3, alpha)
    memory = _ratio(pilot, pilot.memory, ASSUMED_MEMORY_SD**2, seeds, seeds - 1, alpha)
    return Foresight(seeds, questions, accuracy, time, memory, assumptions)


def visible_share(alike: Variances, seeds: int, questions: int, alpha: float = ALPHA) -> float:
    """Return the smallest difference in accuracy that is seen with 80% power, a share; 1: none is.

    `alike`: of arms that do not differ. A difference adds to the variance that it is seen against."""

    def excess(difference: float) -> float:
        return smallest_visible(alike.at(difference).expected(seeds, questions), alpha) - difference

    return float(brentq(excess, 0.0, 1.0)) if excess(1.0) < 0 < excess(0.0) else float(excess(0.0) > 0)


def _ratio(
    pilot: Pilot, earlier: Estimate | None, assumed_variance: float, seeds: int, degrees_of_freedom: int, alpha: float
) -> float:
    variance = assumed_variance if earlier is None else earlier.standard_error**2 * pilot.seeds
    return math.exp(smallest_visible(Estimate(0.0, (Part(variance / seeds, degrees_of_freedom),)), alpha))
