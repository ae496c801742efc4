"""Some questions with the answers of two arms, chosen by rule and not by taste."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

import numpy as np
from numpy.typing import NDArray

from harness.comparison.answers import Unpairable, read_answers
from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.metrics import ACCURACY
from harness.runs.record import Answer

LIMIT = 6


@dataclass(frozen=True)
class Example:
    """A question with the answers of two arms in one seed."""

    seed: int
    arm: Answer
    baseline: Answer


def in_turn(several: Iterable[Iterable[int]]) -> Iterator[int]:
    """Yield the first of each, then the second of each, and so on."""
    return (each for each in chain.from_iterable(zip_longest(*several)) if each is not None)


def disagreements(differences: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return seed and question, as row and column, of at most LIMIT disagreements: each way in turn, of each way from
    one seed after the other, each question once."""
    seeds, questions = differences.shape
    places = np.arange(seeds * questions).reshape(seeds, questions)
    ways = [in_turn(places[row][differences[row] == way] for row in range(seeds)) for way in (1, -1)]
    found: dict[int, int] = {}
    for place in in_turn(ways):
        found.setdefault(int(place) % questions, int(place) // questions)
        if len(found) == LIMIT:
            break
    return [(row, column) for column, row in found.items()]


def examples(comparison: Comparison, paired: PairedDifference) -> list[Example]:
    """Return where the two disagree, then where both are wrong and both are right in turn; none where answers cannot be
    joined."""
    if paired.by_question is None:
        return []
    assert ACCURACY.target is not None
    answers: dict[int, Sequence[list[Answer]]] = {}

    def answers_of(row: int) -> Sequence[list[Answer]]:
        if row not in answers:
            runs = [side.by_seed[paired.seeds[row]] for side in (comparison.arm, comparison.baseline)]
            read = [read_answers(run, ACCURACY.target) for run in runs if ACCURACY.target is not None]
            # They were read before, when they were joined; who takes them away meanwhile loses the examples.
            answers[row] = [[] if isinstance(each, Unpairable) else each for each in read]
        return answers[row]

    chosen = disagreements(paired.by_question)
    taken = {column for _, column in chosen}
    agreeing = [
        [
            column
            for column, both in enumerate(zip(*answers_of(0), strict=False))
            if column not in taken and [each.correct for each in both] == [correct] * 2
        ]
        for correct in (False, True)
        if len(chosen) < LIMIT
    ]
    chosen += [(0, column) for column in islice(in_turn(agreeing), LIMIT - len(chosen))]
    return [
        Example(paired.seeds[row], *(side[column] for side in answers_of(row)))
        for row, column in chosen
        if all(column < len(side) for side in answers_of(row))
    ]
