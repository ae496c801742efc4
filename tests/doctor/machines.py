"""A machine for tests: real files in a folder that stands for /, and stand-ins for what only hardware can say."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.doctor.finding import Finding, State
from harness.doctor.machine import Machine

GIB = 2**30
IDLE_910B2 = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 23.0.3                   Version: 23.0.3                                               |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 2     910B2               | OK            | 90.2        48                0    / 0             |
| 0                         | 0000:01:00.0  | 0           0    / 0          3334 / 65536         |
+===========================+===============+====================================================+
| 5     910B2               | OK            | 91.0        47                0    / 0             |
| 0                         | 0000:02:00.0  | 0           0    / 0          3331 / 65536         |
+===========================+===============+====================================================+
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| No running processes found in NPU 2                                                            |
+===========================+===============+====================================================+
| No running processes found in NPU 5                                                            |
+===========================+===============+====================================================+
"""
DEVICE_FILES = ("davinci0", "davinci1", "davinci_manager", "devmm_svm", "hisi_hdc")


class Sandbox:
    """A plain CPU machine with nothing installed, until a test puts something there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.site, self.commands, self.home, self.work = (
            folder / name for name in ("root", "site", "commands", "home", "work")
        )
        for place in (self.root / "dev", self.site, self.commands, self.home, self.work):
            place.mkdir(parents=True)
        self._monkeypatch = monkeypatch
        for name in [
            name for name in os.environ if name.startswith(("ASCEND", "SWANLAB", "CUDA", "PYTORCH", "MASTER"))
        ]:
            monkeypatch.delenv(name)
        for name in (
            "LD_LIBRARY_PATH",
            "HF_HOME",
            "http_proxy",
            "HTTP_PROXY",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
            "no_proxy",
            "NO_PROXY",
        ):
            monkeypatch.delenv(name, raising=False)
        self.set("PATH", self.commands)
        self.set("HARNESS_CACHE", self.home / "cache")

    def set(self, name: str, value: object) -> None:
        self._monkeypatch.setenv(name, str(value))

    def install(self, name: str, version: str, needs: Iterable[str] = (), version_file: str | None = None) -> None:
        """As pip leaves a package behind."""
        metadata = self.site / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        requirements = "".join(f"Requires-Dist: {need}\n" for need in needs)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirements}")
        if version_file is not None:
            file = self.site / name / "version.py"
            file.parent.mkdir()
            file.write_text(version_file)

    def install_torch(self, version: str, cuda: str | None = None) -> None:
        shown = None if cuda is None else f"'{cuda}'"
        self.install("torch", version, version_file=f"__version__ = '{version}'\ncuda: Optional[str] = {shown}\n")

    def put(self, path: str, text: str = "") -> Path:
        """A file of the system."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def give_npus(self, table: str = IDLE_910B2) -> None:
        """Device files, and an npu-smi that prints this."""
        for name in DEVICE_FILES:
            self.put(f"dev/{name}")
        self.npu_smi(f"print({table!r}, end='')")

    def npu_smi(self, program: str) -> None:
        command = self.commands / "npu-smi"
        command.write_text(f"#!{sys.executable}\nimport time\n{program}\n")
        command.chmod(0o755)

    def install_cann(self, number: str, home: str = "usr/local/Ascend/ascend-toolkit/latest") -> Path:
        info = f"package_name=Ascend-cann-toolkit\nversion={number}\ninnerversion=V100R001C21SPC001B238\n"
        folder = self.put(f"{home}/aarch64-linux/ascend_toolkit_install.info", info).parent.parent
        (folder / "lib64").mkdir()
        (folder / "lib64" / "libascendcl.so").touch()
        (folder / "opp").mkdir()
        (folder.parent / "set_env.sh").touch()
        return folder

    def source(self, cann: Path) -> None:
        self.set("ASCEND_HOME_PATH", cann)
        self.set("ASCEND_OPP_PATH", cann / "opp")
        self.set("LD_LIBRARY_PATH", f"/somewhere/else:{cann}/lib64")

    def current(self, **changes: Any) -> Machine:
        usual = {resource.RLIMIT_NOFILE: 20000, resource.RLIMIT_NPROC: 90000, resource.RLIMIT_MEMLOCK: 8 * 2**20}
        machine = replace(
            Machine.current(),
            working_folder=self.work,
            home=self.home,
            package_folders=(str(self.site),),
            root=self.root,
            disk_total_bytes=lambda folder: 100 * GIB,
            disk_free_bytes=lambda folder: 50 * GIB,
            available_memory_bytes=lambda: 32 * GIB,
            soft_limit=usual.__getitem__,
        )
        return replace(machine, **changes)


def only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


def troubles(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.state is not State.OK]
