"""How jobs ended, from squeue: submitit asks sacct, which a cluster without slurmdbd cannot answer."""

from __future__ import annotations

import time

import submitit
from submitit.slurm.slurm import SlurmInfoWatcher

_ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "REVOKED",
    "TIMEOUT",
}
_POLL_SECONDS = 1.0
_MOST_SECONDS = 600
"""From one question to the next; submitit asks more often at first."""


class QueueWatcher(SlurmInfoWatcher):
    """Knows that a job has ended from its state, or some minutes later (MinJobAge) from Slurm's having forgotten it."""

    def _make_command(self) -> list[str] | None:
        if not self._registered - self._finished:
            return None
        return ["squeue", "--me", "--states=all", "--array", "--noheader", "--format=%i %T"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """Return the state of each job, RUNNING for all that may yet lead to a result."""
        text = string if isinstance(string, str) else string.decode()
        known = dict(line.split() for line in text.splitlines())
        going_on = {job for job, state in known.items() if state not in _ENDED}
        return {
            job: {"State": "RUNNING" if job in going_on else known.get(job, "FORGOTTEN")} for job in self._registered
        }


def watch() -> None:
    """Have all jobs that are submitted from now on watched by it."""
    submitit.SlurmJob.watcher = QueueWatcher(_MOST_SECONDS)


def wait() -> None:
    """Wait until no job that was submitted goes on, by whatever it is watched."""
    watcher = submitit.SlurmJob.watcher
    while watcher._registered - watcher._finished:
        watcher.update_if_long_enough("standard")
        time.sleep(_POLL_SECONDS)
