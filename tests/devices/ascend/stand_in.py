"""An npu-smi for machines without NPUs. Needs no pytest: a sweep or a benchmark may put it on its PATH as well."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[3]


@dataclass
class Call:
    """One call of the stand-in. Times: time.monotonic, one clock for the machine."""

    pid: int
    started: float
    arguments: list[str]
    lc_all: str | None
    holds_lock: bool
    """Whether it inherited the lock of the node."""
    ended: float | None = None
    """None: it was killed, or goes on."""
    children: list[int] = field(default_factory=list)
    """Processes that it started."""


class StandInNpuSmi:
    """Installs itself into folder/bin. What it does may be changed while it runs.

    Modes of `behave`: show; slow (seconds); hang; hang_with_child; leave_child (ends, but not what it started);
    unkillable; endless; follow (chips). `status`: what it exits with.
    Those that hang do so until they are told to behave otherwise, and ignore SIGTERM."""

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()
        self.bin = folder / "bin"
        self._state = folder / "state"
        for part in (self.bin, self._state):
            part.mkdir(parents=True, exist_ok=True)
        self._executable = self.bin / "npu-smi"
        words = ["env", f"PYTHONPATH={_ROOT}", sys.executable, "-m", "tests.devices.ascend.program", str(self._state)]
        self._executable.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        self._executable.chmod(0o755)
        self.behave("show")

    def environment(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """`base`, where this npu-smi is found first."""
        return {**base, "PATH": f"{self.bin}{os.pathsep}{base.get('PATH', '')}"}

    def show(self, info: str | bytes, mapping: str | None = None) -> None:
        """Print these from now on: tables, errors or rubbish."""
        self._write("info.txt", info)
        if mapping is not None:
            self._write("mapping.txt", mapping)
        self.behave("show")

    def answer(self, kind: str, npu_id: int, text: str) -> None:
        """Print this when asked for `info -t KIND -i NPU`, while it shows."""
        self._write(f"{kind}-{npu_id}.txt", text)

    def behave(self, mode: str, **details: Any) -> None:
        self._write("behaviour.json", json.dumps({"mode": mode, **details}))

    def follow(self, chips: int = 8) -> None:
        """Show the memory of the harness's children that have this on their PATH as if it was an NPU's."""
        self.behave("follow", chips=chips)

    def vanish(self) -> None:
        self._executable.unlink()

    def calls(self) -> list[Call]:
        """In the order in which they began."""
        calls: list[Call] = []
        newest: dict[int, Call] = {}
        file = self._state / "calls.jsonl"
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
            note = json.loads(line)
            match note["event"]:
                case "start":
                    call = Call(note["call"], note["time"], note["arguments"], note["lc_all"], note["holds_lock"])
                    newest[call.pid] = call
                    calls.append(call)
                case "end":
                    newest[note["call"]].ended = note["time"]
                case "child":
                    newest[note["call"]].children.append(note["pid"])
        return calls

    def _write(self, name: str, content: str | bytes) -> None:
        temporary = self._state / f"{name}.new"
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(self._state / name)
