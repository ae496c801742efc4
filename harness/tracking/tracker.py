"""The parent's end of tracking: starts the process that talks to SwanLab, and never waits for it during a run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from harness.processes.child import log_tail
from harness.runs.record import Tracking
from harness.tracking.job import TrackingJob

FINISH_SECONDS = 20.0
"""How long a finished run waits for SwanLab's last records."""


class Tracker:
    def __init__(self, job: TrackingJob, log: Path) -> None:
        """Start to track. A tracker that cannot start is a problem to be told, not an error."""
        self._job = job
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._problem: str | None = None
        if job.mode == "disabled":
            return
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "harness.workers.track"],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    # CUDA is none of its business, and it must not be slowed by the training nor slow it.
                    env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
                    start_new_session=True,
                )
            self._tell(job.model_dump_json())
        except OSError as error:
            self._problem = f"the tracker could not be started: {error}"

    def _tell(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            self._problem = "the tracker ended before the run"

    def finish(self, seconds: float = FINISH_SECONDS) -> Tracking:
        """Let it tell what it has not told yet, for `seconds` at most, and end it."""
        process = self._process
        if process is not None:
            if process.poll() is None:
                self._tell("over")
            try:
                status = process.wait(seconds)
                if status:
                    last = " ".join(log_tail(self._log, 1))
                    self._problem = f"SwanLab ended with status {status}: {last}"
            except subprocess.TimeoutExpired:
                self._problem = (
                    f"SwanLab took over {seconds:.0f} s to finish and was ended; the run's own files are whole"
                )
                process.kill()
                process.wait()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        return Tracking(mode=self._job.mode, problem=self._problem)
