"""The parent's end of tracking: starts the process that talks to SwanLab, and never waits for it during a run."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from harness.base.paths import from_cwd
from harness.base.redaction import redact
from harness.processes.child import log_tail
from harness.processes.jobs import TrackingJob
from harness.processes.start import Started, start
from harness.runs.events import read_losses
from harness.runs.record import Tracking
from harness.tracking.said import Said, Weight
from harness.tracking.symptoms import diagnose

FINISH_SECONDS = 20.0
"""How long a finished run waits for SwanLab's last records."""
TROUBLED_SECONDS = 5.0
"""That where SwanLab could send nothing of late: all of it is on the disk, and `swanlab sync` sends it."""
_OF_LATE_SECONDS = 90.0
"""SwanLab waits for a minute for each answer, and tells every half minute that it could not send."""
_LAST_WORDS_SECONDS = 2.0
_MOST_HINTS = 10


class Tracker:
    """Has a run tracked from its creation to `finish`. Nothing that goes wrong with it is an error."""

    def __init__(self, job: TrackingJob, job_file: Path, log: Path, warn: Callable[[str], None]) -> None:
        """Start to track; the job is written to `job_file`, and SwanLab's output to `log`.

        `warn` is told, by another thread, what goes wrong when it does: the problem, its cause and what helps."""
        self._job = job
        self._log = log
        self._warn = warn
        self._tracking = Tracking(mode=job.mode)
        self._failing = threading.Lock()
        self._hints: deque[str] = deque(maxlen=_MOST_HINTS)
        self._troubled: float | None = None
        """When SwanLab last could not send."""
        self._losses = 0
        self._folder: Path | None = None
        self._process: Started | None = None
        self._listener: threading.Thread | None = None
        if job.mode != "disabled":
            self._start(job_file)

    def _start(self, job_file: Path) -> None:
        try:
            command = self._job.write(job_file)
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab") as output:
                self._process = start(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=output,
                    # CUDA is none of its business, and it must not be slowed by the training nor slow it.
                    env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
                )
            self._listener = threading.Thread(target=self._listen, args=(self._process,), name="tracker", daemon=True)
            self._listener.start()
        except Exception as error:
            self._fail(f"SwanLab could not be started: {type(error).__name__}: {error}")

    def finish(self, seconds: float = FINISH_SECONDS) -> Tracking:
        """Let the tracker log what it has not logged yet, for `seconds` at most, end it, and return how it went."""
        if self._process is not None and self._process.stdin is not None and self._listener is not None:
            with suppress(OSError):
                self._process.stdin.close()  # The end of its stdin is the end of the run.
            if self._troubled is not None and time.monotonic() - self._troubled < _OF_LATE_SECONDS:
                seconds = min(seconds, TROUBLED_SECONDS)
            try:
                self._listener.join(seconds)
                if self._listener.is_alive():
                    self._fail(
                        f"SwanLab took over {seconds:.0f} s to finish and was ended; the run's own files are whole"
                    )
            finally:
                self._process.end()
            self._listener.join(_LAST_WORDS_SECONDS)
        return self._tracking.model_copy(update={"missing_losses": self._missing_losses()})

    def _missing_losses(self) -> int | None:
        """How many SwanLab was not told at least; None: none, or nobody knows."""
        if self._tracking.problem is None or (self._process is not None and self._process.returncode == 0):
            return None
        with suppress(OSError):
            # A training that was taken up again reports steps twice, which SwanLab is told once.
            reported = {(loss.kind, loss.step) for loss in read_losses(self._job.events)}
            return max(0, len(reported) - self._losses) or None
        return None

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                with suppress(ValidationError):  # Cut off where it was killed.
                    self._hear(Said.model_validate_json(line))
        if status := process.wait():
            self._fail(self._ended(status))

    def _ended(self, status: int) -> str:
        if status < 0:
            return f"SwanLab's process was killed by {signal.Signals(-status).name}"
        return f"SwanLab's process ended with status {status}: {' '.join(log_tail(self._log, 1))}"

    def _hear(self, said: Said) -> None:
        self._folder = said.folder or self._folder
        self._losses = said.losses or self._losses
        if said.weight is Weight.FAILURE:
            self._fail(f"SwanLab failed: {said.words}")
        elif said.weight is not None:
            self._hints.append(said.words)
        if said.weight is Weight.TROUBLE:
            is_first, self._troubled = self._troubled is None, time.monotonic()
            if is_first:
                self._warn(_told(self._tracking_with(f"SwanLab goes on trying: {said.words}")))

    def _fail(self, problem: str) -> None:
        """Keep and tell the first problem; what follows comes of it."""
        with self._failing:
            if self._tracking.problem is not None:
                return
            self._tracking = self._tracking_with(problem)
        self._warn(_told(self._tracking))

    def _tracking_with(self, problem: str) -> Tracking:
        is_kept = self._folder is not None and self._job.mode == "cloud"
        return Tracking(
            mode=self._job.mode,
            problem=redact(problem),
            diagnosis=diagnose(redact(problem), map(redact, self._hints)),
            kept_in=str(from_cwd(self._folder)) if is_kept and self._folder is not None else None,
        )


def _told(tracking: Tracking) -> str:
    found = tracking.diagnosis
    assert found is not None
    sent = f"; `swanlab sync {tracking.kept_in}` sends what is kept there" if tracking.kept_in else ""
    return f"{tracking.problem}\n  cause: {found.cause}\n  fix:   {found.fix}{sent}"
