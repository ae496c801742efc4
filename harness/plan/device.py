"""Which device a run gets, and what `auto` means on it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.config.schema import Config
from harness.devices import device as devices
from harness.devices.device import Device
from harness.devices.request import DeviceRequest
from harness.plan.spec import DeviceSpec

_TORCH_DEVICES = {"cpu": "cpu", "cuda": "cuda", "ascend": "npu"}


def choose(config: Config, kind: str | None = None, chips: Sequence[int] | None = None) -> Device:
    """Return the device that is asked for, or one of another kind (auto, cpu, cuda, ascend).

    `chips`: those that were leased for the run. Raises DeviceError."""
    asked = config.device
    request = DeviceRequest(
        asked.named if chips is None else chips,
        asked.count if asked.takes_free else None,
        asked.threads,
        asked.sensor,
        asked.stand_in,
    )
    return devices.choose(kind or asked.name, request)


def describe(device: Device) -> DeviceSpec:
    """Return what a run's result may owe to its device, as plain data."""
    return DeviceSpec.model_validate(
        {
            "kind": device.kind,
            "torch_device": device.torch_device,
            "product": device.product,
            "chips": len(device.chips),
            "supports_bf16": device.supports_bf16,
            "stand_in": device.stand_in,
        }
    )


def assume(config: Config) -> DeviceSpec:
    """Return the device that a configuration asks for by name, on a machine that has none of its kind."""
    asked = config.device
    torch_device = "cpu" if asked.stand_in else _TORCH_DEVICES[asked.name]
    return DeviceSpec.model_validate(
        {
            "kind": asked.name,
            "torch_device": torch_device,
            "chips": asked.chip_count,
            "stand_in": asked.stand_in,
        }
    )


def precision_of(config: Config, device: DeviceSpec) -> str:
    """Return fp32, fp16 or bf16: what training.precision means on this device."""
    if config.training.precision != "auto":
        return config.training.precision
    if device.torch_device == "cpu":
        return "fp32"
    return "fp16" if device.supports_bf16 is False else "bf16"
