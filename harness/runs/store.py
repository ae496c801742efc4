"""Reads, writes and puts aside what is in a run's folder; whoever writes it holds its lock."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, TypeAdapter, ValidationError

from harness.base.errors import first_problem
from harness.base.files import content, sync_folder, write_atomically
from harness.config.schema import FREE, Config
from harness.runs.folder import RunFolder
from harness.runs.record import SCHEMA_VERSION, Record, Score

_RESERVED_BYTES = (16 * 2**10, 256 * 2**10)
"""A record has 12 KiB, and more where it holds long replies. The less first: one that says that the disk is full."""

_CONFIG = TypeAdapter(Config)
_LARGEST = 2**53
_ROUNDED = 0.005
"""How far an accuracy may be from the share that it is of, as a percentage is rounded."""
_MAY_BE_ODD = re.compile(rb'(?i)[\s:,\[]"?[+-]?(?:\d{16}|[\d._]+e\+?\d\d|(?:nan|inf|infinity)\b)')


class DamagedRecordError(Exception):
    """A record that is there but cannot be read; the message names the file and what is wrong with it."""


def load(folder: RunFolder) -> Record | None:
    """Return the record of a run; None where there is none. Raises DamagedRecordError."""
    try:
        data = content(folder.record)
        record = Record.model_validate_json(data)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise DamagedRecordError(f"{folder.record}: {first_problem(error)}") from error
    except OSError as error:
        raise DamagedRecordError(f"{folder.record}: {error.strerror}") from error
    if odd := _odd(record, data):
        raise DamagedRecordError(f"{folder.record}: {odd}")
    return record


def _odd(record: Record, data: bytes) -> str | None:
    """What no run leaves and a reader would trip over, though it is of the right type; None: nothing."""
    try:
        _CONFIG.validate_python(record.config)
    except ValidationError as error:
        return f"config.{first_problem(error)}"
    # OmegaConf has no type for either of two.
    chips = (record.config.get("device") or {}).get("chips")
    if chips not in (None, FREE) and not (isinstance(chips, list) and all(type(chip) is int for chip in chips)):
        return "config.device.chips: is no list of chips"
    if record.schema_version > SCHEMA_VERSION:
        return (
            f"was written by a later version of the harness (schema_version {record.schema_version}); update this one"
        )
    if impossible := _impossible(record):
        return impossible
    # To look at every number takes longer than to read the record.
    return next(_odd_numbers(record), None) if _MAY_BE_ODD.search(data) else None


def _impossible(record: Record) -> str | None:
    """Which figures contradict each other, or are of no run; None: none. Times may: a clock can be set back."""
    for name in ("score", "base_score", "merged_score"):
        score: Score | None = getattr(record, name)
        if score is None:
            continue
        is_share = 0 <= score.correct <= score.questions and score.questions > 0
        if not is_share or abs(score.accuracy - score.correct / score.questions) > _ROUNDED:
            return f"{name}: accuracy {score.accuracy:g} is not that of {score.correct} of {score.questions} questions"
    for peak in (*record.memory, *record.merged_memory):
        if peak.peak_mib < 0:
            return f"memory: {peak.quantity} has a peak of {peak.peak_mib:g} MiB"
    training = record.training
    if training is not None and (training.steps < 0 or (training.tokens or 0) < 0 or (training.train_seconds or 0) < 0):
        return "training: steps, tokens or seconds are below 0"
    return None


def _odd_numbers(told: object, name: str = "") -> Iterator[str]:
    if isinstance(told, BaseModel):
        # A loss may be any number.
        if told.model_config.get("ser_json_inf_nan") != "strings":
            for key in type(told).model_fields:
                yield from _odd_numbers(getattr(told, key), f"{name}.{key}")
    elif isinstance(told, dict | list):
        items: Iterable[tuple[object, object]] = told.items() if isinstance(told, dict) else enumerate(told)
        for place, value in items:
            yield from _odd_numbers(value, f"{name}.{place}")
    elif isinstance(told, int | float) and not abs(told) <= _LARGEST:
        yield f"{name.removeprefix('.')}: is no number that a run could leave"


def write(folder: RunFolder, record: Record) -> None:
    """Write a run's record. One that is there is replaced; one that is damaged is kept beside it. Raises OSError.

    What was reserved for it is given back."""
    try:
        load(folder)
    except DamagedRecordError:
        keep_damaged(folder.record)
    text = record.model_dump_json(indent=2) + "\n"
    try:
        write_atomically(folder.record, text)
    except OSError:
        if not folder.reserve.exists():
            raise
        folder.reserve.unlink()
        write_atomically(folder.record, text)
    folder.reserve.unlink(missing_ok=True)


def reserve(folder: RunFolder) -> None:
    """Keep room for a run's record on a disk that may be full by the time it is written.

    Raises OSError where there is no room now: whatever the run made would be lost."""
    with folder.reserve.open("wb") as file:
        for size in _RESERVED_BYTES:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise OSError(error.errno, error.strerror, str(folder.path)) from error


def keep_damaged(path: Path) -> Path:
    """Rename a file or folder that cannot be read, so that it is in nobody's way, and return its new path."""
    return path.rename(path.with_name(f"{path.stem}.damaged-{_moment()}{path.suffix}"))


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
