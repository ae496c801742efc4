"""Ways to ask the driver for all chips of a node."""

from __future__ import annotations

import math
import os
import selectors
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from typing import Protocol

from harness.devices.npu_smi import InfoTable, parse_error, read_info
from harness.devices.reading import SensorError

COMMAND = "npu-smi"
TIMEOUT_SECONDS = 20.0
"""Users report 1.2 s a call, and over 10 s on a loaded host."""
_MAX_BYTES = 4 * 2**20


class Query(Protocol):
    """One way to ask the driver."""

    name: str
    source: str
    """The file that is asked: what another one said is not this one's answer."""

    def ask(self, lock: int) -> InfoTable:
        """The chips of the node. `lock`: a file descriptor that a process started for this must inherit.

        Raises SensorError."""
        ...


class NpuSmiQuery:
    """Asks by npu-smi, a process for each question."""

    name = COMMAND

    def __init__(self, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.source = shutil.which(COMMAND) or COMMAND
        self._timeout_seconds = timeout_seconds

    def ask(self, lock: int) -> InfoTable:
        text = npu_smi(["info"], self._timeout_seconds, lock)
        table = read_info(text)
        if not table.readings:
            raise SensorError(explain(text))
        return table


def npu_smi(arguments: list[str], timeout_seconds: float = TIMEOUT_SECONDS, lock: int | None = None) -> str:
    """What npu-smi prints, errors included; its exit status tells nothing. Raises SensorError when it does not end."""
    if shutil.which(COMMAND) is None:
        raise SensorError(f"{COMMAND} cannot be started: it is not on the PATH")
    # Should this process be killed first, something else must end an npu-smi that hangs, for it holds the lock.
    limit = ["timeout", "-s", "KILL", str(math.ceil(timeout_seconds) + 2)] if shutil.which("timeout") else []
    try:
        process = subprocess.Popen(
            [*limit, COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"LC_ALL": "C", "LANG": "C"},
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )
    except OSError as error:
        raise SensorError(f"{COMMAND} cannot be started: {error.strerror or error}") from error
    with process.stdout as pipe:  # type: ignore[union-attr]
        output, trouble = _read_all(pipe.fileno(), time.monotonic() + timeout_seconds)
    if trouble is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
    # One that has ended may have left behind what holds the pipe. Not yet waited for, it still keeps its number.
    if trouble is not None or process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # One that waits for the driver cannot even be killed. It keeps the lock until it ends.
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
    if trouble is not None:
        raise SensorError(f"{COMMAND} {' '.join(arguments)}: {trouble.format(seconds=timeout_seconds)}")
    return output.decode(errors="replace")


def explain(text: str) -> str:
    """What is wrong with an output that holds no chip."""
    if known := parse_error(text):
        return f"{COMMAND}: {known.message}: {known.cause}; {known.fix}"
    first = next((line.strip() for line in text.splitlines() if line.strip()), "nothing at all")
    return f"{COMMAND} printed no chip but {first[:120]!r}"


def _read_all(descriptor: int, deadline: float) -> tuple[bytes, str | None]:
    """What comes until the other end is closed, and why it was not waited for."""
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while len(output) < _MAX_BYTES:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return output, "no answer within {seconds:g} s"
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return output, None
            output += chunk
            if time.monotonic() > deadline:
                return output, "no answer within {seconds:g} s"
    return output, "its output does not end"
