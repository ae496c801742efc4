"""The program that stands in for npu-smi: `python -m tests.devices.ascend.program STATE ARGUMENTS`.

It does what STATE/behaviour.json says; see StandInNpuSmi."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.02


class Program:
    def __init__(self, state: Path, arguments: list[str]) -> None:
        self._state = state
        self._arguments = arguments
        self._call = os.getpid()

    def run(self) -> int:
        behaviour = self._behaviour()
        open_files = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        holds_lock = any(file.name == "lock" for file in open_files)
        self._note("start", arguments=self._arguments, lc_all=os.environ.get("LC_ALL"), holds_lock=holds_lock)
        getattr(self, f"_{behaviour['mode']}")(behaviour)
        sys.stdout.flush()
        self._note("end")
        return int(behaviour.get("status", 0))

    def _show(self, behaviour: dict[str, Any]) -> None:
        match self._arguments:
            case ["info"]:
                name = "info.txt"
            case ["info", "-m"]:
                name = "mapping.txt"
            case ["info", "-t", kind, "-i", npu_id]:
                name = f"{kind}-{npu_id}.txt"
            case _:
                name = "nothing"
        file = self._state / name
        sys.stdout.buffer.write(
            file.read_bytes() if file.exists() else b"This device does not support querying that.\n"
        )

    def _slow(self, behaviour: dict[str, Any]) -> None:
        time.sleep(behaviour["seconds"])
        self._show(behaviour)

    def _hang(self, behaviour: dict[str, Any]) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while self._behaviour()["mode"] == behaviour["mode"]:
            time.sleep(POLL_SECONDS)

    def _hang_with_child(self, behaviour: dict[str, Any]) -> None:
        self._fork_hanging(behaviour)
        self._hang(behaviour)

    def _leave_child(self, behaviour: dict[str, Any]) -> None:
        """End, and leave one behind that holds the other end of the pipe."""
        self._fork_hanging(behaviour)

    def _unkillable(self, behaviour: dict[str, Any]) -> None:
        """As one that waits for the driver: what is killed goes, what it had open stays open."""
        if os.fork() == 0:
            os.setsid()
            self._note("child", pid=os.getpid())
            self._hang(behaviour)
            os._exit(0)
        self._hang(behaviour)

    def _endless(self, behaviour: dict[str, Any]) -> None:
        while True:
            sys.stdout.buffer.write(b"| 0 | 0 |\n" * 1000)

    def _follow(self, behaviour: dict[str, Any]) -> None:
        from tests.devices.ascend import follow  # psutil takes long to load for a program that may not need it.

        chips = behaviour["chips"]
        mapping = "-m" in self._arguments
        sys.stdout.write(follow.mapping(chips) if mapping else follow.info(chips, self._state.parent / "bin"))

    def _fork_hanging(self, behaviour: dict[str, Any]) -> None:
        if os.fork() == 0:
            self._note("child", pid=os.getpid())
            self._hang(behaviour)
            os._exit(0)

    def _behaviour(self) -> dict[str, Any]:
        return dict(json.loads((self._state / "behaviour.json").read_bytes()))

    def _note(self, event: str, **more: Any) -> None:
        line = json.dumps({"event": event, "time": time.monotonic(), "call": self._call, **more})
        # One write to a file that is appended to: lines of several calls do not mix.
        descriptor = os.open(self._state / "calls.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(Program(Path(sys.argv[1]), sys.argv[2:]).run())
