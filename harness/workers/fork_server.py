"""Imports what trainings and scorings import, and becomes in each of its forks the worker that is asked for.

Standard input is a socket, over which the parent is told that all is imported, and asks for workers. With a request
come the files that the worker is to have: a socket to its parent, its log, and what it is to hold. Over that socket the
parent is told the worker's pid and, once it has ended, its exit status; at its end the worker is reaped, and so is one
that nobody waits for any more.
"""

from __future__ import annotations

import importlib
import os
import runpy
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from harness.processes.jobs import ForkRequest
from harness.workers import lifecycle

_MOST_FILES = 64
_REQUEST_BYTES = 2**16


@dataclass
class _Worker:
    pid: int
    parent: socket.socket
    is_told: bool = False


class _Server:
    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)
        self._ended, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake = wake
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # Else nothing is written when a child ends.
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._selector.register(self._ended, selectors.EVENT_READ)

    def serve(self) -> ForkRequest:
        """Fork for each request. Returns in a fork, which is then the worker; ends the server with its parent."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._requests:
                    if (request := self._take()) is not None:
                        return request
                elif key.fd == self._ended:
                    self._tell_ends()
                else:
                    self._forget(key.data)

    def _take(self) -> ForkRequest | None:
        message, files, _, _ = socket.recv_fds(self._requests, _REQUEST_BYTES, _MOST_FILES)
        if not message:
            raise SystemExit(0)
        request = ForkRequest.model_validate_json(message)
        parent = socket.socket(fileno=files[0])
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            self._become_worker(parent, files[1])
            return request
        for file in files[1:]:
            os.close(file)
        worker = _Worker(pid, parent)
        self._workers.append(worker)
        self._selector.register(parent, selectors.EVENT_READ, worker)
        return None

    def _become_worker(self, parent: socket.socket, log: int) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        # Of the group that it may be killed with from now on.
        parent.sendall(str(os.getpid()).encode())
        self._selector.close()
        for one in (parent, self._requests, *(worker.parent for worker in self._workers)):
            one.close()
        # What the imports said belongs in this worker's log too.
        said = os.pread(1, os.fstat(1).st_size, 0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for file, instead in ((0, nothing), (1, log), (2, log)):
            os.dup2(instead, file)
        for file in (nothing, log, self._ended, self._wake):
            os.close(file)
        os.write(1, said)

    def _tell_ends(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._ended, 4096)
        for worker in self._workers:
            if worker.is_told:
                continue
            ended = os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if ended is not None:
                worker.is_told = True
                status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                with suppress(OSError):
                    worker.parent.sendall(str(status).encode())

    def _forget(self, worker: _Worker) -> None:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        os.waitpid(worker.pid, 0)
        self._selector.unregister(worker.parent)
        worker.parent.close()
        self._workers.remove(worker)


def import_libraries() -> None:
    """Import what a training and a scoring have in common."""
    from harness.workers import compat

    with lifecycle.collector_paused():
        compat.prepare_imports()
        for name in ("bitsandbytes.nn.modules", "llamafactory.train.tuner", "llamafactory.model.adapter"):
            importlib.import_module(name)


def main() -> NoReturn:
    """Serve, and be a worker in each fork."""
    lifecycle.die_with_parent()
    lifecycle.be_parent()
    requests = socket.socket(fileno=os.dup(0))
    import_libraries()
    # It brings numpy along.
    from harness.workers import pages

    touched = pages.touched_of_files()
    requests.send(b"x")
    request = _Server(requests).serve()
    pages.touch(touched)
    lifecycle.be_named(request.module.rpartition(".")[2])
    os.chdir(request.folder)
    sys.argv = [request.module, *request.arguments]
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)
    raise SystemExit(0)


if __name__ == "__main__":
    main()
