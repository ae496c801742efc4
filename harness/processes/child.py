"""Start, watch and stop a child process, and say how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.base.redaction import redact
from harness.processes.symptoms import Diagnosis, diagnose
from harness.runs.events import Event, EventReader, Failure, FailureCause
from harness.runs.record import Outcome

POLL_SECONDS = 0.2
GRACE_SECONDS = 10.0
TAIL_LINES = 20
_DIAGNOSED_LINES = 2000


_OUTCOMES = {
    FailureCause.ERROR: Outcome.FAILED,
    FailureCause.OUT_OF_MEMORY: Outcome.OUT_OF_MEMORY,
    FailureCause.UNSUPPORTED: Outcome.UNSUPPORTED,
}


class StopChild(Exception):
    """Raised by whoever handles an event to end the child; the message is the reason."""


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    outcome: Outcome
    reason: str | None
    seconds: float
    log_tail: list[str]
    diagnosis: Diagnosis | None = None
    """What its last words mean, if they are known."""


class Child:
    """A process in a group of its own, so that a Ctrl-C on the terminal reaches the parent alone, which decides."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str]) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._oom_kills = _oom_kills()
        self._started = time.monotonic()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        self.pid = self._process.pid

    def follow(self, events: EventReader, handle: Callable[[Event], None]) -> Ended:
        """Pass on events until the child has ended. A KeyboardInterrupt stops it and goes on up."""
        failure: Failure | None = None
        try:
            while True:
                ended = self._process.poll() is not None
                for event in events.new():
                    # The first: of several processes the others fail because that one did.
                    failure = event if isinstance(event, Failure) and failure is None else failure
                    handle(event)
                if ended:
                    break
                time.sleep(POLL_SECONDS)
        except StopChild as stop:
            self.stop()
            return self._ended(Outcome.FAILED, str(stop))
        except BaseException:
            self.stop()
            raise
        self._end_stragglers()
        return self._judge(failure)

    def stop(self) -> None:
        """End the child and everything that it started: politely, then for good."""
        family = list(_family(self.pid))
        for process in family:
            _signal(process, signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=GRACE_SECONDS)
        for process in alive:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=GRACE_SECONDS)
        self._process.wait()
        self._end_stragglers()

    def _end_stragglers(self) -> None:
        """Grandchildren outlive a child that was killed; they are still in its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _judge(self, failure: Failure | None) -> Ended:
        status = self._process.returncode
        if status == 0:
            return self._ended(Outcome.COMPLETED, None)
        if failure is not None:
            return self._ended(_OUTCOMES[failure.cause], failure.error)
        if status == -signal.SIGKILL and _oom_kills() > self._oom_kills:
            return self._ended(Outcome.OUT_OF_MEMORY, "the host ran out of memory and the kernel killed the process")
        if status < 0:
            name = signal.Signals(-status).name
            return self._ended(Outcome.FAILED, f"the process was killed by {name}, not by the harness")
        return self._ended(
            Outcome.FAILED, f"the process ended with status {status} and gave no reason; see {self._log.name}"
        )

    def _ended(self, outcome: Outcome, reason: str | None) -> Ended:
        seconds = time.monotonic() - self._started
        if reason is None:
            return Ended(outcome, None, seconds, [])
        lines = log_tail(self._log, _DIAGNOSED_LINES)
        diagnosis = diagnose("\n".join([redact(reason), *lines]))
        return Ended(outcome, redact(reason), seconds, lines[-TAIL_LINES:], diagnosis)


def log_tail(log: Path, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a log, without secrets."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 256 * 1024))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return redact(text).splitlines()[-lines:]


def _family(pid: int) -> Iterator[psutil.Process]:
    try:
        head = psutil.Process(pid)
        yield from head.children(recursive=True)
        yield head
    except psutil.NoSuchProcess:
        return


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _oom_kills() -> int:
    """How often the kernel has killed for want of memory since boot (Linux 4.13, /proc/vmstat)."""
    try:
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
