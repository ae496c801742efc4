"""The processor as a device."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.devices.host import MIB, HostSensor
from harness.devices.reading import Sensor
from harness.devices.request import DeviceError, DeviceRequest, TorchDevice

NO_ACCELERATOR = {"CUDA_VISIBLE_DEVICES": "", "ASCEND_RT_VISIBLE_DEVICES": "-1"}
"""What hides every accelerator: the runtimes read their lists up to the first id that is none, so -1 leaves nothing."""


@dataclass(frozen=True)
class CpuDevice:
    product: str
    total_memory_mib: float | None
    chips: tuple[int, ...] = ()
    supports_bf16: bool | None = True
    """Every processor computes in bf16, though only some do it fast."""
    kind: str = "cpu"
    torch_device: TorchDevice = "cpu"
    stand_in: None = None

    def environment(self) -> dict[str, str]:
        return dict(NO_ACCELERATOR)

    def sensors(self, interval_seconds: float) -> list[Sensor]:
        return [HostSensor()]


def find(request: DeviceRequest) -> CpuDevice:
    """Return the processor of this machine. Raises DeviceError where chips or an NPU's keys were asked for."""
    request.refuse_npu_keys("the CPU")
    if request.chips:
        raise DeviceError(
            f"device.chips={list(request.chips)}: the device is the CPU, which has no chips; "
            "set device.chips=null, or device.name to an accelerator that this machine has"
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
