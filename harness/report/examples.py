"""Some questions with the answers of two arms, chosen by rule and not by taste."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from harness.comparison.answers import Sheet, UnpairableError, read_answers
from harness.comparison.differences import Comparison
from harness.comparison.metrics import ADAPTER_ANSWERS
from harness.runs.record import Answer

LIMIT = 6


@dataclass(frozen=True)
class Examples:
    arm: str
    baseline: str
    seed: int
    pairs: list[tuple[Answer, Answer]]
    """The arm's answer and the baseline's to the same question."""


def choose(pairs: Sequence[tuple[Answer, Answer]]) -> list[tuple[Answer, Answer]]:
    """At most LIMIT: where the two disagree, both ways in turn, then where both are wrong or both are right."""
    kinds = {
        kind: [pair for pair in pairs if (pair[0].correct, pair[1].correct) == kind]
        for kind in ((True, False), (False, True), (False, False), (True, True))
    }
    disagree = chain.from_iterable(zip_longest(kinds[True, False], kinds[False, True]))
    agree = chain.from_iterable(zip_longest(kinds[False, False], kinds[True, True]))
    return [pair for pair in chain(disagree, agree) if pair is not None][:LIMIT]


def examples(comparisons: Sequence[Comparison]) -> Examples | None:
    """Of the first comparison that has answers to the same questions, and its lowest common seed."""
    for comparison in comparisons:
        baseline = {run.record.seed: run for run in comparison.baseline.completed}
        for run in comparison.arm.completed:
            if run.record.seed not in baseline:
                continue
            try:
                ours, theirs = (read_answers(Sheet(one, ADAPTER_ANSWERS)) for one in (run, baseline[run.record.seed]))
            except UnpairableError:
                continue
            pairs = list(zip(ours, theirs, strict=False))
            if pairs and all((a.index, a.question) == (b.index, b.question) for a, b in pairs):
                return Examples(comparison.arm.label, comparison.baseline.label, run.record.seed, choose(pairs))
    return None
