"""Answers to the same questions, joined one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.comparison.runs import Run
from harness.runs.record import Answer


class UnpairableError(Exception):
    """Answers that cannot be joined; the message says why."""


@dataclass(frozen=True)
class Sheet:
    """A run's answers of one kind."""

    run: Run
    answers: str
    """Their file, relative to the run's folder."""


def read_answers(sheet: Sheet) -> list[Answer]:
    """In the order of their index. Raises UnpairableError."""
    path = sheet.run.folder / sheet.answers
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        answers = [Answer.model_validate_json(line) for line in lines if line]
    except FileNotFoundError as error:
        raise UnpairableError(f"{path} is missing, so its questions cannot be paired") from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise UnpairableError(f"{path} is damaged, so its questions cannot be paired") from error
    return sorted(answers, key=lambda answer: answer.index)


def differences_by_question(pairs: Sequence[tuple[Sheet, Sheet]]) -> NDArray[np.float64]:
    """Right (1) or wrong (0) of each pair's first sheet minus its second's: one row a pair, one column a question.

    Raises UnpairableError unless all were asked the same questions under the same indices.
    """
    rows = []
    asked: list[tuple[int, str]] | None = None
    for pair in pairs:
        correct = []
        for sheet in pair:
            run, first = sheet.run, pairs[0][0].run
            answers = read_answers(sheet)
            questions = [(answer.index, answer.question) for answer in answers]
            asked = questions if asked is None else asked
            if questions != asked:
                raise UnpairableError(
                    f"{run.label} (seed {run.record.seed}) was asked other questions than {first.label} "
                    f"(seed {first.record.seed}), so accuracy cannot be paired"
                )
            correct.append(np.array([answer.correct for answer in answers], dtype=np.float64))
        rows.append(correct[0] - correct[1])
    return np.array(rows)
