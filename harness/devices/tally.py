"""What the sensors of a run have said so far, from several threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.base import json_lines
from harness.devices.reading import SAMPLED, Quantity, Reading, total_mib

_MAX_ERRORS = 20
"""Distinct messages that are kept: one that holds a changing number must not fill the record."""


@dataclass
class Sampled:
    """What came of the sampling of one run."""

    readings: int = 0
    """The baselines included."""
    gaps: int = 0
    """Readings that failed or did not come in time."""
    errors: list[str] = field(default_factory=list)
    """Each distinct one once, the first 20."""
    baselines: list[Reading] = field(default_factory=list)
    """What each sensor read before the child was started."""


class Tally:
    """Keeps the newest readings and the peaks in memory, and every reading in the readings.jsonl at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file_lock = threading.Lock()
        self._sampled = Sampled()
        self._latest: dict[tuple[str, int | None], Reading] = {}
        self._peaks: dict[Quantity, float] = {}
        self._closed = False

    def add(self, readings: Sequence[Reading]) -> None:
        """Take in one round of one sensor. After `close` it is dropped. A full disk costs an error, no more."""
        with self._lock:
            if self._closed:
                return
            self._sampled.readings += len(readings)
            self._latest.update({(reading.sensor, reading.chip): reading for reading in readings})
            for quantity in SAMPLED:
                if (mib := total_mib(readings, quantity)) is not None:
                    self._peaks[quantity] = max(mib, self._peaks.get(quantity, mib))
        # Outside the lock: a disk that hangs must not hold up who looks.
        try:
            with self._file_lock:
                json_lines.append(self._path, readings)
        except OSError as error:
            self.miss(0, f"{self._path}: {error.strerror}")

    def miss(self, ticks: int, reason: str | None = None) -> None:
        """Count `ticks` readings that did not come. `reason`: what stood in their way, if it is known."""
        with self._lock:
            self._sampled.gaps += ticks
            errors = self._sampled.errors
            if reason is not None and reason not in errors and len(errors) < _MAX_ERRORS:
                errors.append(reason)

    def latest(self) -> list[Reading]:
        """Return the newest reading of each sensor and chip."""
        with self._lock:
            return list(self._latest.values())

    def peak_mib(self, quantity: Quantity) -> float | None:
        """Return the highest sum over the chips so far; None where no sensor told one."""
        with self._lock:
            return self._peaks.get(quantity)

    def close(self, baselines: list[Reading]) -> Sampled:
        """Return what came of the sampling; from now on nothing is taken in."""
        with self._lock:
            self._closed = True
            return replace(self._sampled, errors=list(self._sampled.errors), baselines=baselines)
