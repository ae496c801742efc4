"""Installed packages, read from their files: importing torch takes seconds, and fails just where a doctor is needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    needs_torch: str | None
    """The release of torch that it was built for, from `torch==X` in its metadata; None: it names none."""
    build: str | None
    """cpu, or cu130 for CUDA 13.0, from the package's version.py; None: it does not tell."""

    @property
    def public(self) -> str:
        """The version without the build: 2.9.0.post2."""
        return self.version.partition("+")[0]

    @property
    def release(self) -> str:
        """The numbers alone: 2.9.0."""
        found = re.match(r"\d+(\.\d+)*", self.version)
        return found[0] if found else self.version

    @property
    def release_numbers(self) -> tuple[int, ...]:
        return tuple(int(number) for number in self.release.split(".") if number.isdecimal())


def find(name: str, folders: Sequence[str]) -> Package | None:
    """The package as `import` would find it; None where it is not installed."""
    distribution = next(iter(distributions(name=name, path=list(folders))), None)
    if distribution is None:
        return None
    return Package(name, distribution.version, _needs_torch(distribution), _build(name, distribution))


def _needs_torch(distribution: Distribution) -> str | None:
    for requirement in distribution.requires or []:
        if found := re.match(r"torch\s*\(?==\s*([0-9.]*[0-9])", requirement):
            return found[1]
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
