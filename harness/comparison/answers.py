"""Answers to the same questions, joined question by question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.comparison.runs import Run
from harness.runs.folder import RunFolder, TargetFolder
from harness.runs.record import Answer


class UnpairableReason(StrEnum):
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


class UnpairableError(Exception):
    """Answers that cannot be joined."""

    def __init__(self, why: Unpairable) -> None:
        self.why = why
        super().__init__(f"{why.path}: {why.reason}")


@dataclass(frozen=True)
class AnswerSheet:
    """What one run's adapter, or what was merged from it, answered."""

    run: Run
    target: Callable[[RunFolder], TargetFolder]

    @property
    def path(self) -> Path:
        return self.target(self.run.folder).answers

    def read(self) -> list[Answer]:
        """Return the answers in the order of their index. Raises UnpairableError."""
        try:
            lines = self.path.read_text(encoding="utf-8").split("\n")
            answers = [Answer.model_validate_json(line) for line in lines if line]
        except FileNotFoundError as error:
            raise self.unpairable(UnpairableReason.MISSING) from error
        except (ValidationError, UnicodeDecodeError, OSError) as error:
            raise self.unpairable(UnpairableReason.DAMAGED) from error
        return sorted(answers, key=lambda answer: answer.index)

    def unpairable(self, reason: UnpairableReason, other: Run | None = None) -> UnpairableError:
        return UnpairableError(Unpairable(reason, self.run, self.path, other or self.run))


def differences_by_question(pairs: Sequence[tuple[AnswerSheet, AnswerSheet]]) -> NDArray[np.float64]:
    """Return right (1) or wrong (0) of each pair's first sheet minus its second's: a row a pair, a column a question.

    Raises UnpairableError unless all were asked the same questions under the same indices."""
    rows = []
    asked: list[tuple[int, str]] | None = None
    for pair in pairs:
        correct = []
        for sheet in pair:
            answers = sheet.read()
            questions = [(answer.index, answer.question) for answer in answers]
            asked = questions if asked is None else asked
            if questions != asked:
                raise sheet.unpairable(UnpairableReason.OTHER_QUESTIONS, pairs[0][0].run)
            correct.append(np.array([answer.correct for answer in answers], dtype=np.float64))
        rows.append(correct[0] - correct[1])
    return np.array(rows)
