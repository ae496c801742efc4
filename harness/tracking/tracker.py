"""The parent's end of tracking: starts the process that talks to SwanLab, and never waits for it during a run."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from harness.processes.child import log_tail
from harness.processes.jobs import TrackingJob
from harness.processes.start import end, start
from harness.runs.record import Tracking

FINISH_SECONDS = 20.0
"""How long a finished run waits for SwanLab's last records."""


class Tracker:
    """Has a run tracked from its creation to `finish`."""

    def __init__(self, job: TrackingJob, job_file: Path, log: Path) -> None:
        """Start to track; the job is written to `job_file`, and SwanLab's output to `log`.

        A tracker that cannot start is a problem that `finish` tells, not an error."""
        self._job = job
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._problem: str | None = None
        if job.mode == "disabled":
            return
        try:
            command = job.write(job_file)
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                self._process = start(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    # CUDA is none of its business, and it must not be slowed by the training nor slow it.
                    env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
                )
        except OSError as error:
            self._problem = f"the tracker could not be started: {error}"

    def finish(self, seconds: float = FINISH_SECONDS) -> Tracking:
        """Let the tracker log what it has not logged yet, for `seconds` at most, end it, and return how it went."""
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.close()  # The end of its stdin is the end of the run.
            try:
                status = process.wait(seconds)
                if status:
                    last = " ".join(log_tail(self._log, 1))
                    self._problem = f"SwanLab ended with status {status}: {last}"
            except subprocess.TimeoutExpired:
                self._problem = (
                    f"SwanLab took over {seconds:.0f} s to finish and was ended; the run's own files are whole"
                )
                end(process)
        return Tracking(mode=self._job.mode, problem=self._problem)
