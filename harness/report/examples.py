"""Some questions with the answers of two arms, chosen by rule and not by taste."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from harness.comparison.answers import Unpairable, read_answers
from harness.comparison.differences import Comparison
from harness.runs.record import Answer

LIMIT = 6


@dataclass(frozen=True)
class Examples:
    """Questions with the answers of two arms."""

    arm: str
    baseline: str
    seed: int
    pairs: list[tuple[Answer, Answer]]
    """The arm's answer and the baseline's to the same question."""


def choose(pairs: Sequence[tuple[Answer, Answer]]) -> list[tuple[Answer, Answer]]:
    """Return at most LIMIT: where the two disagree, both ways in turn, then where both are wrong or both are right."""
    kinds = {
        kind: [pair for pair in pairs if (pair[0].correct, pair[1].correct) == kind]
        for kind in ((True, False), (False, True), (False, False), (True, True))
    }
    disagree = chain.from_iterable(zip_longest(kinds[True, False], kinds[False, True]))
    agree = chain.from_iterable(zip_longest(kinds[False, False], kinds[True, True]))
    return [pair for pair in chain(disagree, agree) if pair is not None][:LIMIT]


def examples(comparisons: Sequence[Comparison]) -> Examples | None:
    """Choose from the lowest common seed of the first comparison with answers to the same questions; None: there are
    none."""
    for comparison in comparisons:
        arm, baseline = comparison.arm, comparison.baseline
        for seed in (seed for seed in arm.seeds if seed in baseline.by_seed):
            both = [read_answers(side.by_seed[seed], lambda folder: folder.evaluation) for side in (arm, baseline)]
            answers = [each for each in both if not isinstance(each, Unpairable)]
            pairs = list(zip(*answers, strict=False)) if len(answers) == 2 else []
            if pairs and all(
                (first.index, first.question) == (second.index, second.question) for first, second in pairs
            ):
                return Examples(arm.label, baseline.label, seed, choose(pairs))
    return None
