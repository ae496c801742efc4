"""Answers to the same questions, joined question by question."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from harness.base.files import content
from harness.base.json_lines import LineReader
from harness.base.remembered import remembered
from harness.comparison import estimates
from harness.comparison.metrics import Target
from harness.comparison.runs import Run
from harness.runs.record import Answer


class UnpairableReason(StrEnum):
    """Why answers cannot be joined question by question."""

    MISSING = "missing"
    DAMAGED = "damaged"
    OTHER_QUESTIONS = "other_questions"


@dataclass(frozen=True)
class Unpairable:
    """Why answers cannot be joined."""

    reason: UnpairableReason
    run: Run
    """Whose answers they are."""
    path: Path
    other: Run
    """With whose questions they were to be joined; where there is no other, the same run."""


class _Mark(BaseModel):
    """Of an Answer what it is paired by and what it is worth: most of the reading is not to make the rest."""

    index: int
    question: str
    correct: bool


_Read = TypeVar("_Read", Answer, _Mark)


def read_answers(run: Run, target: Target) -> list[Answer] | Unpairable:
    """Return what one run's adapter, or what was merged from it, answered, in the order of the questions' index."""
    return _read(run, target, Answer)


def _read(run: Run, target: Target, type_: type[_Read]) -> list[_Read] | Unpairable:
    path = target(run.folder).answers
    reader: LineReader[_Read] = LineReader(path, type_)
    if not path.exists():
        return Unpairable(UnpairableReason.MISSING, run, path, run)
    try:
        answers = reader.all()
    except OSError:
        return Unpairable(UnpairableReason.DAMAGED, run, path, run)
    if reader.skipped:
        return Unpairable(UnpairableReason.DAMAGED, run, path, run)
    return sorted(answers, key=attrgetter("index"))


@dataclass(frozen=True)
class Asked:
    """The questions of a run, in the order of their index."""

    indices: tuple[int, ...]
    questions: tuple[str, ...]
    heads: tuple[bytes, ...] = field(compare=False, repr=False)
    """With what each line of the file begins, up to the end of its question; none where they have another order."""


@dataclass(frozen=True, eq=False)
class Marks:
    """Which of its questions a run answered right, in the order of their index."""

    asked: Asked
    correct: NDArray[np.bool_]


_asked_before: deque[Asked] = deque(maxlen=4)
"""By the runs that were read last: thousands of them share their questions."""
_END = re.compile(
    rb'(true|false),"generated_tokens":\d+'
    rb'(?:,"finished":(?:true|false|null))?(?:,"evalscope_correct":(?:true|false|null))?\}'
)
"""Of a line of answers.jsonl, as this and the version before write it. A quote inside of a text has a backslash."""


@remembered
def marks(run: Run, target: Target) -> Marks | Unpairable:
    """Return what the answers of one run were worth. They are read once, however many runs it is compared with."""
    try:
        data = content(target(run.folder).answers)
    except OSError:
        data = b""
    for asked in _asked_before:
        correct = marked_at_once(data, asked.heads)
        if correct is not None:
            return Marks(asked, np.array(correct, dtype=np.bool_))
    answers = _read(run, target, _Mark)
    if isinstance(answers, Unpairable):
        return answers
    indices = tuple([answer.index for answer in answers])
    asked = Asked(indices, tuple([answer.question for answer in answers]), _heads(data, indices))
    _asked_before.append(asked)
    return Marks(asked, np.array([answer.correct for answer in answers], dtype=np.bool_))


def _heads(data: bytes, indices: Sequence[int]) -> tuple[bytes, ...]:
    """Return with what each line begins, up to the end of its question; none where they are not in this order."""
    parts = [line.partition(b'","expected":"') for line in data.removesuffix(b"\n").split(b"\n")]
    heads = [question + mark for question, mark, _ in parts if mark]
    begins = [b'{"index":%d,"question":"' % index for index in indices]
    in_order = len(heads) == len(begins) and all(map(bytes.startswith, heads, begins))
    return tuple(heads) if in_order else ()


def marked_at_once(data: bytes, heads: Sequence[bytes]) -> list[bool] | None:
    """Return which answers of an answers.jsonl are right, without parsing it, if its lines begin with `heads` and end
    as whole ones do; else None. Of ten thousand runs the parsing would take most of a report's time."""
    lines = data.removesuffix(b"\n").split(b"\n")
    if not heads or len(lines) != len(heads) or not all(map(bytes.startswith, lines, heads)):
        return None
    told = [_is_right(line.rpartition(b',"correct":')[2]) for line in lines]
    correct = [is_right for is_right in told if is_right is not None]
    return correct if len(correct) == len(lines) else None


@lru_cache(maxsize=2**14)
def _is_right(end: bytes) -> bool | None:
    found = _END.fullmatch(end)
    return None if found is None else found[1] == b"true"


def differences_by_question(
    pairs: Sequence[tuple[Run, Run]], targets: tuple[Target, Target]
) -> NDArray[np.float64] | Unpairable:
    """Return right (1) or wrong (0) of each pair's first run minus its second's: a row a pair, a column a question.

    All must have been asked the same questions under the same indices."""
    rows = []
    asked: Asked | None = None
    for pair in pairs:
        correct = []
        for run, target in zip(pair, targets, strict=True):
            found = marks(run, target)
            if isinstance(found, Unpairable):
                return found
            asked = found.asked if asked is None else asked
            if found.asked != asked:
                return Unpairable(UnpairableReason.OTHER_QUESTIONS, run, target(run.folder).answers, pairs[0][0])
            correct.append(found.correct.astype(np.float64))
        rows.append(correct[0] - correct[1])
    return np.array(rows)


@dataclass(frozen=True)
class Flips:
    """How the answers of two runs with one seed agree, in numbers of questions."""

    seed: int
    both_right: int
    only_arm: int
    """Right by the arm alone."""
    only_baseline: int
    neither: int

    @property
    def p_value(self) -> float:
        """McNemar's exact test, of these two adapters on questions like these."""
        return estimates.mcnemar(np.repeat([1.0, -1.0], [self.only_arm, self.only_baseline])).p_value


def flips(pairs: Sequence[tuple[Run, Run]], targets: tuple[Target, Target]) -> list[Flips]:
    """Return the table of agreement of each pair of runs whose answers can be joined."""
    found = []
    for first, second in pairs:
        both = [marks(run, target) for run, target in zip((first, second), targets, strict=True)]
        one, other = (None if isinstance(each, Unpairable) else each for each in both)
        if one is None or other is None or one.asked != other.asked:
            continue
        outcomes = (
            one.correct & other.correct,
            one.correct & ~other.correct,
            ~one.correct & other.correct,
            ~one.correct & ~other.correct,
        )
        found.append(Flips(first.record.seed, *(int(outcome.sum()) for outcome in outcomes)))
    return found
