"""readings.jsonl: what the sensors said, one reading a line."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from harness.devices.reading import Reading


class Journal:
    """Appends readings from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._torn = False

    def append(self, readings: Sequence[Reading]) -> None:
        """All lines in one write, so that a process that is killed leaves whole ones. Raises OSError."""
        data = b"".join(reading.model_dump_json().encode() + b"\n" for reading in readings)
        with self._lock, self.path.open("ab", buffering=0) as file:
            # A full disk may take a part of the data: the next line must not continue what it took.
            start = b"\n" if self._torn else b""
            written = file.write(start + data)
            self._torn = written < len(start + data)
        if self._torn:
            raise OSError(None, "no room for the whole line")


def read_readings(path: Path) -> list[Reading]:
    """The readings in a file, if there is one; lines that are cut off or garbage are skipped."""
    readings: list[Reading] = []
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return readings
    for line in lines:
        try:
            readings.append(Reading.model_validate_json(line))
        except ValidationError:
            continue
    return readings
