"""NVIDIA's management library: which GPUs CUDA shows here, and what their driver says of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml

from harness.base.numbers import whole_number
from harness.devices.host import count_others, tree
from harness.devices.reading import Reading, SensorError
from harness.devices.told import ChipSettings, Told

MIB = 2**20
_Answer = TypeVar("_Answer")

_ABSENT = (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded)
_NOT_TOLD = (
    pynvml.NVMLError_NotSupported,
    pynvml.NVMLError_NoPermission,
    pynvml.NVMLError_FunctionNotFound,
    pynvml.NVMLLibraryMismatchError,
)


class NoGpuError(SensorError):
    """This machine has no NVIDIA GPU, or no driver for it."""


@dataclass(frozen=True)
class Gpu:
    """One GPU, or an instance of a divided one, that CUDA_VISIBLE_DEVICES leaves visible."""

    identifier: str
    """Its index or UUID, as CUDA_VISIBLE_DEVICES names it."""
    handle: Any


@contextmanager
def opened() -> Iterator[list[Gpu]]:
    """The GPUs that CUDA shows here, in the order of their logic ids, while NVML is open.

    Raises NoGpuError where there is no driver, SensorError for other trouble of NVML, in the `with` block too."""
    try:
        pynvml.nvmlInit()
        try:
            yield list(_visible())
        finally:
            pynvml.nvmlShutdown()
    except _ABSENT as error:
        raise NoGpuError(f"NVML: {error}") from error
    except pynvml.NVMLError as error:
        raise SensorError(f"NVML: {error}") from error


def ask(question: Callable[..., _Answer], *about: Any) -> _Answer | None:
    """NVML's answer; None where this GPU or its driver does not tell."""
    try:
        return question(*about)
    except _NOT_TOLD:
        return None


def driver_version() -> str | None:
    """The driver's; None: it does not tell. NVML must be open."""
    version = ask(pynvml.nvmlSystemGetDriverVersion)
    return None if version is None else str(version)


def cuda_version() -> tuple[int, int] | None:
    """The newest CUDA that the driver runs, major and minor; None: it does not tell. NVML must be open."""
    number = ask(pynvml.nvmlSystemGetCudaDriverVersion)
    return None if number is None else (number // 1000, number % 1000 // 10)


def tell(chips: Sequence[int]) -> Told:
    """What the driver tells of itself and of the GPUs with these logic ids. Raises SensorError."""
    with opened() as gpus:
        handles = {chip: gpus[chip].handle for chip in chips if chip < len(gpus)}
        cuda = cuda_version()
        vbios = {_told(pynvml.nvmlDeviceGetVbiosVersion, handle) for handle in handles.values()}
        runtimes = {
            "CUDA of the driver": f"{cuda[0]}.{cuda[1]}" if cuda else "",
            "VBIOS": " + ".join(sorted(filter(None, vbios))),
        }
        return Told(
            driver=driver_version(),
            runtimes={name: version for name, version in runtimes.items() if version},
            chips={chip: _settings(handle) for chip, handle in handles.items()},
        )


def _settings(handle: Any) -> ChipSettings:
    milliwatts = _told(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    ecc = _told(pynvml.nvmlDeviceGetEccMode, handle)
    return ChipSettings(
        power_limit_watts=None if milliwatts is None else milliwatts / 1000,
        clock_mhz=_told(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
        max_clock_mhz=_told(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        memory_clock_mhz=_told(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM),
        ecc=None if ecc is None else ecc[0] == pynvml.NVML_FEATURE_ENABLED,
    )


def _told(question: Callable[..., _Answer], *about: Any) -> _Answer | None:
    """As `ask`, where whatever is wrong with one answer must not cost the others: an instance of a divided GPU calls
    some of these questions invalid."""
    try:
        return question(*about)
    except pynvml.NVMLError:
        return None


def _visible() -> Iterator[Gpu]:
    # CUDA reads its list up to the first entry that is no GPU, and takes a UUID's beginning for the whole:
    # CUDA C++ Programming Guide, "CUDA Environment Variables".
    count = pynvml.nvmlDeviceGetCount()
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    identifiers = [str(index) for index in range(count)] if listed is None else listed.split(",")
    for identifier in (entry.strip() for entry in identifiers):
        handle = _mig_instance(identifier) if identifier.startswith("MIG-") else _whole_gpu(identifier, count)
        if handle is None:
            return
        yield Gpu(identifier, handle)


def _whole_gpu(identifier: str, count: int) -> Any | None:
    if (number := whole_number(identifier)) is not None:
        matching = [number] if number < count else []
    elif identifier.startswith("GPU-"):
        matching = [index for index in range(count) if _uuid(index).startswith(identifier)]
    else:
        return None
    if len(matching) != 1:
        return None
    handle = pynvml.nvmlDeviceGetHandleByIndex(matching[0])
    if (mig := ask(pynvml.nvmlDeviceGetMigMode, handle)) and mig[0] == pynvml.NVML_DEVICE_MIG_ENABLE:
        raise SensorError(
            f"GPU {identifier} is divided by MIG, and only an instance of it can be used: "
            "set CUDA_VISIBLE_DEVICES to the UUID of one (nvidia-smi -L lists them)"
        )
    return handle


def _uuid(index: int) -> str:
    return str(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(index)))


def _mig_instance(identifier: str) -> Any:
    try:
        return pynvml.nvmlDeviceGetHandleByUUID(identifier)
    except (pynvml.NVMLError_NotFound, pynvml.NVMLError_InvalidArgument) as error:
        raise SensorError(f"CUDA_VISIBLE_DEVICES names {identifier}: nvidia-smi -L must list it") from error


class NvmlSensor:
    """Reads GPUs by their logic ids: the position among those that CUDA_VISIBLE_DEVICES leaves visible."""

    name = "nvml"

    def __init__(self, chips: Sequence[int]) -> None:
        self._chips = tuple(chips)
        self._open = ExitStack()
        self._gpus: list[Gpu] | None = None

    def read(self, pids: frozenset[int]) -> list[Reading]:
        if self._gpus is None:
            self._gpus = self._open.enter_context(opened())
        family = {process.pid for process in tree(pids)}
        moment = time.time()
        try:
            return [self._reading(chip, self._gpus[chip].handle, moment, family) for chip in self._chips]
        except IndexError as error:
            raise SensorError(f"{len(self._gpus)} GPUs are visible, not {list(self._chips)}") from error
        except pynvml.NVMLError as error:
            raise SensorError(f"NVML: {error}") from error

    def close(self) -> None:
        self._gpus = None
        self._open.close()

    def _reading(self, chip: int, handle: Any, moment: float, family: set[int]) -> Reading:
        memory = ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
        utilization = ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
        milliwatts = ask(pynvml.nvmlDeviceGetPowerUsage, handle)
        compute = ask(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
        graphics = ask(pynvml.nvmlDeviceGetGraphicsRunningProcesses, handle)
        # A process that computes and draws stands in both lists, each time with all its memory.
        listed = {process.pid: process.usedGpuMemory for process in (*(compute or []), *(graphics or []))}
        return Reading(
            time=moment,
            sensor=self.name,
            chip=chip,
            device_used_mib=memory.used / MIB if memory else None,
            device_total_mib=memory.total / MIB if memory else None,
            process_mib=_process_mib(listed, family),
            utilization_percent=utilization.gpu if utilization else None,
            power_watts=milliwatts / 1000 if milliwatts is not None else None,
            temperature_celsius=ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
            # What draws a desktop holds some memory all the time and computes next to nothing.
            other_processes=count_others(None if compute is None else [process.pid for process in compute], family),
        )


def _process_mib(listed: dict[int, int | None], family: set[int]) -> float | None:
    """Memory of the run's processes on a GPU, of what is listed by pid in bytes; None where the driver does not put it
    down to them.

    In a container most drivers list pids of the host, where none is ours (NVIDIA/nvidia-docker issue 1483),
    and some list ours with a memory of 0 (NVIDIA/open-gpu-kernel-modules pull request 614): neither means that
    nothing is used.
    """
    used_bytes = [used for pid, used in listed.items() if pid in family]
    known = [used for used in used_bytes if used]
    return float(sum(known)) / MIB if known and len(known) == len(used_bytes) else None
