"""The processor as a device."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.devices.host import MIB, HostSensor
from harness.devices.reading import Sensor
from harness.devices.selection import DeviceError


@dataclass(frozen=True)
class CpuDevice:
    product: str
    total_memory_mib: float | None
    chips: tuple[int, ...] = ()
    supports_bf16: bool | None = True
    """Every processor computes in bf16, though only some do it fast."""
    kind: str = "cpu"

    def environment(self) -> dict[str, str]:
        return {"CUDA_VISIBLE_DEVICES": ""}

    def sensors(self) -> list[Sensor]:
        return [HostSensor()]


def find(chips: Sequence[int] | None) -> CpuDevice:
    """The processor of this machine. Raises DeviceError."""
    if chips:
        raise DeviceError(
            f"device.chips={list(chips)}: the device is the CPU, which has no chips; "
            "leave device.chips out, or set device.name to an accelerator that this machine has"
        )
    return CpuDevice(_product(Path("/proc/cpuinfo")), psutil.virtual_memory().total / MIB)


def _product(cpuinfo: Path) -> str:
    # platform.processor() is empty or only the architecture on Linux.
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
