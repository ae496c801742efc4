"""Rows from a user's file: JSON (a list), JSONL (an object a line) or parquet; from here or from a hub."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from harness.base import redaction
from harness.base.errors import UserError
from harness.config.schema import SourceConfig
from harness.data.check import Record, row_problems, row_warnings
from harness.processes import start
from harness.processes.jobs import FetchJob

K = TypeVar("K")
T = TypeVar("T")
SUFFIXES = (".json", ".jsonl", ".parquet")


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
    if file.suffix not in SUFFIXES:
        raise SourceError(file, f"unknown kind of file; it must end in {', '.join(SUFFIXES)}")
    try:
        rows = _parsed(file)
    except FileNotFoundError:
        raise SourceError(file, "no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(file, f"cannot be read: {(str(error).splitlines() or [repr(error)])[0]}") from error
    if not isinstance(rows, list):
        raise SourceError(file, "holds one object; a list of rows is needed")
    if not rows:
        raise SourceError(file, "the file has no rows")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise SourceError(file, f"row {number} is {type(row).__name__}, not an object with columns")
    return rows


def _parsed(file: Path) -> Any:
    if file.suffix == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(file).to_pylist()
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".jsonl":
        return _lines(text)
    try:
        return json.loads(text)
    except ValueError:
        # Some publish an object a line as .json, which LLaMA-Factory's reader takes.
        if not text.lstrip().startswith("{"):
            raise
        return _lines(text)


def _lines(text: str) -> list[Any]:
    # Not splitlines: a text may hold U+2028, which is no end of a line in JSON.
    return [json.loads(line) for line in text.split("\n") if line.strip()]


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
