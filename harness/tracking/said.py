"""What the process that talks to SwanLab says of it, a line of JSON each, and what SwanLab's own words weigh."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel

_MOST_CHARACTERS = 400
_HEAD = re.compile(r"[^|\n]*\| *[A-Z]+ *\| \S+ - ")
"""Time, level and place, which SwanLab's console puts before its words."""
_NOT_OF_THE_RUN = re.compile(
    r"credentials from|webhook|Failed to collect|probe file|sender resources|Error executing task|/heartbeat "
)
"""Of errors: what they are about is not what the run is followed by."""
_PASSING = re.compile(r"\[HTTP\] .* -> 5\d\d|Transport dispatch error|Upload failed due to network")
"""What SwanLab tries again until it succeeds."""
_OF_THE_DASHBOARD = re.compile(r"Error executing 'on_")


class Weight(StrEnum):
    """What SwanLab's words may mean for a run."""

    HINT = "hint"
    """They may explain a failure that follows."""
    TROUBLE = "trouble"
    """It may get over it."""
    FAILURE = "failure"
    """Something of the run is not where it was to be, or will not be."""


class Said(BaseModel):
    """A line."""

    weight: Weight | None = None
    words: str = ""
    losses: int | None = None
    """That SwanLab has been told so far."""
    folder: Path | None = None
    """SwanLab's own of this run."""


Say: TypeAlias = Callable[[Said], None]


def weigh(level: int, words: str, *, begun: bool) -> Weight:
    """Return what a warning or an error of SwanLab's weighs. `begun`: SwanLab has taken the run up.

    Until then it says itself, by raising, what keeps it from that; only its dashboard fails in silence."""
    if _NOT_OF_THE_RUN.search(words):
        return Weight.HINT
    if begun and _PASSING.search(words):
        return Weight.TROUBLE
    is_lost = level >= logging.ERROR and (begun or _OF_THE_DASHBOARD.match(words))
    return Weight.FAILURE if is_lost else Weight.HINT


class Complaints(logging.Handler):
    """Passes on what SwanLab logs of its own failures: most of them end nothing and are shown nowhere.

    For the logger `swanlab.internal` (swanlab 0.10.3, sdk/internal/pkg/console)."""

    def __init__(self, say: Say) -> None:
        super().__init__(logging.WARNING)
        self.begun = False
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        words = one_line(_HEAD.sub("", record.getMessage(), count=1))
        self._say(Said(weight=weigh(record.levelno, words, begun=self.begun), words=words))


def one_line(words: str) -> str:
    """Return words as one line that can be written: of a traceback what it was at, and the error at its end; of a
    server's address nothing, which may be an office's own."""
    was_at, traceback, rest = words.partition(": Traceback (most recent call last):")
    if traceback:
        words = f"{was_at}: {rest.rstrip().rpartition(chr(10))[2]}"
    words = re.sub(r"https?://[^/\s]+", "", words)
    return " ".join(words.split())[:_MOST_CHARACTERS].encode(errors="replace").decode()
