"""JSON lines: one appending writer and one reader, safe against torn and short writes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

T = TypeVar("T")


def append(path: Path, items: Sequence[BaseModel]) -> None:
    """Append each of `items` as a line, all in one write, which no other process can come between.

    Several processes may append to one file. A line that an earlier writer left unfinished (it was killed, or the disk
    was full) is ended first, so that it costs itself alone. Raises OSError where not all of the data found room."""
    data = b"".join(item.model_dump_json().encode() + b"\n" for item in items)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data
        if os.write(descriptor, data) < len(data):
            raise OSError(None, "no room for the whole line", str(path))
    finally:
        os.close(descriptor)


class LineReader(Generic[T]):
    """Reads a file of JSON lines as it grows.

    `skipped` counts the lines that could not be read: torn ones, and those of a kind that this version does not know.
    """

    def __init__(self, path: Path, type_: Any) -> None:
        self._path = path
        self._adapter: TypeAdapter[T] = TypeAdapter(type_)
        self._offset = 0
        self.skipped = 0

    def new(self) -> Iterator[T]:
        """Yield what was added since the last call. A last line without its end is left for the next call."""
        data = self._added()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        yield from self._parsed(whole)

    def all(self) -> list[T]:
        """Return everything that was added since the last call to a file that grows no more.

        A last line that was cut off counts as skipped."""
        data = self._added()
        self._offset += len(data)
        return list(self._parsed(data))

    def _added(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                return file.read()
        except FileNotFoundError:
            return b""

    def _parsed(self, data: bytes) -> Iterator[T]:
        for line in data.splitlines():
            try:
                yield self._adapter.validate_json(line)
            except ValidationError:
                self.skipped += bool(line.strip())
