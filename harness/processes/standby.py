"""Starts workers whose libraries are imported already.

torch, transformers, PEFT and LLaMA-Factory take 9 s of processor time to import, as long as a small model trains. On a
CPU a worker is a fork of a process that imported them once: it has them at once, and is a process of its own like any
other. Importing may ask CUDA's and CANN's drivers for devices, after which no fork may use them. There a training is
the very process that imported for it, without LLaMA-Factory, which opens the device; the next one's imports while this
one is scored. On Linux alone.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import IO, TypeAlias

import psutil

from harness.devices import cgroup
from harness.processes.jobs import EvaluationJob, Job, TrainJob, WorkerRequest
from harness.processes.start import KILL_SECONDS, Process, start

COMMAND = (sys.executable, "-P", "-m", "harness.workers.standby")
ONCE = "--once"
"""The argument of a process that is to be a worker itself."""
_FORKED: tuple[type[Job], ...] = (TrainJob, EvaluationJob)
_MOST = 2
"""Processes on standby at once, of 0.5 GB each: a worker that may use a hub has another environment than one that may
not."""
_ROOM_BYTES = 2**32
"""What must be left of the host's memory for imports beside a scoring."""

StartReady: TypeAlias = Callable[[Sequence[str], IO[bytes], Mapping[str, str], Sequence[int]], Process | None]
"""Starts a command with its output in a file, an environment and inherited descriptors; None where that fails, and a
process of its own will say why. Raises OSError."""


class Forked:
    """A fork of a server: its child, and by that no child of this process, which hears of it through a socket.

    The server does not reap it before it is told to, so that its pid and its group's number stay its own until then."""

    def __init__(self, pid: int, server: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server

    def has_ended(self) -> bool:
        """Whether it has ended; it is not reaped."""
        if self.returncode is None:
            self._server.setblocking(False)
            with suppress(BlockingIOError):
                self._hear()
        return self.returncode is not None

    def end(self) -> None:
        """Kill what is left of it and of its process group, and have it reaped."""
        if self._server.fileno() < 0:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with self._server:
            self._server.settimeout(KILL_SECONDS)
            with suppress(TimeoutError, OSError):
                if self.returncode is None:
                    self._hear()
                self._server.shutdown(socket.SHUT_WR)
                self._server.recv(1)

    def _hear(self) -> None:
        try:
            told = self._server.recv(64)
        except ConnectionError:
            told = b""
        # A server that is dead has taken its forks along.
        self.returncode = int(told) if told else -signal.SIGKILL


class _Importer:
    """A process that imports, and then forks workers or, started with ONCE, becomes one."""

    def __init__(self, environment: Mapping[str, str], *options: str) -> None:
        """Start it, and do not wait for it. Raises OSError."""
        self._requests, theirs = _socket_pair()
        # What the imports say stands in every worker's log.
        with theirs, tempfile.TemporaryFile() as said:
            self._process = start((*COMMAND, *options), stdin=theirs, stdout=said, stderr=said, env=environment)

    @cached_property
    def has_libraries(self) -> bool:
        """Whether all is imported, for which this waits; False: it could not be, or not without opening the device."""
        with suppress(ConnectionError):
            return bool(self._requests.recv(1))
        return False

    def fork(self, command: Sequence[str], output: IO[bytes], inherited: Sequence[int]) -> Forked | None:
        """Return a worker; None where the process has ended."""
        here, theirs = _socket_pair()
        try:
            with theirs:
                self._ask(command, theirs.fileno(), output.fileno(), *inherited)
            if pid := here.recv(64):
                return Forked(int(pid), here)
        except OSError:
            pass
        except BaseException:
            here.close()  # By which the server knows that nobody wants the worker any more.
            raise
        here.close()
        return None

    def become(self, command: Sequence[str], output: IO[bytes], inherited: Sequence[int]) -> Process | None:
        """Return the process as a worker; None where it has ended."""
        try:
            self._ask(command, output.fileno(), *inherited)
        except BaseException as error:
            self.end()
            if isinstance(error, OSError):
                return None
            raise
        self._requests.close()
        return self._process

    def _ask(self, command: Sequence[str], *files: int) -> None:
        request = WorkerRequest(module=command[3], arguments=list(command[4:]), folder=str(Path.cwd()))
        socket.send_fds(self._requests, [request.model_dump_json().encode()], files)

    def has_ended(self) -> bool:
        return self._process.has_ended()

    def end(self) -> None:
        """End it, and with it its forks."""
        self._requests.close()
        self._process.end()


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends over which each message arrives by itself: a worker's pid, and its status soon after."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def for_command(command: Sequence[str], device_kind: str) -> StartReady | None:
    """Return what starts a worker on such a device whose libraries are there: one process of a training or, on a CPU,
    of a scoring. None: nothing does."""
    if sys.platform != "linux":
        return None
    if device_kind == "cpu":
        return fork if _is_of(command, _FORKED) else None
    return become if _is_of(command, (TrainJob,)) else None


def prepare(environment: Mapping[str, str], device_kind: str, note: Callable[[str], None] = lambda text: None) -> None:
    """Have the libraries imported for a training with the whole `environment`, and wait for it, which `note` hears.

    Raises OSError."""
    if sys.platform == "linux":
        _ready(_Key.of(environment, device_kind), note).has_libraries  # noqa: B018


def prepare_next(environment: Mapping[str, str], device_kind: str) -> None:
    """Have the libraries imported for the next training while another worker is at it, where memory has room for that.

    Where it cannot be started, the next training will say why."""
    host_bytes, container_bytes = psutil.virtual_memory().available, cgroup.memory_left_bytes()
    room_bytes = host_bytes if container_bytes is None else min(host_bytes, container_bytes)
    if sys.platform == "linux" and room_bytes >= _ROOM_BYTES:
        with suppress(OSError):
            _ready(_Key.of(environment, device_kind))


def fork(
    command: Sequence[str], output: IO[bytes], environment: Mapping[str, str], inherited: Sequence[int]
) -> Process | None:
    """Start a fork of a process that has imported, for a CPU. See StartReady."""
    server = _ready(_Key.of(environment, "cpu"))
    return server.fork(command, output, inherited) if server.has_libraries else None


def become(
    command: Sequence[str], output: IO[bytes], environment: Mapping[str, str], inherited: Sequence[int]
) -> Process | None:
    """Have a process that has imported go on with the command, for an accelerator. See StartReady."""
    importers, key = _importers(os.getpid()), _Key.of(environment, "accelerator")
    # One that could not import stays, so that it is not tried again.
    if key not in importers or not importers[key].has_libraries:
        return None
    return importers.pop(key).become(command, output, inherited)


def close() -> None:
    """End what this process has on standby. Forks end with what they are forks of."""
    importers = _importers(os.getpid())
    while importers:
        importers.popitem()[1].end()


@dataclass(frozen=True)
class _Key:
    forks: bool
    environment: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, environment: Mapping[str, str], device_kind: str) -> _Key:
        return cls(device_kind == "cpu", frozenset(environment.items()))


def _is_of(command: Sequence[str], jobs: Iterable[type[Job]]) -> bool:
    return tuple(command[:4]) in {tuple(job.command("")[:4]) for job in jobs}


def _ready(key: _Key, note: Callable[[str], None] = lambda text: None) -> _Importer:
    """One that has imported, or is at it."""
    importers = _importers(os.getpid())
    # One that could not import would not the next time either.
    if key in importers and importers[key].has_ended() and importers[key].has_libraries:
        importers.pop(key).end()
    if key not in importers:
        while len(importers) >= _MOST:
            importers.popitem(last=False)[1].end()
        note("importing torch, transformers and PEFT, which is not the runs' time")
        importers[key] = _Importer(dict(key.environment), *([] if key.forks else [ONCE]))
    importers.move_to_end(key)
    return importers[key]


@cache
def _importers(pid: int) -> OrderedDict[_Key, _Importer]:
    """Those of the process `pid`, the one used last at the end; a fork has none of its parent's."""
    return OrderedDict()
