"""The chips of one run, read through what all runs on the node share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.devices.ascend.shared_driver import SharedDriver
from harness.devices.host import count_others, tree
from harness.devices.npu_smi import NpuProcess, NpuReading
from harness.devices.reading import Reading, SensorError


@dataclass(frozen=True)
class ChipAddress:
    """Where a run's chip stands in npu-smi's table."""

    chip: int
    """Its logic id among the visible ones."""
    npu_id: int
    chip_id: int | None


class NpuSensor:
    """Reads the chips at `addresses` out of what the driver says of the whole machine: none while that is not new."""

    def __init__(self, addresses: Sequence[ChipAddress], driver: SharedDriver) -> None:
        self.name = driver.name
        self.addresses = tuple(addresses)
        self._driver = driver
        # An answer may be an interval old, and show one of the run's processes that has ended since.
        self._family: set[int] = set()

    def read(self, pids: frozenset[int]) -> list[Reading]:
        answer = self._driver.read()
        self._family |= {process.pid for process in tree(pids)}
        if answer is None:
            return []
        # A 950 has no chips below the card in npu-smi's table; the library calls its only one 0.
        found = {(reading.npu_id, reading.chip_id or 0): reading for reading in answer.readings}
        readings = []
        for address in self.addresses:
            reading = found.get((address.npu_id, address.chip_id or 0))
            if reading is None:
                # Without it the sum over the run's chips would be too small.
                why = f" ({answer.problems[0]})" if answer.problems else ""
                raise SensorError(f"{self.name} does not show chip {address.chip}, NPU {address.npu_id}{why}")
            readings.append(
                Reading(
                    time=answer.moment,
                    sensor=self.name,
                    chip=address.chip,
                    device_used_mib=reading.memory_used_mib,
                    device_total_mib=reading.memory_total_mib,
                    process_mib=_process_mib(reading, self._family),
                    utilization_percent=reading.utilization_percent,
                    power_watts=reading.power_watts,
                    temperature_celsius=reading.temperature_celsius,
                    other_processes=_others(reading, self._family),
                )
            )
        return readings

    def close(self) -> None:
        """Nothing is held open: libdcmi.so has no end to its dcmi_init."""


def _process_mib(reading: NpuReading, family: set[int]) -> float | None:
    """Memory of the run's processes on a chip; None where the table does not put it down to them.

    In a container drivers before 26 list pids of the host, where none is ours: that does not mean that nothing is used.
    """
    if not reading.processes_listed:
        return None
    own = [process for process in reading.processes if _pid(process) in family]
    known = [process.memory_mib for process in own if process.memory_mib is not None]
    return sum(known) if known and len(known) == len(own) else None


def _others(reading: NpuReading, family: set[int]) -> int | None:
    pids = [pid for process in reading.processes if (pid := _pid(process)) is not None]
    is_whole = reading.processes_listed and len(pids) == len(reading.processes)
    return count_others(pids if is_whole else None, family)


def _pid(process: NpuProcess) -> int | None:
    """As it counts here: in a container the host's pid may be by chance that of another process."""
    return process.pid if process.pid_in_container is None else process.pid_in_container
