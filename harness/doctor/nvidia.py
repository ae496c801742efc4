"""NVIDIA GPUs as NVML shows them: the driver, and who holds their memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psutil
import pynvml

from harness.devices.nvml import MIB, Gpu, ask, cuda_version, driver_version, opened
from harness.devices.reading import SensorError
from harness.doctor.finding import Finding, failed, ok, warning
from harness.doctor.machine import Machine

_DRIVER, _GPUS = "NVIDIA driver", "GPUs"
_BUSY_SHARE = 0.25
"""One that draws a desktop may have 10% of its memory in use."""


def gpus(machine: Machine) -> Iterator[Finding]:
    """Look whether the driver answers and fits torch, and who holds the memory of each visible GPU."""
    try:
        with opened() as visible:
            yield _driver(machine)
            listed = machine.environment.get("CUDA_VISIBLE_DEVICES")
            if visible:
                yield from _gpus(visible)
            elif listed is None:
                yield failed(_GPUS, "none is visible", "nvidia-smi -L must list one")
            else:
                what = f"none is visible: CUDA_VISIBLE_DEVICES={listed!r} hides them"
                yield failed(_GPUS, what, "unset CUDA_VISIBLE_DEVICES")
    except SensorError as error:
        yield failed(
            _DRIVER,
            str(error),
            "nvidia-smi -L must list a GPU: install the driver and reboot; in a container docker run --gpus all ...",
        )


def _driver(machine: Machine) -> Finding:
    driver, cuda = driver_version(), cuda_version()
    torch = machine.package("torch")
    shown = f"{driver or 'of a version that is not told'}" + (f", for CUDA up to {cuda[0]}.{cuda[1]}" if cuda else "")
    # Within one major version a newer minor one runs on an older driver: CUDA Compatibility, "Minor Version".
    if torch and torch.cuda and cuda and torch.cuda.major > cuda[0]:
        return failed(
            _DRIVER,
            f"{shown}, is too old for torch {torch.version}, which was built for CUDA {torch.cuda}",
            "upgrade the driver, or pip uninstall -y torch && pip install 'torch>=2.9' --index-url "
            "https://download.pytorch.org/whl/cu126",
        )
    return ok(_DRIVER, shown)


def _gpus(visible: list[Gpu]) -> Iterator[Finding]:
    troubles = [finding for chip, gpu in enumerate(visible) if (finding := _holders(chip, gpu))]
    yield from troubles
    if not troubles:
        names = ", ".join(sorted({str(pynvml.nvmlDeviceGetName(gpu.handle)) for gpu in visible}))
        yield ok(_GPUS, f"{len(visible)} x {names}, and nobody holds their memory")


def _holders(chip: int, gpu: Gpu) -> Finding | None:
    memory = ask(pynvml.nvmlDeviceGetMemoryInfo, gpu.handle)
    amount = f" ({memory.used / MIB:.0f} of {memory.total / MIB:.0f} MiB are used)" if memory else ""
    pids = [process.pid for process in ask(pynvml.nvmlDeviceGetComputeRunningProcesses, gpu.handle) or []]
    if pids:
        return warning(
            _GPUS,
            f"GPU {chip} is held by {', '.join(map(_process, pids))}{amount}: a run there has less memory and measures "
            "both",
            f"kill {' '.join(map(str, pids))}, if yours; else take another GPU with device.chips",
        )
    if memory and memory.used > _BUSY_SHARE * memory.total:
        return warning(
            _GPUS,
            f"GPU {chip} is held by a process that is not listed here{amount}",
            "nvidia-smi on the host shows whose it is; else take another GPU with device.chips",
        )
    return None


def _process(pid: int) -> str:
    with suppress(psutil.Error):
        return f"{psutil.Process(pid).name()} (pid {pid})"
    return f"a process (pid {pid})"
