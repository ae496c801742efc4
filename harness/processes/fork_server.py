"""Starts workers whose libraries are imported already: forks of a process that imported them once.

torch, transformers, PEFT and LLaMA-Factory take 9 s of processor time to import, as long as a small model trains. A
fork has them at once, and is a process of its own like any other worker. On a CPU and Linux alone: importing asks
CUDA's and CANN's drivers for devices, and after that no fork may use them.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

from harness.processes.jobs import EvaluationJob, ForkRequest, Job, TrainJob
from harness.processes.start import KILL_SECONDS, Process, start

COMMAND = (sys.executable, "-P", "-m", "harness.workers.fork_server")
_FORKED: tuple[type[Job], ...] = (TrainJob, EvaluationJob)
_MOST = 2
"""Servers at once, of 0.5 GB each: a worker that may use a hub has another environment than one that may not."""


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


class _Server:
    def __init__(self, environment: Mapping[str, str]) -> None:
        """Import, and wait for it. Raises OSError."""
        self.has_libraries = False
        self._requests, theirs = _socket_pair()
        # What the imports say stands in every worker's log.
        with theirs, tempfile.TemporaryFile() as said:
            self._process = start(COMMAND, stdin=theirs, stdout=said, stderr=said, env=environment)
        try:
            with suppress(ConnectionError):
                self.has_libraries = bool(self._requests.recv(1))
        except BaseException:
            self.end()
            raise

    def fork(self, command: Sequence[str], output: IO[bytes], inherited: Sequence[int]) -> Forked | None:
        """Return a worker; None where the server has ended."""
        here, theirs = _socket_pair()
        request = ForkRequest(module=command[3], arguments=list(command[4:]), folder=str(Path.cwd()))
        try:
            with theirs:
                files = [theirs.fileno(), output.fileno(), *inherited]
                socket.send_fds(self._requests, [request.model_dump_json().encode()], files)
            if pid := here.recv(64):
                return Forked(int(pid), here)
        except OSError:
            pass
        except BaseException:
            here.close()  # By which the server knows that nobody wants the worker any more.
            raise
        here.close()
        return None

    def has_ended(self) -> bool:
        return self._process.has_ended()

    def end(self) -> None:
        """End it, and with it its forks."""
        self._requests.close()
        self._process.end()


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends over which each message arrives by itself: a worker's pid, and its status soon after."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def serves(device_kind: str) -> bool:
    """Whether workers on such a device may be forks."""
    return sys.platform == "linux" and device_kind == "cpu"


def can_fork(command: Sequence[str]) -> bool:
    """Whether a command is one that a fork can do: one process of a training or of a scoring."""
    return tuple(command[:4]) in {tuple(job.command("")[:4]) for job in _FORKED}


def prepare(environment: Mapping[str, str], note: Callable[[str], None] = lambda text: None) -> None:
    """Have the libraries imported, for forks with the whole `environment`, and wait for it; `note` hears that it is so.

    Raises OSError."""
    servers = _servers(os.getpid())
    key = _key(environment)
    # One that could not import would not the next time either.
    if key in servers and servers[key].has_libraries and servers[key].has_ended():
        servers.pop(key).end()
    if key not in servers:
        while len(servers) >= _MOST:
            servers.popitem(last=False)[1].end()
        note("importing torch and LLaMA-Factory, once for the runs of this process")
        servers[key] = _Server(environment)
    servers.move_to_end(key)


def fork(
    command: Sequence[str], output: IO[bytes], environment: Mapping[str, str], inherited: Sequence[int]
) -> Process | None:
    """Return a fork that does `command`, with `environment`, the descriptors `inherited` and its output in `output`.

    None where that fails: a process of its own will say why. Raises OSError."""
    prepare(environment)
    server = _servers(os.getpid())[_key(environment)]
    return server.fork(command, output, inherited) if server.has_libraries else None


def close() -> None:
    """End all servers of this process. Their forks end with them."""
    servers = _servers(os.getpid())
    while servers:
        servers.popitem()[1].end()


def _key(environment: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(environment.items())


@cache
def _servers(pid: int) -> OrderedDict[frozenset[tuple[str, str]], _Server]:
    """Those of the process `pid`, the one used last at the end; a fork has none of its parent's."""
    return OrderedDict()
