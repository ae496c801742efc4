"""Answers to the same questions, joined question by question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.base.json_lines import LineReader
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


def read_answers(run: Run, target: Target) -> list[Answer] | Unpairable:
    """Return what one run's adapter, or what was merged from it, answered, in the order of the questions' index."""
    path = target(run.folder).answers
    reader: LineReader[Answer] = LineReader(path, Answer)
    if not path.exists():
        return Unpairable(UnpairableReason.MISSING, run, path, run)
    try:
        answers = reader.all()
    except OSError:
        return Unpairable(UnpairableReason.DAMAGED, run, path, run)
    if reader.skipped:
        return Unpairable(UnpairableReason.DAMAGED, run, path, run)
    return sorted(answers, key=lambda answer: answer.index)


def differences_by_question(
    pairs: Sequence[tuple[Run, Run]], targets: tuple[Target, Target]
) -> NDArray[np.float64] | Unpairable:
    """Return right (1) or wrong (0) of each pair's first run minus its second's: a row a pair, a column a question.

    All must have been asked the same questions under the same indices."""
    rows = []
    asked: list[tuple[int, str]] | None = None
    for pair in pairs:
        correct = []
        for run, target in zip(pair, targets, strict=True):
            answers = read_answers(run, target)
            if isinstance(answers, Unpairable):
                return answers
            questions = [(answer.index, answer.question) for answer in answers]
            asked = questions if asked is None else asked
            if questions != asked:
                return Unpairable(UnpairableReason.OTHER_QUESTIONS, run, target(run.folder).answers, pairs[0][0])
            correct.append(np.array([answer.correct for answer in answers], dtype=np.float64))
        rows.append(correct[0] - correct[1])
    return np.array(rows)
