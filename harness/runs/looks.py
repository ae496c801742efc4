"""How often the results of a sweep were looked at.

Who adds seeds until the result pleases finds differences that are none, so a report counts the looks and corrects for
those that were not announced."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from pydantic import BaseModel, ValidationError

from harness.base import json_lines
from harness.base.files import content
from harness.runs.folder import SweepFolder
from harness.runs.record import Outcome


class Look(BaseModel):
    """A report that was made: one line of looks.jsonl."""

    time: datetime
    completed: list[str]
    """The names of the folders of the completed runs in it."""


class _Ended(BaseModel):
    """What a look needs of a record."""

    status: Outcome


def completed_in(folder: SweepFolder) -> list[str]:
    """Return the names of the folders of all completed runs, without those whose record cannot be read."""
    names = []
    for run in folder.runs():
        with suppress(OSError, ValidationError):
            if _Ended.model_validate_json(content(run.record)).status is Outcome.COMPLETED:
                names.append(run.name)
    return names


def note(folder: SweepFolder, completed: Sequence[str]) -> None:
    """Add a look, unless the same runs were looked at before. A folder that cannot be written costs no report."""
    seen = sorted(set(completed))
    if seen and all(seen != sorted(look.completed) for look in read(folder)):
        with suppress(OSError):
            json_lines.append(folder.looks, [Look(time=datetime.now(UTC), completed=seen)])


def read(folder: SweepFolder) -> list[Look]:
    """Return the looks that were noted, the first first; without lines that cannot be read."""
    try:
        return json_lines.LineReader[Look](folder.looks, Look).all()
    except OSError:
        return []
