"""What a training needs at another batch and length, without following it there.

The same operators run whatever the batch: only their sizes differ, each a polynomial of the rows (of degree 1) and of
the tokens in a row (of degree 2). A few small batches tell them all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.devices.allocator import CachingAllocator, Event, OutOfMemoryError, rounded

if TYPE_CHECKING:
    from harness.workers.tracing.steps import Process

_ROWS = (2, 3)
"""With a single row some copies are spared."""
_TOKENS = (256, 512, 1024)
_MOST_ROWS = 4096


class UnlikeError(Exception):
    """Other batches make other operators."""


class Scaling:
    """The memory of a training's process by rows and tokens."""

    def __init__(self, train: Callable[[int, int], Process], expandable: bool = False) -> None:
        """`train`: follows the process at so many rows, of so many tokens each. `expandable`: the allocator's segments.
        Raises UnlikeError."""
        points = [(rows, tokens) for rows in _ROWS for tokens in _TOKENS]
        traced = [train(*point).events for point in points]
        self._numbers = [number for number, _ in traced[0]]
        if any([number for number, _ in events] != self._numbers for events in traced):
            raise UnlikeError
        sizes = np.array([[size for _, size in events] for events in traced], dtype=np.float64)
        self._expandable = expandable
        self._is_free = sizes[0] == 0
        made = {number: place for place, (number, size) in enumerate(traced[0]) if size}
        self._made = np.array([made[number] for number in self._numbers])
        """Of each event the place of the one that asked for the bytes."""
        self._coefficients = np.linalg.solve(np.array([_terms(*point) for point in points]), sizes)

    def events(self, rows: int, tokens: int) -> list[Event]:
        """Return the process's events at a batch."""
        return list(zip(self._numbers, self._sizes(rows, tokens).tolist(), strict=True))

    def _sizes(self, rows: int, tokens: int) -> Any:
        sizes = np.rint(np.array(_terms(rows, tokens)) @ self._coefficients)
        return np.where(self._is_free, 0, np.maximum(sizes, 1)).astype(np.int64)

    def _allocated_bytes(self, rows: int, tokens: int) -> int:
        """At the peak, in tensors: no allocator reserves less."""
        sizes: Any = rounded(self._sizes(rows, tokens))
        return int(np.cumsum(np.where(self._is_free, -sizes[self._made], sizes)).max())

    def fits(self, rows: int, tokens: int, limit_bytes: int) -> bool:
        """Whether torch gets along with `limit_bytes`."""
        try:
            CachingAllocator(limit_bytes, self._expandable).replay(self.events(rows, tokens))
        except OutOfMemoryError:
            return False
        return True

    def most_rows(self, tokens: int, limit_bytes: int) -> int:
        """Return the largest batch of such rows that fits; 0: none does."""
        bounds = range(_MOST_ROWS + 1)
        high = bisect_right(bounds, limit_bytes, lo=1, key=lambda rows: self._allocated_bytes(rows, tokens)) - 1
        # What is reserved is a little more than what is allocated: a playback takes its time, and few are needed.
        step = 1
        while high and not self.fits(high, tokens, limit_bytes):
            high, step = max(0, high - step), 2 * step
        over = high + step // 2 if step > 1 else high + 1
        while over - high > 1:
            middle = (high + over) // 2
            if self.fits(middle, tokens, limit_bytes):
                high = middle
            else:
                over = middle
        return high


def _terms(rows: int, tokens: int) -> Sequence[float]:
    # In thousands, so that the equations are not ill-conditioned.
    length = tokens / 1000
    return [1.0, rows, length, rows * length, length**2, rows * length**2]
