"""Room for what a run writes and holds, what the system lets a process have, and the ports that are listened on."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from harness.base.numbers import whole_number
from harness.base.ports import refusal
from harness.devices.cgroup import memory_left_bytes
from harness.doctor.finding import Finding, failed, ok, warning
from harness.doctor.machine import Machine
from harness.models.synthetic import cache_folder

MIB, GIB = 2**20, 2**30
_LEAST_DISK = 10 * GIB
_LEAST_MEMORY = 4 * GIB
_LEAST_SHARED_MEMORY = GIB
"""Docker gives 64 MiB unless told otherwise."""
_LEAST_FILES = 1024
"""What most systems give; each worker of a data loader opens some."""
_LEAST_PROCESSES = 1024
"""Threads count too: libraries start some for each core."""
_LEAST_LOCKED = MIB
"""Some systems give 64 KiB, where drivers that register memory for transfers fail; since Linux 5.16 it is 8 MiB."""
_TORCHRUN = 29500


def disk(machine: Machine) -> Iterator[Finding]:
    """Look at the room on each file system that runs write to, once."""
    hub = machine.environment.get("HF_HOME") or machine.home / ".cache" / "huggingface"
    uses = {
        machine.working_folder: "runs, below ./outputs",
        cache_folder(): "random models",
        Path(hub): "models from the hub",
    }
    by_system: dict[int, tuple[Path, list[str]]] = {}
    for folder, use in uses.items():
        parent = next(parent for parent in (folder, *folder.parents) if os.access(parent, os.F_OK))
        by_system.setdefault(parent.stat().st_dev, (parent, []))[1].append(f"{folder} ({use})")
    for parent, named in by_system.values():
        free = machine.disk_free_bytes(parent)
        what = f"{free / GIB:.1f} GiB free for {', '.join(named)}"
        if free < _LEAST_DISK:
            yield warning(
                "disk",
                f"{what}: the weights of a 7B model alone take 15 GiB",
                f"du -xsh {parent}/* shows what to remove; or output=FOLDER, HARNESS_CACHE=FOLDER and HF_HOME=FOLDER "
                "on another disk",
            )
        else:
            yield ok("disk", what)
    if not os.access(machine.working_folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        yield failed("disk", f"{machine.working_folder} cannot be written to", "cd to a folder of yours")


def memory(machine: Machine) -> Iterator[Finding]:
    """Look how much memory is left, to this container where there is one."""
    host = machine.available_memory_bytes()
    container = memory_left_bytes(machine.root)
    available = host if container is None else min(host, container)
    what = f"{available / GIB:.1f} GiB are available{' to this container' if available < host else ''}"
    if available < _LEAST_MEMORY:
        yield warning(
            "memory",
            f"{what}: the libraries of a training alone take 1 GiB, and a model passes through it on its way to a chip",
            "ps aux --sort=-rss | head shows who holds it; in a container docker run --memory=32g ...",
        )
    else:
        yield ok("memory", what)


def shared_memory(machine: Machine) -> Iterator[Finding]:
    """Look at the size of /dev/shm."""
    folder = machine.root / "dev/shm"
    if not folder.is_dir():
        return
    total = machine.disk_total_bytes(folder)
    what = f"{total / GIB:.1f} GiB" if total >= GIB else f"{total / MIB:.0f} MiB"
    if total < _LEAST_SHARED_MEMORY:
        yield warning(
            "/dev/shm",
            f"{what}: the workers of a data loader and several chips of one run pass their data through it",
            "docker run --shm-size=16g ...; in a pod an emptyDir with medium: Memory on /dev/shm",
        )
    else:
        yield ok("/dev/shm", what)


def limits(machine: Machine, accelerator: bool) -> Iterator[Finding]:
    """Look whether a limit is lower than a training needs; locked memory matters where there is an `accelerator`."""
    kinds = (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_MEMLOCK)
    files, processes, locked = (_finite(machine.soft_limit(kind)) for kind in kinds)
    processes = min((limit for limit in (processes, _pids_of_container(machine)) if limit is not None), default=None)
    low = []
    if files is not None and files < _LEAST_FILES:
        low.append((f"{files} open files: `Too many open files` is near", "ulimit -n 65535"))
    if processes is not None and processes < _LEAST_PROCESSES:
        what = f"{processes} processes and threads: `can't start new thread` is near"
        low.append((what, "ulimit -u unlimited; in a container docker run --pids-limit=-1 ..."))
    if accelerator and locked is not None and locked < _LEAST_LOCKED:
        what = f"{locked // 1024} KiB of locked memory: transfers between chips and between hosts may fail"
        low.append((what, "ulimit -l unlimited; in a container docker run --ulimit memlock=-1 ..."))
    yield from (warning("limits", what, fix) for what, fix in low)
    if not low:
        shown = [f"{_shown(files)} open files", f"{_shown(processes)} processes"]
        if accelerator:
            shown.append(f"{'unlimited' if locked is None else f'{locked / MIB:.0f} MiB of'} locked memory")
        yield ok("limits", ", ".join(shown))


def _finite(limit: int) -> int | None:
    return None if limit == resource.RLIM_INFINITY else limit


def _shown(limit: int | None) -> str:
    return "unlimited" if limit is None else str(limit)


def _pids_of_container(machine: Machine) -> int | None:
    for name in ("sys/fs/cgroup/pids.max", "sys/fs/cgroup/pids/pids.max"):
        with suppress(OSError, ValueError):  # `max` is no number
            return int((machine.root / name).read_text(encoding="ascii"))
    return None


def ports(machine: Machine) -> Iterator[Finding]:
    """Look whether the ports that a run or the dashboard would listen on are free."""
    named = whole_number(machine.environment.get("MASTER_PORT", ""))
    training = named if named is not None and named < 2**16 else _TORCHRUN
    uses = {
        training: ("torchrun, for a run over several chips", "MASTER_PORT={free} before the command"),
        machine.dashboard_port: ("harness watch", "harness watch --port {free}"),
    }
    taken = {port: use for port, use in uses.items() if refusal(port)}
    for port, (use, instead) in taken.items():
        free = next((other for other in range(port + 1, 65536) if not refusal(other)), port)
        fix = f"end that process, or {instead.format(free=free)}"
        yield warning("ports", f"{port} ({use}) is taken{_by_whom(port)}", fix)
    if not taken:
        yield ok("ports", " and ".join(f"{port} ({use})" for port, (use, _) in uses.items()) + " are free")


def _by_whom(port: int) -> str:
    # Of other users' processes the system tells nothing.
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
