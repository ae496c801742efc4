"""The device of a run, as the parent process knows it: without torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from harness.devices import cpu, cuda
from harness.devices.ascend import device as ascend
from harness.devices.reading import Sensor
from harness.devices.request import AbsentError, DeviceError, DeviceRequest, TorchDevice

__all__ = ["AbsentError", "Device", "DeviceError", "DeviceRequest", "choose"]


class Device(Protocol):
    """The chips of one run, or the processor: what they are, how a worker gets them, how they are read."""

    @property
    def kind(self) -> str:
        """cpu, cuda or ascend."""

    @property
    def torch_device(self) -> TorchDevice:
        """Where tensors live."""

    @property
    def chips(self) -> tuple[int, ...]:
        """Logic ids of the accelerators, ascending: positions among those that a scheduler left visible.

        Empty on a CPU."""

    @property
    def product(self) -> str:
        """The name of the chip, or of the processor."""

    @property
    def total_memory_mib(self) -> float | None:
        """Sum over the run's chips; of the host where there are none. None: the driver does not tell."""

    @property
    def supports_bf16(self) -> bool | None:
        """None: the driver does not tell."""

    @property
    def stand_in(self) -> str | None:
        """What stood in for the hardware, in words; the training is done on the CPU then. None: nothing."""

    def environment(self) -> dict[str, str]:
        """What a child process needs in its environment so that it uses these chips and no other."""

    def sensors(self, interval_seconds: float) -> list[Sensor]:
        """New ones, to be read at this interval: that of the chips, if any, and that of the host."""


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
