"""Locks that the kernel gives back when the last process that holds them is gone."""

from __future__ import annotations

import fcntl


def flock_at_once(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Take the lock on what is open, which whoever inherits the descriptor holds too; False: somebody else has it.

    Raises OSError."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
