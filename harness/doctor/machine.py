"""The machine as the checks see it, so that a test can hand in another one."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.doctor.packages import Package, find


@dataclass(frozen=True)
class Disk:
    """How large a file system is, and how much of it is free."""

    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Machine:
    """What the checks may ask."""

    environment: Mapping[str, str]
    working_folder: Path
    home: Path
    python: tuple[int, int, int]
    package_folders: tuple[str, ...]
    """Where installed packages are looked for."""
    root: Path
    """What stands before /dev, /proc, /sys, /etc and /usr/local."""
    dashboard_port: int
    """Of `harness watch`."""
    disk: Callable[[Path], Disk]
    available_memory_bytes: Callable[[], int]
    """Of the host, whatever a container may use of it."""
    soft_limit: Callable[[int], int]
    """Of one of resource's RLIMIT_*."""

    @classmethod
    def current(cls) -> Machine:
        """Return the machine that this process is on. Raises OSError where its working folder is gone."""
        return cls(
            environment=dict(os.environ),
            working_folder=Path.cwd(),
            home=Path.home(),
            python=sys.version_info[:3],
            package_folders=tuple(sys.path),
            root=Path("/"),
            dashboard_port=5092,
            disk=_disk,
            available_memory_bytes=lambda: psutil.virtual_memory().available,
            soft_limit=lambda kind: resource.getrlimit(kind)[0],
        )

    def below(self, path: str) -> Path:
        """Return a file of the system: `below("dev/shm")`."""
        return self.root / path

    def package(self, name: str) -> Package | None:
        """Return an installed package; None where it is not."""
        return find(name, self.package_folders)

    def command(self, name: str) -> str | None:
        """Return where a command is; None where PATH leads to none."""
        return shutil.which(name, path=self.environment.get("PATH", os.defpath))


def _disk(folder: Path) -> Disk:
    usage = shutil.disk_usage(folder)
    return Disk(usage.total, usage.free)
