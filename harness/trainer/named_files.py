"""The files and folders that arguments of LLaMA-Factory's name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.trainer.fields import NAMES_FILES


def named(arguments: Mapping[str, Any], root: Path) -> dict[str, list[Path | str]]:
    """Return by argument what it names, of those that name a file or folder which is here: that with its absolute path,
    and anything else, which a hub may have, as it is written. Relative paths are meant from the folder `root`."""
    found = {
        name: [_absolute(part, root) for part in parts_of(value)]
        for name, value in arguments.items()
        # DeepSpeed's and FSDP's may be the configuration itself.
        if name in NAMES_FILES and isinstance(value, str | list)
    }
    return {name: places for name, places in found.items() if any(isinstance(place, Path) for place in places)}


def located(arguments: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Return arguments with absolute paths: chat and merge are started elsewhere than the training."""
    return dict(arguments) | {name: ",".join(map(str, places)) for name, places in named(arguments, root).items()}


def parts_of(value: object) -> list[str]:
    """Return the names in an argument that LLaMA-Factory parts at commas."""
    listed = value if isinstance(value, list) else str(value or "").split(",")
    return [part for name in listed if (part := str(name).strip())]


def _absolute(name: str, root: Path) -> Path | str:
    path = root.absolute() / Path(name).expanduser()
    return path if path.exists() else name
