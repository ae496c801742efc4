"""Which device a run gets on this machine, without torch."""

from __future__ import annotations

from collections.abc import Callable

from harness.devices import cpu, cuda
from harness.devices.ascend import device as ascend
from harness.devices.request import AbsentError, Device, DeviceError, DeviceRequest

__all__ = ["AbsentError", "Device", "DeviceError", "DeviceRequest", "choose"]

_ACCELERATORS: dict[str, Callable[[DeviceRequest], Device]] = {"cuda": cuda.find, "ascend": ascend.find}
"""In the order in which `auto` tries them."""
_DEVICES: dict[str, Callable[[DeviceRequest], Device]] = {"cpu": cpu.find, **_ACCELERATORS}


def choose(kind: str, request: DeviceRequest) -> Device:
    """Return what `device.name` and the other keys of `device` mean on this machine.

    auto: the first accelerator that is found, else the CPU. Raises DeviceError; for auto too if an accelerator is
    found but cannot be used, since a run that falls back to the CPU in silence would measure something else than was
    meant."""
    if kind == "auto":
        for find in _ACCELERATORS.values():
            try:
                return find(request)
            except AbsentError:
                continue
        return cpu.find(request)
    if kind not in _DEVICES:
        raise DeviceError(f"device.name={kind}: unknown; use one of auto, {', '.join(_DEVICES)}")
    return _DEVICES[kind](request)
