"""What a training needs at another batch and length, without following it there.

The same operators run whatever the batch: only their sizes differ, each a polynomial of the rows (of degree 1) and of
the tokens in a row (of degree 2). A few small batches tell them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harness.devices.allocator import CachingAllocator, Event, OutOfMemoryError
from harness.workers.tracing.steps import Process

_ROWS = (2, 3)
"""With a single row some copies are spared."""
_TOKENS = (256, 512, 1024)
_MOST_ROWS = 4096


class UnlikeError(Exception):
    """Other batches make other operators."""


class Scaling:
    """The memory of a training's process by rows and tokens."""

    def __init__(self, train: Callable[[int, int], Process]) -> None:
        """`train`: follows the process at so many rows, of so many tokens each. Raises UnlikeError."""
        points = [(rows, tokens) for rows in _ROWS for tokens in _TOKENS]
        traced = [train(*point).events for point in points]
        self._numbers = [number for number, _ in traced[0]]
        if any([number for number, _ in events] != self._numbers for events in traced):
            raise UnlikeError
        sizes = np.array([[size for _, size in events] for events in traced], dtype=np.float64)
        self._is_free = sizes[0] == 0
        self._coefficients = np.linalg.solve(np.array([_terms(*point) for point in points]), sizes)

    def events(self, rows: int, tokens: int) -> list[Event]:
        """Return the process's events at a batch."""
        sizes = np.rint(np.array(_terms(rows, tokens)) @ self._coefficients)
        sizes = np.where(self._is_free, 0, np.maximum(sizes, 1)).astype(np.int64)
        return list(zip(self._numbers, sizes.tolist(), strict=True))

    def fits(self, rows: int, tokens: int, limit_bytes: int) -> bool:
        """Whether torch gets along with `limit_bytes`."""
        try:
            CachingAllocator(limit_bytes).replay(self.events(rows, tokens))
        except OutOfMemoryError:
            return False
        return True

    def most_rows(self, tokens: int, limit_bytes: int) -> int:
        """Return the largest batch of such rows that fits; 0: none does."""
        low, high = 0, 1
        while high <= _MOST_ROWS and self.fits(high, tokens, limit_bytes):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            if self.fits(middle, tokens, limit_bytes):
                low = middle
            else:
                high = middle
        return low


def _terms(rows: int, tokens: int) -> Sequence[float]:
    # In thousands, so that the equations are not ill-conditioned.
    length = tokens / 1000
    return [1.0, rows, length, rows * length, length**2, rows * length**2]
