"""Where the package keeps its own files."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def configuration_folder(name: str) -> Path:
    """conf/ or sweeps/: inside the installed package, or beside it in a checkout."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name
