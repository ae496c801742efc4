"""Stand-ins for hardware, and the patience to wait for what happens in another process or thread."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from subprocess import PIPE, Popen
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest
from hypothesis import HealthCheck, settings

from harness.devices.reading import Reading


def wait_until(happened: Callable[[], bool]) -> None:
    """Returns when it did. The limit only ends a test that would never end."""
    limit = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < limit, "it never happened"
        time.sleep(0.005)


class Child(Popen[str]):
    """A process that says a line, and waits for one, at each of its steps."""

    def said(self) -> str:
        assert self.stdout is not None
        return self.stdout.readline()

    def go_on(self) -> None:
        assert self.stdin is not None
        self.stdin.write("\n")
        self.stdin.flush()


@contextmanager
def child(*command: str) -> Iterator[Child]:
    """A process that is gone afterwards."""
    process = Child(command, stdin=PIPE, stdout=PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


BUSY = "import time; end = time.monotonic() + 300\nwhile time.monotonic() < end: pass"
"""Keeps a core busy, though not for ever if the tests are killed."""


@contextmanager
def stranger(code: str = BUSY) -> Iterator[psutil.Process]:
    """A Python process that is no descendant of this one, as other people's are; gone afterwards."""
    # The shell ends at once, so that its child is handed on to whoever looks after orphans.
    command = ["sh", "-c", '"$@" >/dev/null 2>&1 & echo $!', "sh", sys.executable, "-c", code]
    process = psutil.Process(int(subprocess.run(command, stdout=PIPE, text=True, check=True).stdout))
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def spent(process: psutil.Process) -> float:
    """Its processor time, in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


HOUR = 3600.0
"""An interval that ends in no test: what is read then was read for another reason."""
MOMENT = 0.005
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How fast a test runs on a busy machine says nothing of the code."""


def used(mib: float, sensor: str = "stand-in", chip: int = 0) -> Reading:
    return Reading(time=time.time(), sensor=sensor, chip=chip, device_used_mib=mib)


class StandInSensor:
    """A device that answers as the test wants: `answer` is called for each read."""

    def __init__(self, answer: Callable[[frozenset[int]], list[Reading]], name: str = "stand-in") -> None:
        self.name = name
        self.answer = answer
        self.closed = False

    def read(self, pids: frozenset[int]) -> list[Reading]:
        return self.answer(pids)

    def close(self) -> None:
        self.closed = True


_CLOCKS = {pynvml.NVML_CLOCK_SM: "mhz", pynvml.NVML_CLOCK_MEM: "memory_mhz"}


class StandInNvml:
    """Whole GPUs and MIG instances in place of NVML's. An entry of `gpus` that lacks a value does not support it."""

    def __init__(self, *gpus: dict[str, Any]) -> None:
        self.gpus = list(gpus)
        self.system: dict[str, Any] = {"driver": "550.54.15", "cuda": 12040}
        self.instances: dict[str, dict[str, Any]] = {}
        self.open = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers: dict[str, Callable[..., Any]] = {
            "nvmlInit": self._init,
            "nvmlShutdown": self._shutdown,
            "nvmlDeviceGetCount": lambda: len(self.gpus),
            "nvmlDeviceGetHandleByIndex": lambda index: self.gpus[index],
            "nvmlDeviceGetHandleByUUID": self._by_uuid,
            "nvmlDeviceGetTemperature": lambda gpu, sensor: self._value(gpu, "celsius"),
            "nvmlDeviceGetClockInfo": lambda gpu, clock: self._value(gpu, _CLOCKS[clock]),
            "nvmlDeviceGetMaxClockInfo": lambda gpu, clock: self._value(gpu, f"max_{_CLOCKS[clock]}"),
            "nvmlSystemGetDriverVersion": lambda: self._value(self.system, "driver"),
            "nvmlSystemGetCudaDriverVersion": lambda: self._value(self.system, "cuda"),
        }
        keys = {
            "nvmlDeviceGetUUID": "uuid",
            "nvmlDeviceGetName": "name",
            "nvmlDeviceGetMigMode": "mig",
            "nvmlDeviceGetMemoryInfo": "memory",
            "nvmlDeviceGetUtilizationRates": "utilization",
            "nvmlDeviceGetPowerUsage": "milliwatts",
            "nvmlDeviceGetCudaComputeCapability": "capability",
            "nvmlDeviceGetComputeRunningProcesses": "compute",
            "nvmlDeviceGetGraphicsRunningProcesses": "graphics",
            "nvmlDeviceGetEnforcedPowerLimit": "limit_milliwatts",
            "nvmlDeviceGetEccMode": "ecc",
            "nvmlDeviceGetVbiosVersion": "vbios",
        }
        for function, key in keys.items():
            answers[function] = lambda gpu, key=key: self._value(gpu, key)
        for function, answer in answers.items():
            monkeypatch.setattr(pynvml, function, answer)

    def _init(self) -> None:
        self.open += 1

    def _shutdown(self) -> None:
        self.open -= 1

    def _by_uuid(self, uuid: str) -> dict[str, Any]:
        if uuid not in self.instances:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return self.instances[uuid]

    @staticmethod
    def _value(gpu: dict[str, Any], key: str) -> Any:
        value = gpu.get(key, pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED))
        if isinstance(value, Exception):
            raise value
        return value


def gpu_process(pid: int, mib: float | None) -> SimpleNamespace:
    """As NVML lists it; None: NVML_VALUE_NOT_AVAILABLE."""
    return SimpleNamespace(pid=pid, usedGpuMemory=None if mib is None else int(mib * 2**20))


def a_gpu(index: int) -> dict[str, Any]:
    return {
        "uuid": f"GPU-{index}aaa-bbbb",
        "name": f"NVIDIA Example {index}",
        "mig": [pynvml.NVML_DEVICE_MIG_DISABLE, pynvml.NVML_DEVICE_MIG_DISABLE],
        "memory": SimpleNamespace(used=(index + 1) * 2**30, total=80 * 2**30),
        "utilization": SimpleNamespace(gpu=37),
        "milliwatts": 250_500,
        "celsius": 61,
        "capability": (9, 0),
        "limit_milliwatts": 700_000,
        "mhz": 345,
        "max_mhz": 1980,
        "memory_mhz": 2619,
        "ecc": [pynvml.NVML_FEATURE_ENABLED, pynvml.NVML_FEATURE_ENABLED],
        "vbios": "96.00.68.00.01",
        "compute": [],
        "graphics": [],
    }
