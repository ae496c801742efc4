"""Starts, follows and stops a child process, and says how it ended."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from harness.base.redaction import redact
from harness.processes.standby import StartReady
from harness.processes.start import Process, start
from harness.processes.symptoms import diagnose
from harness.runs.events import Event, EventReader, Failure, FailureCause
from harness.runs.record import Diagnosis, Outcome

POLL_SECONDS = 0.2
GRACE_SECONDS = 10.0
TAIL_LINES = 20
_DIAGNOSED_LINES = 2000
_READ_BYTES = 256 * 1024

_RANK_KILLED = re.compile(rf"exitcode\s*: -{int(signal.SIGKILL)}\b")
"""What torchrun, which itself ends with status 1, says of a process that was killed."""


_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
"""Signals that a process does not bring about itself."""


class StopChild(Exception):
    """Raised by whoever handles an event to end the child; the message is the reason."""


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    outcome: Outcome
    reason: str | None
    """None: it completed."""
    seconds: float
    """Wall time since its start."""
    log_tail: list[str]
    """The last lines that it wrote, without secrets; none where it completed."""
    diagnosis: Diagnosis | None = None
    """What its last words mean, if they are known."""
    transient: bool = False
    """Whether what ended it may pass: it was killed and nobody here wanted that, or the diagnosis says so."""


def oom_kills(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how often the kernel has killed for want of memory: in this process's cgroup (cgroup v2, memory.events),
    or, where that counts nothing, on the whole machine since it was booted (Linux 4.13, /proc/vmstat)."""
    try:
        for line in (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                counts = (cgroups / line.removeprefix("0::").lstrip("/") / "memory.events").read_text(encoding="ascii")
                return int(dict(count.split() for count in counts.splitlines())["oom_kill"])
    except (OSError, KeyError):
        pass
    try:
        counts = (proc / "vmstat").read_text(encoding="ascii")
        return int(dict(count.split() for count in counts.splitlines())["oom_kill"])
    except (OSError, KeyError):
        return 0


class Child:
    """A process in a group of its own that reports events, and its output in a log."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        inherited: Sequence[int] = (),
        oom_kills: Callable[[], int] = oom_kills,
        start_ready: StartReady | None = None,
    ) -> None:
        """Start `command` with the whole `environment`; its output is appended to `log`.

        `inherited`: file descriptors that it is to hold. `oom_kills` counts what the kernel has killed for want of
        memory. `start_ready` starts it with its libraries imported, where it can. Raises OSError."""
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._count_oom_kills = oom_kills
        self._oom_kills = oom_kills()
        self._started = time.monotonic()
        with log.open("ab") as output:
            self._log_start = output.tell()
            ready = start_ready(command, output, environment, inherited) if start_ready else None
            self._process: Process = ready or start(
                command, stdout=output, stderr=output, env=environment, pass_fds=tuple(inherited)
            )
        self.pid = self._process.pid

    def follow(self, events: EventReader, handle: Callable[[Event], None]) -> Ended:
        """Pass on events until the child has ended, and return how. A KeyboardInterrupt stops it and goes on up.

        A StopChild that `handle` raises ends the child; whatever else it raises does too, and goes on up."""
        failure: Failure | None = None
        try:
            while True:
                ended = self._process.has_ended()
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
        self._process.end()
        return self._judge(failure)

    def stop(self) -> None:
        """End the child and everything that it started: politely, then for good."""
        family = _family(self.pid)
        for process in family:
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while (family := [process for process in family if _runs(process)]) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 4)
        for process in family:
            _signal(process, signal.SIGKILL)
        self._process.end()

    def _judge(self, failure: Failure | None) -> Ended:
        status = self._process.returncode
        assert status is not None, "it has ended"
        if status == 0:
            return self._ended(Outcome.COMPLETED, None)
        if (failure is None or failure.cause is FailureCause.ERROR) and self._was_killed_for_memory(status):
            return self._ended(Outcome.OUT_OF_MEMORY, "the host ran out of memory and the kernel killed the process")
        if failure is not None:
            outcome = Outcome.FAILED if failure.cause is FailureCause.ERROR else Outcome(failure.cause)
            return self._ended(outcome, failure.error)
        if status < 0:
            number = signal.Signals(-status)
            ended = self._ended(Outcome.FAILED, f"the process was killed by {number.name}, not by the harness")
            return replace(ended, transient=ended.transient or number in _FROM_OUTSIDE)
        return self._ended(
            Outcome.FAILED, f"the process ended with status {status} and gave no reason; see {self._log.name}"
        )

    def _was_killed_for_memory(self, status: int) -> bool:
        if self._count_oom_kills() <= self._oom_kills:
            return False
        return status == -signal.SIGKILL or _RANK_KILLED.search("\n".join(self._tail())) is not None

    def _ended(self, outcome: Outcome, reason: str | None) -> Ended:
        seconds = time.monotonic() - self._started
        if reason is None:
            return Ended(outcome, None, seconds, [])
        lines = self._tail()
        # At the end: it is known for sure, and of several processes it is the first that failed.
        diagnosis = diagnose("\n".join([*lines, redact(reason)]))
        transient = outcome is Outcome.FAILED and diagnosis is not None and diagnosis.transient
        return Ended(outcome, redact(reason), seconds, lines[-TAIL_LINES:], diagnosis, transient)

    def _tail(self) -> list[str]:
        """Of this child alone: an earlier one may have written to the same log."""
        return log_tail(self._log, _DIAGNOSED_LINES, self._log_start)


def log_tail(log: Path, lines: int = TAIL_LINES, start: int = 0) -> list[str]:
    """Return the last lines of a log, from its byte `start` on, without secrets; none where it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - _READ_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return redact(text).splitlines()[-lines:]


def _family(pid: int) -> list[psutil.Process]:
    """A process after all that it started, and that they started."""
    try:
        head = psutil.Process(pid)
        return [*head.children(recursive=True), head]
    except psutil.NoSuchProcess:
        return []


def _runs(process: psutil.Process) -> bool:
    """Whether it has not ended yet. Who is to reap it may be slow to, or be this very process."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
