"""Tokenized rows in the folder of a sweep: made once for its runs, and taken away at its end."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.base.files import remove, sync_tree, write_atomically
from harness.base.locks import flock_at_once
from harness.runs.store import locked, locked_at_once

_ROWS = "rows"
_COMPLETE = "complete"
"""Written last, with the hash of the rest: without it the one who made them was killed."""


@dataclass(frozen=True)
class Held:
    """Rows that stay where they are while a process has `lock` open, or a fork of it."""

    rows: Path
    """As they were written."""
    lock: IO[bytes]


def made_once(folder: Path, key: str, make: Callable[[Path], None], note: Callable[[str], None]) -> Held:
    """Return the rows that `key` names, which `make` writes to a new path where they are not in `folder` yet, or are
    damaged; others wait.

    `note` hears of waiting and of damage. Raises OSError, and what `make` does."""
    kept = folder / key
    folder.mkdir(parents=True, exist_ok=True)
    with locked(_lock(kept), lambda: note(f"another process makes {kept}; waiting")):
        if not _is_as_made(kept):
            if kept.exists():
                note(f"{kept}: damaged, or half written; these rows are tokenized again")
            remove(kept)
            make(kept / _ROWS)
            sync_tree(kept / _ROWS)
            write_atomically(kept / _COMPLETE, _digest(kept / _ROWS))
        lock = (kept / _COMPLETE).open("rb")
        if not flock_at_once(lock.fileno(), fcntl.LOCK_SH):
            raise OSError(f"{kept}: is being taken away")
        return Held(kept / _ROWS, lock)


def remove_unheld(folder: Path) -> None:
    """Take away the rows in `folder` that no process holds or makes. Raises OSError."""
    for kept in folder.glob("*/"):
        with locked_at_once(_lock(kept)) as is_ours:
            if is_ours and not _is_held(kept / _COMPLETE):
                remove(kept)


def _lock(kept: Path) -> Path:
    return kept.with_name(f".{kept.name}.lock")


def _is_as_made(kept: Path) -> bool:
    try:
        return (kept / _COMPLETE).read_bytes() == _digest(kept / _ROWS).encode()
    except OSError:
        return False


def _digest(folder: Path) -> str:
    """A hash of all files in a folder, with their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return digest.hexdigest()


def _is_held(complete: Path) -> bool:
    try:
        # To write: a lock that nobody shares needs that on a network file system.
        with complete.open("r+b") as file:
            return not flock_at_once(file.fileno())
    except FileNotFoundError:
        return False
