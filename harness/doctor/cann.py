"""CANN, the vendor's toolkit below torch-npu: whether it is here, sourced, and which torch-npu belongs to which."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from packaging.version import Version

from harness.devices.ascend import versions
from harness.doctor.finding import Finding, failed, ok, warning
from harness.doctor.machine import Machine

CANN_OF = {
    "2.12.0": "9.1",
    "2.11.0": "9.1",
    "2.10.0.post4": "9.1",
    "2.9.0.post6": "9.1",
    "2.9.0.post2": "9.0",
    "2.9.0": "8.5",
    "2.8.0.post4": "9.0",
    "2.8.0.post2": "8.5",
    "2.8.0": "8.3",
    "2.7.1.post8": "9.1",
    "2.7.1.post4": "9.0",
    "2.7.1.post2": "8.5",
    "2.7.1": "8.3",
}
"""By torch-npu, newest first: the version tables of Ascend/pytorch. They name no CANN for 2.13.0 and 2.14.0."""
_OLDEST_TORCH = Version("2.9")
"""What this project needs: pyproject.toml."""
_VARIABLES = versions.CANN_VARIABLES
_TRIAL = 'python -c "import torch, torch_npu; print(torch.ones(2).npu() + 1)"'


def find_home(machine: Machine) -> Path | None:
    """Return the folder that its environment variables name, else one where the installer puts it."""
    return versions.find_cann(machine.environment, machine.root, machine.home)


def series(machine: Machine) -> str | None:
    """Return 9.1 of 9.1.0, which decides the torch-npu; None where no CANN, or no version of it, is to be found."""
    home = find_home(machine)
    return _series(versions.cann(home)) if home else None


def examine(machine: Machine) -> Iterator[Finding]:
    """Look whether CANN is there, sourced, and of a version that fits torch-npu."""
    home = find_home(machine)
    if home is None:
        yield from _missing(machine)
        return
    number = versions.cann(home)
    yield _sourced(machine, home, number)
    own = machine.package("torch-npu")
    if own is not None and number is not None:
        yield _fit(own.version.public, number)


def _missing(machine: Machine) -> Iterator[Finding]:
    own = machine.package("torch-npu")
    wanted = CANN_OF.get(own.version.public) if own else None
    named = [f"{name}={machine.environment[name]}" for name in _VARIABLES if machine.environment.get(name)]
    where = f"{' and '.join(named)} names no folder, and " if named else ""
    yield failed(
        "CANN",
        f"{where}none is in /usr/local/Ascend: torch-npu needs its libraries",
        f"install toolkit and ops (kernels) package of CANN {wanted or '9.1'} for this chip from "
        "https://www.hiascend.com/cann/download (in a container: start from an image that has them), then "
        "source /usr/local/Ascend/cann/set_env.sh",
    )


def _sourced(machine: Machine, home: Path, number: str | None) -> Finding:
    script = next((script for script in (home / "set_env.sh", home.parent / "set_env.sh") if script.is_file()), None)
    source = f"source {script or home / 'set_env.sh'}"
    what = f"{number or 'of a version that is not told'} in {home}"
    environment = machine.environment
    missing = [] if any(environment.get(name) for name in _VARIABLES) else [" or ".join(_VARIABLES)]
    operators = environment.get("ASCEND_OPP_PATH")
    if not operators:
        missing.append("ASCEND_OPP_PATH")
    folders = [Path(entry) for entry in environment.get("LD_LIBRARY_PATH", "").split(":") if entry]
    if not any((folder / "libascendcl.so").exists() for folder in folders):
        missing.append("libascendcl.so on LD_LIBRARY_PATH")
    if missing:
        return failed("CANN", f"{what} is not sourced: the environment lacks {', '.join(missing)}", source)
    if operators and not Path(operators).is_dir():
        return failed(
            "CANN",
            f"{what} is sourced, but ASCEND_OPP_PATH={operators} is no folder: the operators are missing",
            f"install the ops (kernels) package of CANN {number or 'the same version'} for this chip from "
            f"https://www.hiascend.com/cann/download, then {source}",
        )
    return ok("CANN", f"{what}, sourced")


def _fit(torch_npu: str, number: str) -> Finding:
    wanted, present = CANN_OF.get(torch_npu), _series(number)
    check = "CANN for torch-npu"
    if wanted is not None and wanted == present:
        return ok(check, f"{number} is the one for torch-npu {torch_npu}")
    pair = newest_for(present) if present else None
    instead = (
        f"pip install torch=={release_of(pair)} --index-url https://download.pytorch.org/whl/cpu && "
        f"pip install torch-npu=={pair}"
        if pair
        else "install CANN 9.1 with torch 2.12.0 and torch-npu 2.12.0, the newest that the vendor's table pairs"
    )
    if wanted is None:
        return warning(
            check,
            f"the vendor's table does not say which CANN torch-npu {torch_npu} needs; {number} is here",
            f"{_TRIAL} prints a tensor where they fit; else {instead}",
        )
    return warning(
        check,
        f"torch-npu {torch_npu} was made for CANN {wanted}, and {number} is here: other pairs may work, or end in "
        "errors that name an operator's binary",
        f"{_TRIAL} prints a tensor where they fit; else install CANN {wanted}, or {instead}",
    )


def _series(number: str | None) -> str | None:
    found = re.match(r"\d+\.\d+", number or "")
    return found[0] if found else None


def torch_npu_for(torch_release: str, cann: str | None) -> str:
    """Return the torch-npu to install beside this torch: for this CANN (9.1) if the table has it, else the newest."""
    posts = [version for version in CANN_OF if release_of(version) == torch_release]
    fitting = [version for version in posts if CANN_OF[version] == cann]
    return next(iter(fitting or posts), torch_release)


def newest_for(cann: str) -> str | None:
    """Return the newest torch-npu for this CANN that the project can use; None: too old, or not in the table."""
    return next((version for version, of in CANN_OF.items() if of == cann and Version(version) >= _OLDEST_TORCH), None)


def release_of(version: str) -> str:
    """Return the torch that a torch-npu belongs to: 2.9.0 of 2.9.0.post2."""
    return Version(version).base_version
