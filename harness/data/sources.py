"""Rows from a user's file: JSON (a list), JSONL (an object a line) or parquet."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from harness.data.arithmetic import Row

SUFFIXES = (".json", ".jsonl", ".parquet")


class SourceError(Exception):
    """The file cannot be used; the message says what is wrong with it and what would be right."""


def read_rows(path: Path, append_answer: bool) -> list[Row]:
    """All rows of a file. With `append_answer` each output ends in a line `#### answer`. Raises SourceError."""
    rows = []
    for number, record in enumerate(_records(path, path.stat().st_mtime_ns if path.exists() else 0), start=1):
        if not isinstance(record, dict):
            raise SourceError(f"row {number} is {type(record).__name__}, not an object with columns")
        needed = ("instruction", "output", "answer") if append_answer else ("instruction", "output")
        missing = [column for column in needed if record.get(column) is None]
        if missing:
            raise SourceError(
                f"row {number} has no column {' or '.join(missing)}; "
                f"needed are {', '.join(needed)} (input may be missing), "
                f"found are {', '.join(map(str, record)) or 'none'}"
            )
        answer = str(record.get("answer", ""))
        output = str(record["output"])
        if append_answer:
            output = f"{output}\n#### {answer}"
        rows.append(Row(str(record["instruction"]), str(record.get("input") or ""), output, answer))
    if not rows:
        raise SourceError("the file has no rows")
    return rows


def columns_problem(path: Path, append_answer: bool) -> str | None:
    """What keeps a file from being used, or None."""
    try:
        read_rows(path, append_answer)
    except SourceError as error:
        return str(error)
    return None


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
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        records = json.loads(text)
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(records, list):
        raise SourceError("holds one object; a list of rows is needed")
    return records
