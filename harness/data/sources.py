"""Rows from a user's file: JSON (a list, or objects one after another), CSV, parquet or arrow; from here or a hub."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from harness.base import redaction
from harness.base.errors import UserError
from harness.config.schema import SourceConfig
from harness.data.check import Record, row_problems, row_warnings
from harness.data.encoding import encoding_problem
from harness.processes import start
from harness.processes.jobs import FetchJob

K = TypeVar("K")
T = TypeVar("T")
SUFFIXES = (".json", ".jsonl", ".csv", ".parquet", ".arrow")
"""What LLaMA-Factory trains conversations from (FILEEXT2TYPE in extras/constants.py), in small letters or capitals."""
_BLANK = re.compile(r"\s*")


class SourceError(UserError):
    """A file of rows cannot be used."""

    def __init__(self, place: object, problem: str) -> None:
        """`place`: the file, or the key that names it."""
        super().__init__(f"{place}: {problem}")
        self.problem = problem
        """What is wrong with the file and what would be right, without its name."""


class SourceReader:
    """Reads each file of rows once, fetches it once and checks its rows once, for all runs of a sweep.

    Make one for a sweep: what a file held when it was read first is what every run of the sweep gets."""

    def __init__(self, root: Path) -> None:
        """Relative paths of a configuration are meant from the folder `root`."""
        self.root = root
        self._files: dict[tuple[str, str], Path] = {}
        self._fetched: dict[tuple[str, str, str], Path | SourceError] = {}
        self._read: dict[Path, list[Record] | SourceError] = {}
        self._problems: dict[str, list[str]] = {}

    def path(self, name: str) -> Path:
        """Return the absolute path that `name`, of a configuration, means."""
        return self.root.absolute() / Path(name).expanduser()

    def is_here(self, source: SourceConfig) -> bool:
        """Return whether the source's rows can be read without asking a hub; a path counts, whatever is at it."""
        return source.path is not None or (source.repository or "", source.file or "") in self._files

    def fetch(self, source: SourceConfig, hub: str) -> None:
        """Download the source's file from `hub` (huggingface or modelscope), or find it in the hub's own cache.

        A source with a path needs none. A hub is asked once for a file, also when it fails. Raises SourceError."""
        if source.path is not None or source.repository is None:
            return
        key = (hub, source.repository, source.file or "")
        self._files[key[1:]] = _once(self._fetched, key, lambda: _fetch(*key))

    def read(self, source: SourceConfig) -> list[Record]:
        """Return all rows of the source's file, which is not asked of a hub. Raises SourceError."""
        file = self._file(source)
        return _once(self._read, file, lambda: _rows(file))

    def row_problems(self, source: SourceConfig, append_answer: bool) -> list[str]:
        """Return what is wrong with the source's rows, as `data.check.row_problems` tells. Raises SourceError."""
        rows = self.read(source)
        key = ("rows", self._file(source), _described(source), append_answer)
        return self.found_once(key, lambda: row_problems(rows, source, append_answer))

    def row_warnings(self, source: SourceConfig) -> list[str]:
        """Return what in the source's rows may be meant otherwise, as `data.check.row_warnings` tells. Raises
        SourceError."""
        rows = self.read(source)
        return self.found_once(("warnings", self._file(source), _described(source)), lambda: row_warnings(rows, source))

    def found_once(self, of: object, look: Callable[[], list[str]]) -> list[str]:
        """Return what `look` finds in files, for all runs of a sweep the same: each is looked at once.

        `of`: what tells this look from others. One that raises OSError has found that."""
        key = repr(of)
        if key not in self._problems:
            try:
                self._problems[key] = look()
            except OSError as error:
                self._problems[key] = [f"cannot be read: {error}"]
        return self._problems[key]

    def _file(self, source: SourceConfig) -> Path:
        if source.path is not None:
            return self.path(source.path)
        if source.repository is None:
            raise SourceError("dataset", "a file is needed: a path, or a repository with a file")
        if not self.is_here(source):
            raise SourceError(f"dataset.repository={source.repository}", f"{source.file} was not fetched from its hub")
        return self._files[source.repository, source.file or ""]


def _described(source: SourceConfig) -> dict[str, Any]:
    """A source without what a dataset has beside it."""
    return {field.name: getattr(source, field.name) for field in fields(SourceConfig)}


def _once(made: dict[K, T | SourceError], key: K, make: Callable[[], T]) -> T:
    """What `make` gives or raises, the same each time."""
    if key not in made:
        try:
            made[key] = make()
        except SourceError as error:
            made[key] = error
    value = made[key]
    if isinstance(value, SourceError):
        raise value
    return value


def _rows(file: Path) -> list[Record]:
    kind = file.suffix.lower()
    if kind not in SUFFIXES:
        raise SourceError(file, f"unknown kind of file; it must end in {', '.join(SUFFIXES)}")
    try:
        rows = _from_table(file, kind) if kind in (".parquet", ".arrow") else _from_text(file.read_bytes(), kind)
    except FileNotFoundError:
        raise SourceError(file, "no such file") from None
    except IsADirectoryError:
        raise SourceError(file, "is a folder; give the file in it, further ones by dataset.also") from None
    except _NoRowsError as error:
        raise SourceError(file, str(error)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(file, f"cannot be read: {(str(error).splitlines() or [repr(error)])[0]}") from error
    if not rows:
        raise SourceError(file, "the file has no rows")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise SourceError(file, f"row {number} is {type(row).__name__}, not an object with columns")
    return rows


class _NoRowsError(ValueError):
    """What stands in a file, where, and how to save it."""


def _from_table(file: Path, kind: str) -> list[Record]:
    import pyarrow

    if kind == ".parquet":
        from pyarrow import parquet

        table = parquet.read_table(file)
    else:
        with pyarrow.memory_map(str(file)) as mapped:
            try:
                table = pyarrow.ipc.open_stream(mapped).read_all()
            except pyarrow.ArrowInvalid:
                table = pyarrow.ipc.open_file(mapped).read_all()
    # NaN is what pandas writes where nothing was.
    return [
        {name: None if isinstance(value, float) and value != value else value for name, value in row.items()}
        for row in table.to_pylist()
    ]


def _from_text(data: bytes, kind: str) -> list[Any]:
    if problem := encoding_problem(data):
        raise _NoRowsError(problem)
    # A byte order mark before UTF-8 is Windows's, and no part of the rows.
    text = data.decode("utf-8-sig")
    return list(_csv(text)) if kind == ".csv" else _json(text)


def _json(text: str) -> list[Any]:
    """A list of rows, or rows one after another: LLaMA-Factory's reader takes both under either name.

    A row may go over several lines. NaN, which is no JSON, is what pandas writes where nothing was."""
    # In a list, as there, a text may go over several lines.
    is_list = text.startswith("[", _after_blanks(text, 0))
    decoder = json.JSONDecoder(parse_constant=lambda _: None, strict=not is_list)
    values: list[Any] = []
    place = _after_blanks(text, 0)
    while place < len(text):
        try:
            value, end = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise _NoRowsError(_no_json(text, values, error)) from error
        values.append(value)
        place = _after_blanks(text, end)
    return values[0] if len(values) == 1 and isinstance(values[0], list) else values


def _after_blanks(text: str, place: int) -> int:
    blanks = _BLANK.match(text, place)
    assert blanks is not None
    return blanks.end()


def _no_json(text: str, before: list[Any], error: json.JSONDecodeError) -> str:
    where = f"line {error.lineno}, column {error.colno}"
    if before and text[error.pos : error.pos + 1] == ",":
        return f"{where}: a comma stands after an object; take it out, or put [ ] around all of them"
    what = "a file is one list of rows [{...}, {...}], or holds a row {...} a line"
    return f"{where}: is no JSON: {error.msg}; {what}"


def _csv(text: str) -> Iterator[Record]:
    """Every cell is a text: LLaMA-Factory's reader makes numbers of some, and leaves out rows whose answer is one."""
    limit = csv.field_size_limit(sys.maxsize)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if doubled := sorted(name for name, count in Counter(reader.fieldnames or ()).items() if name and count > 1):
            # LLaMA-Factory's reader would take the first of them, and the csv module the last.
            raise _NoRowsError(f"line 1: names {', '.join(doubled)} more than once; give each column a name of its own")
        for number, row in enumerate(reader, start=1):
            if None in row or None in row.values():
                columns = len(reader.fieldnames or ())
                raise _NoRowsError(
                    f"row {number} (to line {reader.line_num}): has not the {columns} cells that the first line names; "
                    "put a text that holds commas or line ends in double quotes"
                )
            yield row
    except csv.Error as error:
        raise _NoRowsError(f"line {reader.line_num + 1}: is no CSV: {error}") from error
    finally:
        csv.field_size_limit(limit)


def _fetch(hub: str, repository: str, file: str) -> Path:
    job = FetchJob(hub=hub, repository=repository, file=file)  # type: ignore[arg-type]
    done = start.run_to_end(job, redaction.for_child(os.environ), errors_shown=True)
    last = (done.stdout.splitlines() or [f"it ended with status {done.returncode}"])[-1]
    if done.returncode == 0:
        return Path(last)
    raise SourceError(
        f"dataset.repository={repository}",
        f"cannot be fetched from {hub}: {last.removeprefix('error: ')}; look at its name there and at the network, "
        "or fetch it elsewhere and give dataset.path",
    )
