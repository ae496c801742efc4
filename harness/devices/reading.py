"""One sample of a device, and the interface that every sensor has."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel


class Reading(BaseModel):
    """What one sensor said of one chip, or of the host (chip None) at one moment. None: the sensor does not tell."""

    time: float
    """Seconds since the epoch."""
    sensor: str
    """What was asked: `psutil`, `nvml`, `npu-smi`."""
    chip: int | None = None
    """Logic id of the accelerator; None for the host."""
    device_used_mib: float | None = None
    """Memory in use on the chip, by everybody."""
    device_total_mib: float | None = None
    process_mib: float | None = None
    """Memory of the run's own processes: on the chip, or private host memory where chip is None."""
    utilization_percent: float | None = None
    power_watts: float | None = None
    temperature_celsius: float | None = None
    others_cpu_percent: float | None = None
    """Of the host: processor time of whoever is neither the run, the harness nor its tracker, in percent of one core,
    since the reading before. A little below 0 where nobody was: the kernel counts the machine in ticks."""
    other_processes: int | None = None
    """Of a chip: processes that are not the run's and hold its memory to compute there."""


class SensorError(Exception):
    """A sensor could not be read this time; its message says why. The sampler counts it as a gap and goes on."""


class Sensor(Protocol):
    """Reads one kind of device. A read may take seconds or hang: the sampler calls it from a thread of its own."""

    name: str

    def read(self, pids: frozenset[int]) -> list[Reading]:
        """One reading a chip. `pids`: the run's processes, empty before the child is started.

        Raises SensorError."""
        ...

    def close(self) -> None: ...


class Quantity(StrEnum):
    """The several true answers to "how much memory"."""

    DEVICE = "device"
    """All that is used on the chips of the run, as their driver counts it."""
    PROCESS = "process"
    """What the driver puts down to the run's processes."""
    ALLOCATOR_RESERVED = "allocator_reserved"
    ALLOCATOR_ALLOCATED = "allocator_allocated"
    HOST = "host"
    """Private memory of the run's process tree on the host."""
    RESIDENT = "resident"
    """The kernel's own high-water mark of a worker's resident memory; misses no peak, holds shared pages too."""


SAMPLED = (Quantity.DEVICE, Quantity.PROCESS, Quantity.HOST)
"""The quantities that sensors read; the others are high-water marks that a worker reports."""


def total_mib(readings: Iterable[Reading], quantity: Quantity) -> float | None:
    """Return the sum of a sampled quantity over the chips of one round; None where a chip of them does not tell it.

    A sum without a chip would pass for a smaller need, so it is not made."""
    values = [
        reading.device_used_mib if quantity is Quantity.DEVICE else reading.process_mib
        for reading in readings
        if (reading.chip is None) == (quantity is Quantity.HOST)
    ]
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
