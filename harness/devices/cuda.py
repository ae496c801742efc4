"""NVIDIA GPUs as a device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pynvml

from harness.devices.nvml import MIB, Gpu, NoGpuError, NvmlSensor, ask, opened, tell
from harness.devices.reading import SensorError
from harness.devices.request import AbsentError, Chip, Device, DeviceError, DeviceRequest, like_the_first, select

_BF16_CAPABILITY = (8, 0)
"""Ampere, the first with bf16 in hardware: CUDA C++ Programming Guide, "Compute Capabilities"."""


def find(request: DeviceRequest) -> Device:
    """Return the GPUs that are asked for, or the first. Raises AbsentError, DeviceError."""
    try:
        with opened() as gpus:
            if not gpus:
                raise NoGpuError("NVML finds no GPU that CUDA_VISIBLE_DEVICES leaves visible")
            names = [str(pynvml.nvmlDeviceGetName(gpu.handle)) for gpu in gpus]
            request.refuse_npu_keys("an NVIDIA GPU")
            selected = select(request, names)
            device = _describe(selected, [gpus[chip] for chip in selected], [names[chip] for chip in selected])
            keys = [_key(gpu) for gpu in gpus]
            alike = like_the_first(names) if request.count is not None else range(len(gpus))
            return replace(device, visible=tuple(Chip(chip, names[chip], keys[chip]) for chip in alike))
    except NoGpuError as error:
        raise AbsentError(
            f"device.name=cuda: no NVIDIA GPU is to be seen ({error}); "
            "use device.name=cpu, or make `nvidia-smi` list a GPU and CUDA_VISIBLE_DEVICES name it"
        ) from error
    except SensorError as error:
        raise DeviceError(
            f"device.name: the NVIDIA driver cannot be asked: {error}; mend that or use device.name=cpu"
        ) from error


def _describe(chips: tuple[int, ...], gpus: list[Gpu], names: list[str]) -> Device:
    memories = _all(ask(pynvml.nvmlDeviceGetMemoryInfo, gpu.handle) for gpu in gpus)
    capabilities = _all(ask(pynvml.nvmlDeviceGetCudaComputeCapability, gpu.handle) for gpu in gpus)
    return Device(
        kind="cuda",
        torch_device="cuda",
        chips=chips,
        product=" + ".join(sorted(set(names))),
        total_memory_mib=sum(memory.total for memory in memories) / MIB if memories else None,
        supports_bf16=min(capabilities) >= _BF16_CAPABILITY if capabilities else None,
        variables={
            # Without the order CUDA counts from the fastest GPU, NVML from the lowest bus id.
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "CUDA_VISIBLE_DEVICES": ",".join(gpu.identifier for gpu in gpus),
        },
        chip_sensor=lambda _: NvmlSensor(chips),
        tell=lambda: tell(chips),
    )


def _key(gpu: Gpu) -> str:
    is_instance = gpu.identifier.startswith("MIG-")
    return gpu.identifier if is_instance else str(pynvml.nvmlDeviceGetUUID(gpu.handle))


def _all(answers: Iterable[Any]) -> list[Any] | None:
    answered = list(answers)
    return None if None in answered else answered
