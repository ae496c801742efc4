"""The machine as the checks see it, so that a test can hand in another one, and its installed packages.

Those are read from their files: importing torch takes seconds, and fails just where a doctor is needed."""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

import psutil
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version


@dataclass(frozen=True)
class Package:
    """An installed package."""

    name: str
    version: Version
    torch: SpecifierSet | None
    """`==X`, the one torch that it was built for; None: it names none."""
    build: str | None
    """cpu, or cu130 for CUDA 13.0, from the package's version.py; None: it does not tell."""

    @property
    def release(self) -> str:
        """The numbers alone: 2.9.0 of 2.9.0.post2+cpu."""
        return self.version.base_version

    @property
    def cuda(self) -> Version | None:
        """The CUDA that it was built for; None: for none, or it does not tell."""
        # The last digit is the minor version: cu128 is 12.8.
        label = re.fullmatch(r"cu(\d+)(\d)", self.build or "")
        return Version(f"{label[1]}.{label[2]}") if label else None


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
    disk_total_bytes: Callable[[Path], int]
    disk_free_bytes: Callable[[Path], int]
    """Of the file system that a folder is on."""
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
            disk_total_bytes=lambda folder: shutil.disk_usage(folder).total,
            disk_free_bytes=lambda folder: shutil.disk_usage(folder).free,
            available_memory_bytes=lambda: psutil.virtual_memory().available,
            soft_limit=lambda kind: resource.getrlimit(kind)[0],
        )

    def package(self, name: str) -> Package | None:
        """Return an installed package; None where it is not."""
        return find(name, self.package_folders)

    def command(self, name: str) -> str | None:
        """Return where a command is; None where PATH leads to none."""
        return shutil.which(name, path=self.environment.get("PATH", os.defpath))


def find(name: str, folders: Sequence[str]) -> Package | None:
    """Return the package as `import` would find it in these folders; None where it is not installed.

    Raises InvalidVersion where its version is none that pip knows."""
    distribution = next(iter(distributions(name=name, path=list(folders))), None)
    if distribution is None:
        return None
    return Package(name, Version(distribution.version), _torch(distribution), _build(name, distribution))


def _torch(distribution: Distribution) -> SpecifierSet | None:
    for text in distribution.requires or []:
        with suppress(InvalidRequirement):
            requirement = Requirement(text)
            if requirement.name == "torch" and str(requirement.specifier).startswith("=="):
                return requirement.specifier
    return None


def _build(name: str, distribution: Distribution) -> str | None:
    # Metadata of wheels from the package index leave the build out: torchvision's says 0.28.0, its version.py +cu130.
    try:
        text = Path(str(distribution.locate_file(f"{name}/version.py"))).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if found := re.search(r"^cuda\b.*= *(?:None|'([0-9]+)\.([0-9]+)')", text, re.MULTILINE):
        return f"cu{found[1]}{found[2]}" if found[1] else "cpu"
    label = re.search(r"^__version__ *=.*\+(cpu|cu[0-9]+)", text, re.MULTILINE)
    return label[1] if label else None
