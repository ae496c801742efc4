"""The processor as a device."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from harness.devices.cgroup import host_memory_bytes
from harness.devices.host import MIB
from harness.devices.request import Chip, Device, DeviceError, DeviceRequest

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
    product = _product(Path("/proc/cpuinfo"))
    return Device(
        kind="cpu",
        torch_device="cpu",
        chips=(),
        product=product,
        total_memory_mib=host_memory_bytes() / MIB,
        supports_bf16=True,  # Every processor does, though only some do it fast.
        variables=NO_ACCELERATOR,
        visible=tuple(_share(number, cores, product) for number, cores in enumerate(_shares(request))),
    )


def _shares(request: DeviceRequest) -> Iterator[list[int]]:
    """The cores of each run that the processor takes at once; nothing where nobody asks for a free share.
    Raises DeviceError."""
    if request.count is None:
        return
    if request.count != 1:
        raise DeviceError(f"device.count={request.count}: a run takes one share of the CPU; leave it out")
    all_cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = sorted(all_cores)
    threads = min(request.threads or len(cores), len(cores))
    yield from (cores[first : first + threads] for first in range(0, len(cores) - threads + 1, threads))


def _share(number: int, cores: list[int], product: str) -> Chip:
    # By cores, since another run's shares may be of another size.
    name = f"cpu-core{cores[0]}" if len(cores) == 1 else f"cpu-cores{cores[0]}-{cores[-1]}"
    return Chip(number, product, name, tuple(f"cpu-core{core}" for core in cores))


def _product(cpuinfo: Path) -> str:
    # platform.processor() is empty or only the architecture on Linux.
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
