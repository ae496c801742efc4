"""Every question with every run's answer, packed for a page that unpacks what a reader opens."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from harness.comparison.answers import Unpairable, read_answers
from harness.comparison.arms import Arm
from harness.comparison.metrics import ACCURACY
from harness.comparison.runs import Run
from harness.report.markdown import clean
from harness.report.text import Text
from harness.runs.folder import TargetFolder
from harness.runs.record import Answer

CHUNK = 25
"""Questions that are packed together: opening one unpacks so many."""
LONGEST_ANSWER = 800
MOST_CHARACTERS = 24_000_000
"""Of all answers together, before they are packed: beyond, each is cut shorter."""
MOST_ANSWERS = 150_000


@dataclass(frozen=True)
class Browser:
    """What the page's script needs."""

    data: str
    """JSON that no HTML parser takes for the end of its element."""
    notes: list[str]
    """What is not here."""


def browser(arms: Sequence[Arm], text: Text) -> Browser | None:
    """Pack the answers of all completed runs that were asked the same questions; None where there is none."""
    assert ACCURACY.target is not None
    runs = [(clean(arm.label), run) for arm in arms for run in arm.completed if run.record.score is not None]
    answered: list[tuple[str, Run, list[Answer]]] = []
    others: list[Run] = []
    asked: list[tuple[int, str]] | None = None
    for label, run in runs:
        if asked is not None and (len(answered) + 1) * len(asked) > MOST_ANSWERS:
            break
        answers = read_answers(run, ACCURACY.target)
        questions = [] if isinstance(answers, Unpairable) else [(answer.index, answer.question) for answer in answers]
        if isinstance(answers, Unpairable) or not questions or (asked is not None and questions != asked):
            others.append(run)
            continue
        asked = questions
        answered.append((label, run, answers))
    if not answered:
        return None
    longest = min(LONGEST_ANSWER, MOST_CHARACTERS // sum(len(answers) for _, _, answers in answered))
    first = answered[0][2]
    data = {
        "arms": list(dict.fromkeys(label for label, _, _ in answered)),
        "runs": [{"arm": label, "seed": run.record.seed} for label, run, _ in answered],
        "questions": [
            {"index": answer.index, "text": clean(answer.question), "expected": clean(answer.expected)}
            for answer in first
        ],
        "right": ["".join("01"[answer.correct] for answer in answers) for _, _, answers in answered],
        "chunk": CHUNK,
        "answers": [
            _packed([[_given(answers[place], longest) for _, _, answers in answered] for place in places])
            for places in (range(start, min(start + CHUNK, len(first))) for start in range(0, len(first), CHUNK))
        ],
        "words": {
            "found": text.BROWSER_FOUND,
            "expected": text.BROWSER_EXPECTED,
            "headers": list(text.BROWSER_HEADERS),
            "right": text.RIGHT_WRONG[True],
            "wrong": text.RIGHT_WRONG[False],
        },
    }
    return Browser(
        json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
        list(_notes(answered, runs, others, longest, text)),
    )


def _given(answer: Answer, longest: int) -> list[str]:
    whole = clean(answer.answer)
    return [clean(answer.extracted)[:longest], whole if len(whole) <= longest else f"{whole[:longest]}…"]


def _packed(answers: list[list[list[str]]]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(answers, ensure_ascii=False).encode())).decode()


def _notes(
    answered: Sequence[tuple[str, Run, list[Answer]]],
    runs: Sequence[tuple[str, Run]],
    others: Sequence[Run],
    longest: int,
    text: Text,
) -> list[str]:
    is_cut = any(len(answer.answer) > longest for _, _, answers in answered for answer in answers)
    looked_at = len(answered) + len(others)
    return [
        *([text.BROWSER_CUT.format(characters=longest, file=TargetFolder.answers)] if is_cut else []),
        *([text.BROWSER_OTHERS.format(runs=", ".join(map(text.run_name, others)))] if others else []),
        *([text.BROWSER_FIRST_RUNS.format(all=len(runs), shown=looked_at)] if looked_at < len(runs) else []),
    ]
