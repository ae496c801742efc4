"""The one way in which a child process is started, and how it is ended together with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from queue import SimpleQueue
from typing import Any, Protocol, TypeAlias

from harness.processes.jobs import Job

PARENT = "HARNESS_PARENT"
"""The environment variable that tells a worker the pid of the process that it must not outlive."""
_POLL_SECONDS = 0.05
KILL_SECONDS = 10.0
"""How long a process that was killed is waited for."""


class Process(Protocol):
    """A process that this one started, or had started, and that nobody reaps before `end`."""

    pid: int
    returncode: int | None
    """As of Popen; None until the process is known to have ended."""

    def has_ended(self) -> bool:
        """Whether it has. It is not reaped, so that its pid and its group's number stay its own until `end`."""

    def end(self) -> None:
        """Kill what is left of it and of its process group, in which grandchildren outlive it; then reap it."""


class Started(subprocess.Popen[bytes]):
    """A Process that is a child of this one."""

    def has_ended(self) -> bool:
        if self.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:  # Reaped already: this process may have been started with SIGCHLD ignored.
            return True

    def end(self) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            # One that waits for a driver cannot even be killed.
            with suppress(subprocess.TimeoutExpired):
                self.wait(KILL_SECONDS)


def start(command: Sequence[str], **popen_arguments: Any) -> Started:
    """Start `command` in a session of its own, where a Ctrl-C on the terminal reaches the parent alone, which decides.

    `popen_arguments` are subprocess.Popen's; stdin is /dev/null unless they name another. A worker dies with this
    process, not with the thread that calls. Raises OSError where the command cannot be started."""
    given = popen_arguments.get("env")
    environment = {**(os.environ if given is None else given), PARENT: str(os.getpid())}
    arguments = {"stdin": subprocess.DEVNULL, "start_new_session": True, **popen_arguments, "env": environment}
    started: Future[Started] = Future()
    try:
        _orders(os.getpid()).put((started, lambda: Started(command, **arguments)))
        return started.result()
    except KeyboardInterrupt:
        # The process may just be starting, and nobody else will know of it.
        started.add_done_callback(_end_unowned)
        raise


def run_to_end(
    job: Job, environment: Mapping[str, str], timeout_seconds: float | None = None, *, errors_shown: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a short worker, whose job comes by its standard input, and return what it wrote and its exit status.

    `errors_shown`: what it writes to stderr, a hub's progress say, goes to this process's own, and is not returned.
    Raises OSError, and subprocess.TimeoutExpired, with what was written until then, where the worker takes longer."""
    command = job.command("/dev/stdin")
    # Files, not pipes: what a worker leaves running would hold a pipe open for longer than the worker lives.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        streams = {"stdout": output, "stderr": None if errors_shown else errors}
        process = start(command, stdin=subprocess.PIPE, env=environment, **streams)
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(job.model_dump_json().encode())
            deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
            while not (ended := process.has_ended()) and (deadline is None or time.monotonic() < deadline):
                time.sleep(_POLL_SECONDS)
        finally:
            process.end()
        written = []
        for file in (output, errors):
            file.seek(0)
            written.append(file.read().decode(errors="replace"))
    if not ended:
        raise subprocess.TimeoutExpired(command, timeout_seconds or 0.0, *written)
    return subprocess.CompletedProcess(command, process.returncode, *written)


def _end_unowned(started: Future[Started]) -> None:
    if started.exception() is None:
        started.result().end()


_Order: TypeAlias = tuple[Future[Started], Callable[[], Started]]


@cache
def _orders(pid: int) -> SimpleQueue[_Order]:
    """Return where the starting thread of the process `pid` takes its orders; a fork has none of its parent's threads.

    A thread of one's own, not a pool's: a Ctrl-C while a pool makes its first thread leaves one that keeps the process
    from ending. It lives as long as the process, since Linux kills a worker that dies with its parent
    (PR_SET_PDEATHSIG) when the thread that started it ends."""
    orders: SimpleQueue[_Order] = SimpleQueue()

    def serve() -> None:
        while True:
            started, call = orders.get()
            try:
                started.set_result(call())
            except BaseException as error:
                started.set_exception(error)

    threading.Thread(target=serve, name="starter", daemon=True).start()
    return orders
