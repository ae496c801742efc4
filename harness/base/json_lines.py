"""JSON lines: one appending writer and one reader, safe against torn and short writes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import GenericAlias
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from harness.base.files import opened

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
    `only`: lines without this text are passed over, unparsed and uncounted.
    """

    def __init__(self, path: Path, type_: Any, only: bytes | None = None) -> None:
        self._path = path
        self._adapters: tuple[TypeAdapter[T], TypeAdapter[list[T]]] = _adapters(type_)
        self._only = only
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
        return self._parsed(data)

    def _added(self) -> bytes:
        try:
            with opened(self._path) as file:
                file.seek(self._offset)
                return file.read()
        except FileNotFoundError:
            return b""

    def _parsed(self, data: bytes) -> list[T]:
        if self._only is not None:
            data = b"\n".join(_lines_with(self._only, data))
        at_once = _parsed_at_once(self._adapters[1], data)
        if at_once is not None:
            return at_once
        items = []
        for line in data.splitlines():
            try:
                items.append(self._adapters[0].validate_json(line))
            except ValidationError:
                self.skipped += bool(line.strip())
        return items


def _parsed_at_once(several: TypeAdapter[list[T]], data: bytes) -> list[T] | None:
    """Return what each line is, in two thirds of the time that they take one by one; None where any is damaged.

    The line breaks stay, so that no string reaches over one, and the number tells of what two torn lines might make."""
    lines = data.rstrip(b"\n")
    try:
        items = several.validate_json(b"[" + lines.replace(b"\n", b",\n") + b"]")
    except ValidationError:
        return None
    return items if len(items) == lines.count(b"\n") + 1 else None


@cache
def _adapters(type_: Any) -> tuple[TypeAdapter[Any], TypeAdapter[list[Any]]]:
    """Return what parses one of `type_`, and several. Made once: for the union of events that takes as long as parsing
    a thousand of them."""
    return TypeAdapter(type_), TypeAdapter(GenericAlias(list, (type_,)))


def _lines_with(text: bytes, data: bytes) -> Iterator[bytes]:
    at = data.find(text)
    while at >= 0:
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        yield data[data.rfind(b"\n", 0, at) + 1 : end]
        at = data.find(text, end)
