"""Whether all that a run left is still as it left it, read again file by file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from harness.base import yaml_text
from harness.base.errors import first_problem
from harness.base.files import content, opened
from harness.devices.reading import Reading
from harness.runs import store
from harness.runs.events import Event, read_lines
from harness.runs.folder import RunFolder, TargetFolder
from harness.runs.record import Answer, IdentityParts, KeptFile, Record, Reply, Score
from harness.runs.store import DamagedRecordError

_REPLIES = TypeAdapter(list[Reply])
_OF_TRAINING = ("seed", "model", "method", "quantization", "dataset", "training", "llamafactory")
"""Keys of the configuration that stay as they were, whatever is asked of a training later."""
_COPY = "put back a copy"
_RECORD_FIX = f"{_COPY}, or give the sweep's command again: the run is made again, and this file is kept"


@dataclass(frozen=True)
class Damage:
    """A file that is not as its run left it."""

    path: Path
    problem: str
    fix: str


@dataclass
class Verified:
    """What came of reading a run's folder again."""

    folder: RunFolder
    record: Record | None = None
    """None: there is none, or it is damaged."""
    damages: list[Damage] = field(default_factory=list)


class _Spec(BaseModel):
    """What a spec.json says of which run it is; the whole is harness.plan.spec.RunSpec."""

    parts: IdentityParts


def verify(folder: RunFolder) -> Verified:
    """Read again what is in a run's folder, and of its base. Whatever cannot be read is damage."""
    try:
        record = store.load(folder)
    except DamagedRecordError as error:
        _, _, problem = str(error).partition(f"{folder.record}: ")
        return Verified(folder, damages=[Damage(folder.record, problem, _RECORD_FIX)])
    if record is None:
        return Verified(folder)
    damages: dict[Path, Damage] = {}
    for damage in _damages(folder, record):
        damages.setdefault(damage.path, damage)
    return Verified(folder, record, list(damages.values()))


def _damages(folder: RunFolder, record: Record) -> Iterator[Damage]:
    if record.files is not None:
        for name, kept in record.files.items():
            yield from _changed(folder, name, kept, record)
    else:
        yield from _unreadable(folder, record)
    if record.adopted is None:
        yield from _of_configuration(folder, record)
    base = None if record.base_folder is None else TargetFolder(folder.path.parent / record.base_folder)
    for target, score, replies in (
        (folder.evaluation, record.score, record.replies),
        (folder.evaluation_merged, record.merged_score, record.merged_replies),
        (base, record.base_score, record.base_replies),
    ):
        if target is not None and record.adopted is None:
            yield from _of_answers(target, score, replies)


def _changed(folder: RunFolder, name: str, kept: KeptFile, record: Record) -> Iterator[Damage]:
    path = folder.path / name
    fix = f"{_COPY}; the record's figures stand, and a report draws from this file"
    if RunFolder.adapter in Path(name).parents:
        fix = f"{_COPY}, or move it away and train the run again: {record.command}"
    try:
        size = path.stat().st_size
        with opened(path) as file:
            is_same = size == kept.size_bytes and hashlib.file_digest(file, "sha256").hexdigest() == kept.sha256
    except OSError as error:
        yield Damage(path, _words(error), fix)
        return
    if size != kept.size_bytes:
        yield Damage(path, f"has {size:,} bytes, and the run left {kept.size_bytes:,}", fix)
    elif not is_same:
        yield Damage(path, "has other content than the run left", fix)


def _unreadable(folder: RunFolder, record: Record) -> Iterator[Damage]:
    """What shows without hashes, in a run of an older version or one that was adopted."""
    fix = f"{_COPY}; the record's figures stand"
    skipped = {
        folder.events: read_lines(folder.events, Event)[1],
        folder.readings: read_lines(folder.readings, Reading)[1],
    }
    if sum(skipped.values()) > record.unread_lines:
        for path, lines in skipped.items():
            if lines:
                yield Damage(path, f"{lines} of its lines cannot be read", fix)
    for file in folder.adapter.glob("adapter_model.*"):
        if not (file.is_file() and file.stat().st_size):
            again = f"{_COPY}, or move {folder.path} away and train the run again: {record.command}"
            yield Damage(file, "holds nothing", again)


def _of_configuration(folder: RunFolder, record: Record) -> Iterator[Damage]:
    fix = f"{_COPY}; {RunFolder.record} holds the same"
    try:
        config = yaml_text.load(content(folder.config))
        if not isinstance(config, dict) or any(config.get(key) != record.config.get(key) for key in _OF_TRAINING):
            yield Damage(folder.config, "is not the configuration in the record", fix)
    except (OSError, yaml_text.UnreadableError) as error:
        yield Damage(folder.config, _words(error), fix)
    if record.files is None and not folder.spec.exists():
        return  # Older versions left none.
    try:
        if _Spec.model_validate_json(content(folder.spec)).parts != record.identity_parts:
            yield Damage(folder.spec, "is of another run than the record", fix)
    except (OSError, ValidationError) as error:
        yield Damage(folder.spec, _words(error), fix)


def _of_answers(target: TargetFolder, score: Score | None, replies: list[Reply]) -> Iterator[Damage]:
    fix = f"{_COPY}; the record's score stands, and its questions can be compared with no other run's"
    if score is not None:
        found, skipped = read_lines(target.answers, Answer)
        told = len(found), sum(answer.correct for answer in found)
        if skipped or told != (score.questions, score.correct):
            problem = f"has {told[1]} right of {told[0]} answers, and the score is {score.correct} of {score.questions}"
            yield Damage(target.answers, f"{problem}; {skipped} lines cannot be read" if skipped else problem, fix)
    asked = (target.score, TypeAdapter(Score), score is not None), (target.replies, _REPLIES, bool(replies))
    for path, kind, is_told in asked:
        try:
            if is_told:
                kind.validate_json(content(path))
        except (OSError, ValidationError) as error:
            yield Damage(path, _words(error), fix)


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return first_problem(error)
    return (error.strerror or str(error)) if isinstance(error, OSError) else " ".join(str(error).split())
