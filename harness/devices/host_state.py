"""How busy, how hot and how full the host is, looked at for a moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import psutil

from harness.devices.host import MIB, busy_seconds, sees_all_processes, tree

_Answer = TypeVar("_Answer")

WINDOW_SECONDS = 0.25
"""Long enough for 25 of the ticks in which the kernel counts; every run waits for it once."""
_BUSY_CORES = 0.1
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal")
"""Linux's drivers for the temperature of Intel's, AMD's and ARM's processors."""


@dataclass(frozen=True)
class HostState:
    """None: the system does not tell."""

    cpu_busy_percent: float | None
    """Of all cores together, by whoever but this process."""
    load_average: float | None
    """Runnable processes over the last minute."""
    busy_processes: int | None
    """Those of others that took more than a tenth of a core. None in a container in which none is seen: the others may
    be outside."""
    available_mib: float | None
    """Memory that a new program could have."""
    cpu_mhz: float | None
    cpu_temperature_celsius: float | None
    """Of the hottest sensor in the processor."""


def look(window_seconds: float = WINDOW_SECONDS) -> HostState:
    """Look at the host for `window_seconds`. Never raises: what cannot be read is None."""
    before = _Glance.take()
    load, available = _ask(lambda: os.getloadavg()[0]), _ask(lambda: psutil.virtual_memory().available / MIB)
    mhz, celsius = _ask(lambda: psutil.cpu_freq().current), _ask(_cpu_temperature)
    time.sleep(max(0.0, window_seconds - (time.monotonic() - before.moment)))
    after = _Glance.take()
    return HostState(
        cpu_busy_percent=_busy_percent(before, after),
        load_average=load,
        busy_processes=_busy_processes(before, after),
        available_mib=available,
        cpu_mhz=mhz or None,
        cpu_temperature_celsius=celsius,
    )


@dataclass(frozen=True)
class _Glance:
    moment: float
    """time.monotonic."""
    busy_seconds: float | None
    """Of all cores, by whoever else: to look costs some, too."""
    used_seconds: dict[psutil.Process, float] | None
    """Of each process that may be read."""

    @classmethod
    def take(cls) -> _Glance:
        moment, busy = time.monotonic(), _ask(busy_seconds)
        return cls(moment, None if busy is None else busy - time.process_time(), _ask(_used_seconds))


def _ask(question: Callable[[], _Answer]) -> _Answer | None:
    # Whatever it is (no such file, no such function on this system, half of a file), the run does not depend on it.
    try:
        return question()
    except Exception:
        return None


def _used_seconds() -> dict[psutil.Process, float]:
    """Processor time of each process that may be read."""
    listed = psutil.process_iter(["cpu_times"])
    return {process: sum(times[:2]) for process in listed if (times := process.info["cpu_times"]) is not None}


def _busy_percent(before: _Glance, after: _Glance) -> float | None:
    cores = psutil.cpu_count()
    if before.busy_seconds is None or after.busy_seconds is None or not cores:
        return None
    share = (after.busy_seconds - before.busy_seconds) / ((after.moment - before.moment) * cores)
    return 100 * min(1.0, max(0.0, share))  # The kernel counts in ticks.


def _busy_processes(before: _Glance, after: _Glance) -> int | None:
    if before.used_seconds is None or after.used_seconds is None:
        return None
    own, least_seconds = tree([os.getpid()]), _BUSY_CORES * (after.moment - before.moment)
    others = after.used_seconds.keys() - own
    # One that was not there before has used all of its time since.
    busy = sum(after.used_seconds[other] - before.used_seconds.get(other, 0.0) > least_seconds for other in others)
    return busy if busy or sees_all_processes() else None


def _cpu_temperature() -> float | None:
    found = [
        entry.current
        for name, entries in psutil.sensors_temperatures().items()
        if name in _CPU_SENSORS
        for entry in entries
    ]
    return max(found, default=None)
