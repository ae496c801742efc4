"""Reads a file of JSON lines as it grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


class LineReader(Generic[T]):
    def __init__(self, path: Path, type_: Any) -> None:
        self._path = path
        self._adapter: TypeAdapter[T] = TypeAdapter(type_)
        self._offset = 0

    def new(self) -> Iterator[T]:
        """What was added since the last call. A last line without its end is left for the next; garbage is skipped."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                yield self._adapter.validate_json(line)
            except ValidationError:
                continue
