"""Reads, writes and puts aside what is in a run's folder; whoever writes it holds its lock."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from harness.base.errors import first_problem
from harness.base.files import sync_folder, write_atomically
from harness.runs.folder import RunFolder
from harness.runs.record import Record


class DamagedRecordError(Exception):
    """A record that is there but cannot be read; the message names the file and what is wrong with it."""


def load(folder: RunFolder) -> Record | None:
    """Return the record of a run; None where there is none. Raises DamagedRecordError."""
    try:
        return Record.model_validate_json(folder.record.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise DamagedRecordError(f"{folder.record}: {first_problem(error)}") from error


def write(folder: RunFolder, record: Record) -> None:
    """Write a run's record. One that is there is replaced; one that is damaged is kept beside it. Raises OSError."""
    try:
        load(folder)
    except DamagedRecordError:
        folder.record.rename(folder.record.with_name(f"record.damaged-{_moment()}.json"))
    write_atomically(folder.record, record.model_dump_json(indent=2) + "\n")


def put_aside(folder: RunFolder) -> Path | None:
    """Move what an earlier attempt left to `earlier/`, and return where; None where there was none.

    What a dry run planned is no attempt. Two attempts in one folder would be taken for one: their readings, energy and
    losses would be joined."""
    if not folder.has_been_started():
        return None
    aside = folder.sweep.earlier / f"{folder.name}-{_moment()}"
    aside.parent.mkdir(exist_ok=True)
    folder.path.rename(aside)
    sync_folder(aside.parent)
    return aside


def take_over(former: RunFolder, folder: RunFolder, record: Record) -> None:
    """Make the training of another run, `former`, that of `folder`, with `record`; what was asked of it and its own
    record are kept in `earlier/`. Whoever calls holds both locks. Raises OSError."""
    aside = former.sweep.earlier / f"{former.name}-{_moment()}"
    aside.mkdir(parents=True)
    shutil.copy(former.record, aside)
    for answered in (former.evaluation.path, former.evaluation_merged.path):
        if answered.exists():
            answered.rename(aside / answered.name)
    put_aside(folder)
    if folder.path.exists():
        shutil.rmtree(folder.path)  # Of a dry run, which is written anew.
    former.path.rename(folder.path)
    write(folder, record)
    sync_folder(aside.parent)


@contextmanager
def locked_at_once(file: Path) -> Iterator[bool]:
    """Hold the lock `file` if nobody has it; whether it is held. Raises OSError."""
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def locked(file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock `file`, after calling `waiting` once where somebody else has it. Raises OSError."""
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _moment() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
