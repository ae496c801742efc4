"""One question to the driver at a time, and one answer for all runs on a node.

Neither npu-smi nor DCMI may be used concurrently (HUAWEI, npu-smi and DCMI references, constraints), and a call takes
over a second. So the runs of a user share a lock and the last answer, in a folder of the machine's temporary ones:
whoever needs a newer one asks, the others read along.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from harness.base.locks import flock_at_once
from harness.devices.ascend.query import TIMEOUT_SECONDS, Query
from harness.devices.npu_smi import NpuReading
from harness.devices.reading import SensorError

_LONGEST_PAUSE_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 2.0
_FORGOTTEN_SECONDS = 10 * _LONGEST_PAUSE_SECONDS
_LOCK_POLL_SECONDS = 0.02


class Answer(BaseModel):
    """What the last question brought. Times of `asked` and `not_before`: time.monotonic, one clock for the machine."""

    source: str
    asked: float
    moment: float
    """Seconds since the epoch, in the middle between question and answer."""
    readings: list[NpuReading] = []
    problems: list[str] = []
    error: str | None = None
    failures: int = 0
    """In a row, this one included."""
    not_before: float = 0.0
    """The next question has to wait until then."""


class SharedDriver:
    """The chips of this machine, asked for at most once an interval however many runs look."""

    def __init__(self, query: Query, interval_seconds: float, folder: Path | None = None) -> None:
        self.name = query.name
        self._query = query
        self._interval = interval_seconds
        # One lock for all ways of asking, since they ask the same driver; answers are each way's own.
        self._folder = folder or Path(tempfile.gettempdir()) / f"harness-npu-{os.getuid()}"
        self._file = self._folder / f"{query.name}.json"
        self._seen = 0.0

    def read(self) -> Answer | None:
        """Return an answer that this object has not given before, asked for within the last interval.

        Waits for it up to half an interval, and 2 s. None: for longer than that there will be none.
        Raises SensorError: the question failed, or waits because the last ones failed or took longer than the interval.
        """
        began = time.monotonic()
        while True:
            with self.alone(TIMEOUT_SECONDS) as lock:
                last = self._last()
                if last is None:
                    return self._give(self._ask(lock, 0))
                if last.error is None and began - last.asked < self._interval and last.asked > self._seen:
                    return self._give(last)
                now = time.monotonic()
                due = last.not_before if last.error else max(last.not_before, last.asked + self._interval)
                if now >= due:
                    return self._give(self._ask(lock, last.failures))
                if last.error is not None:
                    raise SensorError(last.error)
            if last.not_before - now > self._interval:
                raise SensorError(f"{self.name} takes longer than the interval and is asked less often")
            # A run reads when its workers start and at its end, too, and must not be held up by that.
            if now - last.asked < max(self._interval / 2, self._interval - _LONGEST_WAIT_SECONDS):
                return None
            time.sleep(due - now)

    def _give(self, answer: Answer) -> Answer:
        if answer.error is not None:
            raise SensorError(answer.error)
        self._seen = answer.asked
        return answer

    def _ask(self, lock: int, failures: int) -> Answer:
        asked, moment = time.monotonic(), time.time()
        try:
            table = self._query.ask(lock)
            took = time.monotonic() - asked
            # At most half of the time: a driver that is slow is slow for the training too.
            answer = Answer(
                source=self._query.source,
                asked=asked,
                moment=moment + took / 2,
                readings=table.readings,
                problems=table.problems,
                not_before=asked + took + min(_LONGEST_PAUSE_SECONDS, took),
            )
        except SensorError as error:
            pause = min(_LONGEST_PAUSE_SECONDS, self._interval * 2**failures)
            answer = Answer(
                source=self._query.source,
                asked=asked,
                moment=moment,
                error=str(error),
                failures=min(failures + 1, 16),
                not_before=time.monotonic() + pause,
            )
        self.keep(self._file.name, answer)
        return answer

    def _last(self) -> Answer | None:
        try:
            answer = Answer.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return None
        if answer.source != self._query.source:
            return None
        # Otherwise it is from before a reboot, when the clock began anew, or nonsense; or a failure that is long past.
        now = time.monotonic()
        if not answer.asked <= now or not answer.not_before <= now + _LONGEST_PAUSE_SECONDS:
            return None
        return None if answer.error is not None and now - answer.asked > _FORGOTTEN_SECONDS else answer

    def keep(self, name: str, what: BaseModel) -> None:
        """Keep `what` for the other processes of this user. Only inside of `alone`."""
        # Nobody reads it meanwhile, and half of a JSON object is none: a lost answer costs one more question, where
        # syncing each would cost the training a write to the disk every interval.
        file = self._folder / name
        try:
            file.write_text(what.model_dump_json(), encoding="utf-8")
        except OSError:  # A full disk costs the sharing, not the reading.
            with suppress(OSError):
                file.unlink(missing_ok=True)

    def kept(self, name: str) -> bytes | None:
        """Return what was kept as `name`; None: nothing that can be read. Only inside of `alone`."""
        with suppress(OSError):
            return (self._folder / name).read_bytes()
        return None

    @contextmanager
    def alone(self, patience_seconds: float) -> Iterator[int]:
        """Let nobody else ask the driver meanwhile. Yields what a process that is started for it must inherit.

        flock, and not a lock of this process: an npu-smi that hangs inherits it and keeps the next one away.
        Raises SensorError."""
        try:
            descriptor = self._acquire(patience_seconds)
        except OSError as error:
            raise SensorError(f"{self._folder}: {error.strerror}; set TMPDIR to a local folder") from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _acquire(self, patience_seconds: float) -> int:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        status = self._folder.lstat()
        if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
            raise SensorError(f"{self._folder} is a link or belongs to another user: remove it or set TMPDIR")
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + patience_seconds
        try:
            while True:
                if flock_at_once(descriptor):
                    return descriptor
                if time.monotonic() > deadline:
                    raise SensorError(f"another call of {self.name} has not ended yet")
                time.sleep(_LOCK_POLL_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise
