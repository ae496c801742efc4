"""The files of a benchmark's questions, and of the examples shown before them, and what is wrong with them.

evalscope reads them itself, after the training; a mistake in them is told before it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.base import json_text
from harness.base.files import content
from harness.data.check import SHOWN
from harness.data.encoding import BOM, encoding_problem
from harness.data.final_number import MARK, number

SPLITS = {"gsm8k": ("test", "train")}
"""Where questions and examples come from, as evalscope names it (eval_split and train_split in its benchmarks/)."""
SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
"""What evalscope reads questions from."""
_COLUMNS = {"gsm8k": ("question", "answer")}
"""Those that a benchmark reads (evalscope's benchmarks/), of the ones that the harness knows."""


def examples(path: Path, benchmark: str | None) -> list[Path]:
    """Return the files beside the questions at `path` that their examples may come from.

    Where the split's name is not known, any other file may be one. Raises OSError."""
    _, split = SPLITS.get(benchmark or "", (None, None))
    return [file for file in _files(path) if split in (None, file.stem)]


def asked(path: Path, benchmark: str | None) -> Path | None:
    """Return the file of the questions at `path`; None: it is a folder, and which of its files is not known."""
    if path.is_file():
        return path
    split, _ = SPLITS.get(benchmark or "", (None, None))
    return next((file for file in _files(path) if file.stem == split), None)


def _files(path: Path) -> list[Path]:
    folder = path.parent if path.is_file() else path
    return sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES and file != path and file.is_file())


def problems(file: Path, benchmark: str | None, least: int) -> list[str]:
    """Return which question is wrong in which field, and why: the first few, then how many there are.

    `least`: how many questions are asked for. What a benchmark that the harness does not know reads of them is not
    looked at. Raises OSError."""
    try:
        rows = list(_rows(file))
    except (ValueError, csv.Error) as error:
        return [str(error)]
    if len(rows) < max(1, least):
        return [
            f"has {len(rows)} of the {least} questions that are asked for; give more" if rows else "has no question"
        ]
    if benchmark not in _COLUMNS:
        return []
    found = [f"{place}: {problem}" for place, row in rows for problem in _wrong(row, *_COLUMNS[benchmark])]
    return found[:SHOWN] + ([f"{len(found)} such mistakes in {len(rows)} questions"] if len(found) > SHOWN else [])


def texts(file: Path, benchmark: str | None) -> list[str]:
    """Return the questions in a file, without what a benchmark adds to them; none where it is not known which column
    they are in. Raises OSError and ValueError."""
    asking, _ = _COLUMNS.get(benchmark or "", (None, None))
    return [] if asking is None else [str(row.get(asking) or "") for _, row in _rows(file)]


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each question with its place. Raises ValueError with what evalscope would stop at."""
    if file.suffix == ".parquet":
        from pyarrow import parquet

        table = parquet.read_table(file)
        try:
            rows = table.to_pylist()
        except (LookupError, ArithmeticError) as error:  # A zone that nobody knows, a time after the year 9999.
            raise ValueError(f"holds a value that is none: {error}") from None
        yield from ((f"row {place}", row) for place, row in enumerate(rows, 1))
        return
    data = content(file)
    if data.startswith(BOM):
        raise ValueError("begins with a byte order mark (BOM), at which evalscope stops; save it as UTF-8 without one")
    if problem := encoding_problem(data):
        raise ValueError(problem)
    lines = data.decode("utf-8").split("\n")
    if file.suffix != ".jsonl":
        delimiter = "\t" if file.suffix == ".tsv" else ","
        yield from ((f"row {place}", row) for place, row in enumerate(csv.DictReader(lines, delimiter=delimiter), 1))
        return
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json_text.load(line)
        except ValueError as error:
            hint = "; a list is no JSONL: give each object a line of its own" if line.lstrip().startswith("[") else ""
            raise ValueError(f"line {place}: is no JSON: {error}{hint}") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {place}: is no object with columns; give each question a line {{...}} of its own")
        yield f"line {place}", row


def _wrong(row: dict[str, Any], asking: str, answering: str) -> Iterator[str]:
    for column in (asking, answering):
        value = row.get(column)
        if column not in row:
            yield f"there is no column {column}; there is {', '.join(map(str, row))}"
        elif value is None or (isinstance(value, str) and not value.strip()):
            yield f"{column} is empty"
        elif not isinstance(value, str):
            yield f"{column} is {json.dumps(value, default=str)}, not text; put it in quotes"
        elif column == answering and number(expected := value.split(MARK)[-1].strip()) is None:
            yield f"{column}: what is expected is no number: {expected[:40]!r}; it stands after {MARK}, or alone"
