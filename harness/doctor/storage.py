"""Room for what a run writes and holds: disk, memory, and the shared memory of its data loader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from harness.doctor.finding import Finding, failed, ok, warning
from harness.doctor.machine import Machine
from harness.models.synthetic import cache_folder

GIB = 2**30
_LEAST_DISK = 10 * GIB
_LEAST_MEMORY = 4 * GIB
_LEAST_SHARED_MEMORY = GIB
"""Docker gives 64 MiB unless told otherwise."""


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
        parent = _existing(folder)
        by_system.setdefault(parent.stat().st_dev, (parent, []))[1].append(f"{folder} ({use})")
    for parent, named in by_system.values():
        free = machine.disk(parent).free_bytes
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
    container = _left_to_container(machine)
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
    folder = machine.below("dev/shm")
    if not folder.is_dir():
        return
    total = machine.disk(folder).total_bytes
    what = f"{total / GIB:.1f} GiB" if total >= GIB else f"{total / 2**20:.0f} MiB"
    if total < _LEAST_SHARED_MEMORY:
        yield warning(
            "/dev/shm",
            f"{what}: the workers of a data loader and several chips of one run pass their data through it",
            "docker run --shm-size=16g ...; in a pod an emptyDir with medium: Memory on /dev/shm",
        )
    else:
        yield ok("/dev/shm", what)


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if os.access(parent, os.F_OK))


def _left_to_container(machine: Machine) -> int | None:
    """What the control group may still take, its page cache counted as free; None where nothing limits it."""
    for folder, limit, used, cached in (
        ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            place = machine.below(folder)
            most = (place / limit).read_text(encoding="ascii").strip()
            if most == "max":
                return None
            statistics = dict(line.split() for line in (place / "memory.stat").read_text(encoding="ascii").splitlines())
            in_use = int((place / used).read_text(encoding="ascii"))
            return int(most) - in_use + int(statistics.get(cached, 0))
        except (OSError, ValueError):
            continue
    return None
