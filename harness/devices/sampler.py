"""Samples the sensors of a run while its child processes work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from harness.devices.poll import Poll
from harness.devices.reading import Quantity, Reading, Sensor, total_mib
from harness.devices.tally import Sampled, Tally

__all__ = ["Sampled", "Sampler"]


class Sampler:
    """baseline(), start(), watch(pid of the child), watch(None), stop(). Faults of sensors and disks do not raise.

    A reading slower than the interval skips ticks, which count as gaps: there is never a backlog. A sensor
    that hangs holds up `baseline` and `stop` for `patience_seconds` at most, and no other sensor at all."""

    def __init__(
        self, sensors: Sequence[Sensor], interval_seconds: float, path: Path, patience_seconds: float = 10.0
    ) -> None:
        self._patience = patience_seconds
        self._pids: frozenset[int] = frozenset()
        self._baselines: list[Reading] | None = None
        self._tally = Tally(path)
        self._polls = [Poll(sensor, interval_seconds, lambda: self._pids, self._tally) for sensor in sensors]

    def baseline(self) -> list[Reading]:
        """What is in use before the child is started. A sensor that fails or stays silent has none."""
        for poll in self._polls:
            poll.begin()
        deadline = time.monotonic() + self._patience
        for poll in self._polls:
            poll.await_baseline(deadline)
        self._baselines = self.latest()
        return self._baselines

    def start(self) -> None:
        """Sample from now on. Takes the baseline first if that was not done."""
        if self._baselines is None:
            self.baseline()
        for poll in self._polls:
            poll.resume()

    def watch(self, pid: int | None) -> None:
        """The process whose tree is the run, read at once, for it may be short. None: it ended."""
        self._pids = frozenset() if pid is None else frozenset({pid})
        if pid is not None:
            for poll in self._polls:
                poll.wake()

    def latest(self) -> list[Reading]:
        """The newest reading of each sensor and chip; its time tells how old it is."""
        return self._tally.latest()

    def latest_mib(self, quantity: Quantity) -> float | None:
        """The newest readings' sum over the chips; None where no sensor tells."""
        return total_mib(self.latest(), quantity)

    def peak_mib(self, quantity: Quantity) -> float | None:
        """The highest so far, summed over the chips; None where no sensor tells."""
        return self._tally.peak_mib(quantity)

    def stop(self) -> Sampled:
        """Take a last reading, which completes the integral of power, and close the sensors."""
        for poll in self._polls:
            poll.end()
        deadline = time.monotonic() + self._patience
        for poll in self._polls:
            poll.await_end(deadline)
        return self._tally.close(self._baselines or [])
