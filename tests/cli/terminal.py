"""A terminal of its own for a Python program, and what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

ROOT = Path(__file__).parents[2]
COLUMNS, ROWS = 160, 60
_PART = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b\][^\x07]*\x07|([^\x1b])", re.DOTALL)


class Screen:
    """What a terminal shows of what was written to it: the few control codes that rich uses, and no others."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        """What stood there each time before something was erased, and at the end."""
        self._lines = [""]
        self._row = self._column = 0

    def write(self, text: str) -> None:
        for found in _PART.finditer(text):
            count, code, letter = found.groups()
            if letter is not None:
                self._put(letter)
            elif code == "A":
                self._row -= int(count or 1)
                assert self._row >= 0
            elif code == "K":
                if self._lines[self._row]:
                    self.frames.append(str(self))
                self._lines[self._row] = ""
            elif code is not None:
                assert code in "mhl", found[0]
        self.frames.append(str(self))

    def _put(self, letter: str) -> None:
        if letter == "\r":
            self._column = 0
        elif letter == "\n":
            self._row += 1
            self._lines += [""] * (self._row + 1 - len(self._lines))
        else:
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[: self._column] + letter + line[self._column + 1 :]
            self._column += 1

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self._lines)


def on_terminal(program: str, *arguments: str) -> tuple[Screen, int]:
    """Run a Python program whose standard streams are a terminal, and return its screen and exit status."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=inner, stdout=inner, stderr=inner, env=environment
    )
    os.close(inner)
    written = b""
    while True:
        try:
            part = os.read(outer, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        written += part
    os.close(outer)
    screen = Screen()
    screen.write(written.decode())
    return screen, process.wait()


def in_pipe(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program whose output and errors go into one pipe."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
