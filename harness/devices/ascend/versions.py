"""Versions of what an NPU runs on, from the files that HUAWEI's installers leave: CANN, driver and firmware."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

CANN_VARIABLES = ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH")
"""What `source set_env.sh` sets."""
_ASCEND = Path("usr/local/Ascend")
_DEFAULTS = ("ascend-toolkit/latest", "cann")
"""Up to CANN 8.3 and from 8.5 on, below /usr/local/Ascend, or ~/Ascend when it was not root who installed it."""
_INFO = "ascend_toolkit_install.info"


def find_cann(environment: Mapping[str, str], root: Path, home: Path) -> Path | None:
    """Return the folder that its environment variables name, else one where the installer puts it; None: there is none.

    `root`: what stands before /usr/local."""
    places = [Path(value) for variable in CANN_VARIABLES if (value := environment.get(variable))]
    places += [parent / default for parent in (root / _ASCEND, home / "Ascend") for default in _DEFAULTS]
    return next((place for place in places if place.is_dir()), None)


def cann(home: Path) -> str | None:
    """Return 8.1.RC1, from the file that the installer leaves in CANN's folder; None where it left none."""
    files = (home / _INFO, *sorted(home.glob(f"*-linux/{_INFO}")))
    return next((version for file in files if (version := _version(file, "version"))), None)


def driver(root: Path) -> str | None:
    """Return 23.0.3 of the driver that is installed, which until a reboot may be newer than the one that runs."""
    return _version(root / _ASCEND / "driver/version.info", "Version")


def firmware(root: Path) -> str | None:
    """Return 7.1.0.5.220, the firmware that is installed; None in a container, into which nobody mounts its file."""
    return _version(root / _ASCEND / "firmware/version.info", "Version")


def _version(file: Path, key: str) -> str | None:
    with suppress(OSError):
        text = file.read_text(encoding="utf-8", errors="replace")
        if found := re.search(rf"^{key}=(\S+)", text, re.MULTILINE):
            return found[1]
    return None
