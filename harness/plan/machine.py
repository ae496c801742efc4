"""On what a run runs: versions, hardware, the harness's own commit."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import psutil

from harness.base import paths
from harness.plan.spec import DeviceSpec
from harness.runs.record import Environment

DECISIVE = (
    "torch",
    "torch-npu",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "bitsandbytes",
    "llamafactory",
    "evalscope",
    "numpy",
)
"""Libraries whose version can change a result."""
OTHERS = ("swanlab", "hydra-core", "datasets", "pandas")


def versions(packages: tuple[str, ...] = DECISIVE) -> dict[str, str]:
    """Return the installed versions, without importing; packages that are not installed are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def describe(device: DeviceSpec) -> Environment:
    """Return what this machine is, for the record of a run on `device`."""
    return Environment(
        versions={"python": platform.python_version(), **versions(DECISIVE + OTHERS)},
        platform=platform.platform(),
        device=device.product or device.kind,
        device_count=max(1, device.chips),
        cpu_count=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        host_memory_mib=psutil.virtual_memory().total / 2**20,
        git_commit=_git_commit(),
    )


@cache
def _git_commit() -> str | None:
    """The commit of a checkout that the package runs from; None for an installed wheel."""
    if not (paths.PACKAGE.parent / ".git").exists():
        return None
    git = ["git", "-C", str(paths.PACKAGE.parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "harness", "conf", "sweeps"], capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("-dirty" if changed.stdout.strip() else "")
