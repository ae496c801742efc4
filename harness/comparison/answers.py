"""The answers of two arms, joined question by question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.comparison.runs import Run
from harness.record import Answer

PATH = Path("evaluation") / "answers.jsonl"


class UnpairableError(Exception):
    """Answers that cannot be joined; the message says why."""


def read_answers(run: Run) -> list[Answer]:
    """In the order of their index. Raises UnpairableError."""
    path = run.folder / PATH
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        answers = [Answer.model_validate_json(line) for line in lines if line]
    except FileNotFoundError as error:
        raise UnpairableError(f"{path} is missing, so its questions cannot be paired") from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise UnpairableError(f"{path} is damaged, so its questions cannot be paired") from error
    return sorted(answers, key=lambda answer: answer.index)


def differences_by_question(pairs: Sequence[tuple[Run, Run]]) -> NDArray[np.float64]:
    """Right (1) or wrong (0) of each pair's first run minus its second's: one row a pair, one column a question.

    Raises UnpairableError unless all runs were asked the same questions under the same indices.
    """
    rows = []
    asked: list[tuple[int, str]] | None = None
    for pair in pairs:
        correct = []
        for run in pair:
            answers = read_answers(run)
            questions = [(answer.index, answer.question) for answer in answers]
            asked = questions if asked is None else asked
            if questions != asked:
                raise UnpairableError(
                    f"{run.label} (seed {run.record.seed}) was asked other questions than {pairs[0][0].label} "
                    f"(seed {pairs[0][0].record.seed}), so accuracy cannot be paired"
                )
            correct.append(np.array([answer.correct for answer in answers], dtype=np.float64))
        rows.append(correct[0] - correct[1])
    return np.array(rows)
