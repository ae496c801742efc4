"""Imports what workers import, and becomes the one that is asked for, or has each of its forks become one.

Standard input is a socket, over which the parent is told that all is imported, and asks for workers. With a request
come the files that the worker is to have: its log and what it is to hold; for a fork a socket to its parent before
them. Over that socket the parent is told the worker's pid and, once it has ended, its exit status; at its end the
worker is reaped, and so is one that nobody waits for any more.
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

from harness.processes.jobs import WorkerRequest
from harness.processes.standby import ONCE
from harness.workers import lifecycle

_MOST_FILES = 64
_REQUEST_BYTES = 2**16
EVERYTHING = ("bitsandbytes.nn.modules", "llamafactory.train.tuner", "llamafactory.model.adapter")
WITHOUT_DEVICE = ("transformers.trainer_seq2seq", "datasets", "peft", "trl")
"""What LLaMA-Factory imports; itself it asks for bf16, and with that opens the device, as bitsandbytes does."""


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

    def serve(self) -> WorkerRequest:
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

    def _take(self) -> WorkerRequest | None:
        request, files = receive(self._requests)
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
        os.close(self._ended)
        os.close(self._wake)
        write_to(log)

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


def receive(requests: socket.socket) -> tuple[WorkerRequest, list[int]]:
    """Return the next request and its files. Ends the process where the parent has none any more."""
    message, files, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, _MOST_FILES)
    if not message:
        raise SystemExit(0)
    return WorkerRequest.model_validate_json(message), files


def write_to(log: int) -> None:
    """Write to a log from now on, in which belongs too what the imports said; and read nothing."""
    said = os.pread(1, os.fstat(1).st_size, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for file, instead in ((0, nothing), (1, log), (2, log)):
        os.dup2(instead, file)
    for file in (nothing, log):
        os.close(file)
    os.write(1, said)


def import_libraries(*names: str) -> None:
    """Import what a training and a scoring have in common."""
    from harness.workers import compat

    with lifecycle.collector_paused(), compat.compiled_at_first_call():
        compat.prepare_imports()
        for name in names:
            importlib.import_module(name)


def has_opened_device() -> bool:
    """Whether this process has opened an accelerator: its context takes memory of the chip, where another run is
    measured."""
    torch = sys.modules["torch"]
    return any(
        module.is_initialized() for name in ("cuda", "npu") if (module := getattr(torch, name, None)) is not None
    )


def _be_forked(requests: socket.socket) -> WorkerRequest:
    """Serve. Returns in a fork."""
    lifecycle.be_parent()
    import_libraries(*EVERYTHING)
    # It brings numpy along.
    from harness.workers import pages

    touched = pages.touched_of_files()
    requests.send(b"x")
    request = _Server(requests).serve()
    pages.touch(touched)
    return request


def _be_told(requests: socket.socket) -> WorkerRequest:
    """Wait for the one request of this process."""
    import_libraries(*WITHOUT_DEVICE)
    if has_opened_device():
        raise SystemExit(1)
    requests.send(b"x")
    request, files = receive(requests)
    requests.close()
    sys.stdout.flush()
    sys.stderr.flush()
    write_to(files[0])
    return request


def main() -> NoReturn:
    """Be a worker, in this process or in each of its forks."""
    lifecycle.die_with_parent()
    requests = socket.socket(fileno=os.dup(0))
    request = _be_told(requests) if sys.argv[1:] == [ONCE] else _be_forked(requests)
    lifecycle.be_named(request.module.rpartition(".")[2])
    os.chdir(request.folder)
    sys.argv = [request.module, *request.arguments]
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)
    raise SystemExit(0)


if __name__ == "__main__":
    main()
