"""The processes of a run."""

from __future__ import annotations

from collections.abc import Iterable

import psutil


def tree(pids: Iterable[int]) -> set[psutil.Process]:
    """Those of `pids` that are alive, with all their descendants."""
    family: set[psutil.Process] = set()
    for pid in pids:
        try:
            root = psutil.Process(pid)
            family |= {root, *root.children(recursive=True)}
        except psutil.NoSuchProcess:
            continue
    return family
