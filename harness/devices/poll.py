"""One sensor, read at a steady interval."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable

from harness.devices.reading import Sensor, SensorError
from harness.devices.tally import Tally


class Poll:
    """Reads a sensor in a thread of its own, so that one that is slow or hangs holds up no other.

    The first reading is the baseline; the next comes when `wake` is called or an interval after `resume`."""

    def __init__(
        self, sensor: Sensor, interval_seconds: float, pids: Callable[[], frozenset[int]], tally: Tally
    ) -> None:
        self._sensor = sensor
        self._interval = interval_seconds
        self._pids = pids
        self._tally = tally
        self._baseline_done = threading.Event()
        self._resumed = threading.Event()
        self._woken = threading.Event()
        self._ending = False
        self._asked_at = 0.0
        # A daemon: a read that hangs for ever must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=f"sensor-{sensor.name}", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def await_baseline(self, deadline: float) -> None:
        """Until the first reading has come or failed, or `deadline` (time.monotonic) has passed."""
        self._baseline_done.wait(max(0.0, deadline - time.monotonic()))

    def resume(self) -> None:
        self._resumed.set()

    def wake(self) -> None:
        """Read now. A read that is under way is followed by another at once."""
        self._woken.set()

    def end(self) -> None:
        """Read once more, then close the sensor."""
        self._ending = True
        self._resumed.set()
        self._woken.set()

    def await_end(self, deadline: float) -> None:
        """Until the sensor is closed; at `deadline` (time.monotonic) one that hangs is left to itself."""
        if not self._thread.is_alive():
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            silent_seconds = time.monotonic() - self._asked_at
            ticks = max(1, int(silent_seconds / self._interval))
            self._tally.miss(ticks, f"{self._sensor.name}: no answer for {silent_seconds:.0f} s")

    def _run(self) -> None:
        _step_back()
        self._read()
        self._baseline_done.set()
        self._resumed.wait()
        due = time.monotonic() + self._interval
        last = False
        while not last:
            if self._woken.wait(max(0.0, due - time.monotonic())):
                self._woken.clear()
                due = time.monotonic()
            last = self._ending
            self._read()
            missed = int((time.monotonic() - due) / self._interval)
            if missed and not last:
                self._tally.miss(missed)
            due += (missed + 1) * self._interval
        self._guard(self._sensor.close)

    def _read(self) -> None:
        self._asked_at = time.monotonic()
        self._guard(lambda: self._tally.add(self._sensor.read(self._pids())))

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except SensorError as error:
            self._tally.miss(1, f"{self._sensor.name}: {error}")
        except Exception as error:  # A fault in a sensor costs its readings, never the run.
            self._tally.miss(1, f"{self._sensor.name}: {type(error).__name__}: {error}")


def _step_back() -> None:
    """Let the training go first where every core trains: its threads wait for each other, so one that is held up by a
    reading holds up all. On Linux a thread has a priority of its own; elsewhere this would be the whole process's."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
