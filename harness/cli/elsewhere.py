"""Runs that go on in other processes, in one terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Group
from rich.live import Live
from rich.markup import escape

from harness.cli.status import summary, table
from harness.cli.terminal import Terminal
from harness.runs.folder import SweepFolder
from harness.runs.status import Watch

_LOOK_SECONDS = 0.5


class Elsewhere:
    """Prints the lines that other processes write, and on a terminal shows below them where their runs are."""

    def __init__(
        self, sweeps: Sequence[SweepFolder], free_chips: Callable[[], tuple[int, int] | None], console: Terminal
    ) -> None:
        self._sweeps = sweeps
        self._free_chips = free_chips
        self._console = console
        self._watches = [Watch(sweep) for sweep in sweeps]
        self._read = {file: file.stat().st_size for file in self._files()}
        """Bytes of each file that were printed, or are of an earlier command."""
        self._is_over = threading.Event()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._thread = threading.Thread(target=self._follow, name="elsewhere", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Print what is left, and give the terminal back."""
        self._is_over.set()
        self._thread.join()

    def _follow(self) -> None:
        if self._live is None:
            while not self._is_over.wait(_LOOK_SECONDS):
                self._print_new()
        else:
            with self._live:
                while not self._is_over.wait(_LOOK_SECONDS):
                    self._print_new()
                    self._live.update(self._shown(), refresh=True)
        self._print_new()

    def _files(self) -> list[Path]:
        return [file for sweep in self._sweeps for file in sorted(sweep.lines.glob("*.txt"))]

    def _print_new(self) -> None:
        for file in self._files():
            with suppress(OSError), file.open("rb") as opened:
                opened.seek(self._read.get(file, 0))
                whole, end, _ = opened.read().rpartition(b"\n")
                self._read[file] = self._read.get(file, 0) + len(whole) + len(end)
                for line in whole.decode(errors="replace").splitlines() if end else []:
                    self._console.print(escape(line))

    def _shown(self) -> Group:
        looks = [watch.look() for watch in self._watches]
        free = self._free_chips()
        chips = "" if free is None else f"; {free[0]} of {free[1]} chips free"
        return Group(*(part for look in looks for part in (table(look, only_running=True), summary(look) + chips)))
