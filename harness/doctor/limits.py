"""What the system lets a process have: open files, processes, locked memory."""

from __future__ import annotations

import resource
from collections.abc import Iterator

from harness.doctor.finding import Finding, ok, warning
from harness.doctor.machine import Machine

_LEAST_FILES = 1024
"""What most systems give; each worker of a data loader opens some."""
_LEAST_PROCESSES = 1024
"""Threads count too: libraries start some for each core."""
_LEAST_LOCKED = 2**20
"""Some systems give 64 KiB, where drivers that register memory for transfers fail; since Linux 5.16 it is 8 MiB."""


def limits(machine: Machine, accelerator: bool) -> Iterator[Finding]:
    """Look whether a limit is lower than a training needs; locked memory matters where there is an `accelerator`."""
    files = machine.soft_limit(resource.RLIMIT_NOFILE)
    processes = _lower(machine.soft_limit(resource.RLIMIT_NPROC), _pids_of_container(machine))
    locked = machine.soft_limit(resource.RLIMIT_MEMLOCK)
    low = []
    if _below(files, _LEAST_FILES):
        low.append(warning("limits", f"{files} open files: `Too many open files` is near", "ulimit -n 65535"))
    if _below(processes, _LEAST_PROCESSES):
        low.append(
            warning(
                "limits",
                f"{processes} processes and threads: `can't start new thread` is near",
                "ulimit -u unlimited; in a container docker run --pids-limit=-1 ...",
            )
        )
    if accelerator and _below(locked, _LEAST_LOCKED):
        low.append(
            warning(
                "limits",
                f"{locked // 1024} KiB of locked memory: transfers between chips and between hosts may fail",
                "ulimit -l unlimited; in a container docker run --ulimit memlock=-1 ...",
            )
        )
    yield from low
    if not low:
        shown = [f"{_shown(files)} open files", f"{_shown(processes)} processes"]
        if accelerator:
            shown.append("unlimited locked memory" if locked < 0 else f"{locked / 2**20:.0f} MiB of locked memory")
        yield ok("limits", ", ".join(shown))


def _below(limit: int, least: int) -> bool:
    return 0 <= limit < least


def _lower(*limits: int) -> int:
    return min((limit for limit in limits if limit != resource.RLIM_INFINITY), default=resource.RLIM_INFINITY)


def _shown(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def _pids_of_container(machine: Machine) -> int:
    for name in ("sys/fs/cgroup/pids.max", "sys/fs/cgroup/pids/pids.max"):
        try:
            return int(machine.below(name).read_text(encoding="ascii"))
        except (OSError, ValueError):  # `max` is no number
            continue
    return resource.RLIM_INFINITY
