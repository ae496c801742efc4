"""Rows from a user's file: JSON (a list), JSONL (an object a line) or parquet; from here or from a hub."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from harness.config.schema import SourceConfig

SUFFIXES = (".json", ".jsonl", ".parquet")
Record = dict[str, Any]
"""A row as it stands in the file."""


class SourceError(Exception):
    """The file cannot be used; the message says what is wrong with it and what would be right."""


def locate(source: SourceConfig, hub: str) -> Path | None:
    """The source's file on this machine, fetched if it has to be; None where the project generates the rows.

    Raises SourceError."""
    if source.path is not None:
        return Path(source.path).expanduser()
    if source.repository is None:
        return None
    fetched = _fetch(source.repository, source.file or "", hub)
    if isinstance(fetched, SourceError):
        raise fetched
    return fetched


def read_records(path: Path) -> list[Record]:
    """All rows of a file. Raises SourceError."""
    records = _records(path, path.stat().st_mtime_ns if path.exists() else 0)
    if not records:
        raise SourceError("the file has no rows")
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise SourceError(f"row {number} is {type(record).__name__}, not an object with columns")
    return records


@cache
def _records(path: Path, modified_ns: int) -> list[Any]:
    """The file's records; kept, since every point of a sweep reads the same file."""
    if path.suffix not in SUFFIXES:
        raise SourceError(f"unknown kind of file; it must end in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise SourceError("no such file")
    try:
        if path.suffix == ".parquet":
            from pyarrow import parquet

            return list(parquet.read_table(path).to_pylist())
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            return _lines(text)
        try:
            records = json.loads(text)
        except ValueError:
            # Some publish an object a line as .json, which LLaMA-Factory's reader takes.
            if not text.lstrip().startswith("{"):
                raise
            records = _lines(text)
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(records, list):
        raise SourceError("holds one object; a list of rows is needed")
    return records


def _lines(text: str) -> list[Any]:
    # Not splitlines: a text may hold U+2028, which is no end of a line in JSON.
    return [json.loads(line) for line in text.split("\n") if line.strip()]


@cache
def _fetch(repository: str, file: str, hub: str) -> Path | SourceError:
    """The error is kept too: a hub that does not answer is waited for once, not for every point of a sweep."""
    command = [sys.executable, "-m", "harness.workers.fetch_dataset", hub, repository, file]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    said = (done.stdout.splitlines() or [f"it ended with status {done.returncode}"])[-1]
    if done.returncode:
        return SourceError(
            f"cannot be fetched from {hub}: {said.removeprefix('error: ')}; look at its name there and at the network, "
            "or fetch it elsewhere and give dataset.path"
        )
    return Path(said)
