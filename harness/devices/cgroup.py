"""What the control groups of this process let it have, in both versions of Linux's cgroups.

`root` is what stands before /proc and /sys. Of a group and those above it, each of which has a part of what the one
above it has, the lowest limit counts. None: no limit, or it is not told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_UNLIMITED = 2**62
"""Version 1 shows the highest number of whole pages where there is no limit."""


@dataclass(frozen=True)
class _MemoryFiles:
    controller: str
    """Of version 1; empty: version 2."""
    limit: str
    used: str
    cached: str
    """In memory.stat: what is given back when it is needed."""


_MEMORY = (
    _MemoryFiles("", "memory.max", "memory.current", "inactive_file"),
    _MemoryFiles("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many CPUs' time it may use."""
    quotas = []
    for group in _groups(root, ""):
        with suppress(OSError, ValueError):  # `max` is no number.
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            quotas.append(int(quota) / int(period))
    for group in _groups(root, "cpu"):
        with suppress(OSError, ValueError):
            quota_us, period_us = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
            if quota_us > 0:  # -1: no limit.
                quotas.append(quota_us / period_us)
    return min(quotas, default=None)


def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """Return how much memory it may use."""
    return min((limit for limit, _, _ in _limited(root)), default=None)


def host_memory_bytes() -> int:
    """Return how much of the machine's memory this process may have, in use or not."""
    host_bytes = psutil.virtual_memory().total
    return min(host_bytes, memory_limit_bytes() or host_bytes)


def memory_left_bytes(root: Path = Path("/")) -> int | None:
    """Return how much it may still take, its page cache counted as free."""
    left = []
    for limit, files, group in _limited(root):
        with suppress(OSError, ValueError):
            lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
            cached = int(dict(line.split() for line in lines).get(files.cached, 0))
            left.append(limit - _number(group / files.used) + cached)
    return min(left, default=None)


def _limited(root: Path) -> Iterator[tuple[int, _MemoryFiles, Path]]:
    for files in _MEMORY:
        for group in _groups(root, files.controller):
            with suppress(OSError, ValueError):  # `max` is no number.
                if (limit := _number(group / files.limit)) < _UNLIMITED:
                    yield limit, files, group


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folder of its group and of each above. In a container /proc may name the group as the host does: that folder
    is not there then, and the mount is its own."""
    mount = root / "sys/fs/cgroup" / controller
    path = ""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines():
            _, controllers, group = line.split(":", 2)
            if controller in controllers.split(","):
                path = group.strip("/")
    place = mount / path
    yield place
    while place != mount:
        place = place.parent
        yield place


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))
