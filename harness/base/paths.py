"""Where the package keeps its own files, and whether a folder can be made and written."""

from __future__ import annotations

import os
import re
from pathlib import Path

from harness.base.decoding import has_lone_surrogates
from harness.base.errors import UserError

PACKAGE = Path(__file__).parent.parent
NAME_RULE = "use letters, digits, dots, dashes and underscores, 200 bytes at most"
_LONGEST_NAME = 200
"""Bytes of UTF-8; file systems allow 255, and names of ours get seeds, hashes and endings."""
_LONGEST_PATH = 1_024
"""Bytes; Linux allows 4,096, and Python makes no folders that are a thousand deep."""
_OF_THE_KERNEL = (Path("/proc"), Path("/sys"))


def configuration_folder(name: str) -> Path:
    """conf/ or sweeps/: inside the installed package, or beside it in a checkout."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def absolute(path: Path) -> Path:
    """Return `path` without links and dots. Python 3.11's `resolve` raises RuntimeError for a link to itself, of which
    whoever opens it says enough."""
    return Path(os.path.realpath(path))


def from_cwd(path: Path) -> Path:
    """Return `path` relative to where the command was given, if it is below: so a report names no user's home."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def is_name(text: str) -> bool:
    """Return whether `text` can name a file or folder, as NAME_RULE says."""
    return bool(re.fullmatch(r"\w[\w.-]*", text)) and len(text.encode()) <= _LONGEST_NAME


def require_writable(output: Path) -> None:
    """Raises UserError where nothing could be written into the folder that --output names."""
    if reason := obstacle(absolute(output)):
        raise UserError(f"--output={output}: {reason}; give a folder that can be written")


def obstacle(folder: Path) -> str | None:
    """Return why nothing could be written into the absolute path `folder`, which may have to be made first.

    None: nothing speaks against it. Nothing is made; whether the disk has room is not asked."""
    if len(str(folder).encode(errors="replace")) > _LONGEST_PATH:
        return f"a path of more than {_LONGEST_PATH:,} bytes leaves no room for what is written there"
    if has_lone_surrogates(str(folder)):
        return "its path holds bytes that are no UTF-8, and files of the run name it"
    nearest = folder
    while not os.path.lexists(nearest):
        if len(nearest.name.encode(errors="replace")) > 255:
            return f"{nearest.name[:20]}... is longer than the 255 bytes that the name of a file may have"
        nearest = nearest.parent
    if not nearest.is_dir():
        return f"{nearest} is no folder"
    # Permissions let root write there, and then no file can be made all the same.
    kernel = [path for path in _OF_THE_KERNEL if path.is_mount()]
    if any(nearest.stat().st_dev == path.stat().st_dev for path in kernel):
        return f"{nearest} belongs to the kernel, which lets nobody make a file there"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"{nearest} cannot be written by this user"
    return None
