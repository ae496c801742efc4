"""Installed packages, read from their files: importing torch takes seconds, and fails just where a doctor is needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

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
