"""The processor as a device."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil

from harness.devices.host import MIB
from harness.devices.request import Device, DeviceError, DeviceRequest

NO_ACCELERATOR = {"CUDA_VISIBLE_DEVICES": "", "ASCEND_RT_VISIBLE_DEVICES": "-1"}
"""What hides every accelerator: the runtimes read their lists up to the first id that is none, so -1 leaves nothing."""


def find(request: DeviceRequest) -> Device:
    """Return the processor of this machine. Raises DeviceError where chips or an NPU's keys were asked for."""
    request.refuse_npu_keys("the CPU")
    if request.chips:
        raise DeviceError(
            f"device.chips={list(request.chips)}: the device is the CPU, which has no chips; "
            "set device.chips=null, or device.name to an accelerator that this machine has"
        )
    return Device(
        kind="cpu",
        torch_device="cpu",
        chips=(),
        product=_product(Path("/proc/cpuinfo")),
        total_memory_mib=psutil.virtual_memory().total / MIB,
        supports_bf16=True,  # Every processor does, though only some do it fast.
        variables=NO_ACCELERATOR,
    )


def _product(cpuinfo: Path) -> str:
    # platform.processor() is empty or only the architecture on Linux.
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
