"""When Python looks for garbage: what a comparison keeps in memory is gone over at each look."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Do not look for cycles of garbage in the block, or in a function that this decorates.

    For what makes much and keeps it: the looks would take as long as the work."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
