"""What a run asks for, what it gets, and how a request that cannot be met is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.base.errors import UserError
from harness.devices.host import HostSensor
from harness.devices.reading import Sensor
from harness.devices.told import Told

TorchDevice = Literal["cpu", "cuda", "npu"]
"""What torch calls a device."""


class DeviceError(UserError):
    """The device asked for cannot be used. The message names the key, what is there and the fix."""


class AbsentError(DeviceError):
    """This machine has no chip of this kind."""


@dataclass(frozen=True)
class Chip:
    """An accelerator that is visible here, or a share of the processor."""

    logic_id: int
    product: str
    key: str
    """What it is called on this machine, the same whoever looks and from whatever container."""
    parts: tuple[str, ...] = ()
    """What a lease takes of it, by their names on this machine; none: itself."""

    @property
    def leased_as(self) -> tuple[str, ...]:
        """Return the names that are one run's at a time."""
        return self.parts or (self.key,)


@dataclass(frozen=True)
class Device:
    """The chips of one run, or the processor: what they are, how a worker gets them, how they are read."""

    kind: str
    """cpu, cuda or ascend."""
    torch_device: TorchDevice
    """Where tensors live."""
    chips: tuple[int, ...]
    """Logic ids of the accelerators, ascending: positions among those that a scheduler left visible.

    Empty on a CPU."""
    product: str
    """The name of the chip, or of the processor."""
    total_memory_mib: float | None
    """Sum over the run's chips; of the host where there are none. None: the driver does not tell."""
    supports_bf16: bool | None
    """None: the driver does not tell."""
    variables: dict[str, str]
    """Of `environment`."""
    chip_sensor: Callable[[float], Sensor] | None = None
    """Makes one that reads the chips at that interval, in seconds; None where there are none."""
    tell: Callable[[], Told] | None = None
    """Asks the driver of itself and of the run's chips, which may take seconds, or hang. Raises SensorError. None where
    there are no chips."""
    stand_in: str | None = None
    """What stood in for the hardware, in words; the training is done on the CPU then. None: nothing."""
    visible: tuple[Chip, ...] = ()
    """All that a scheduler left visible, by logic id; of a processor its slots, where free ones are asked for."""
    held: tuple[int, ...] = ()
    """File descriptors that its workers inherit: its chips stay leased as long as one of them lives."""

    def environment(self) -> dict[str, str]:
        """What a child process needs in its environment so that it uses these chips and no other."""
        return dict(self.variables)

    def sensors(self, interval_seconds: float) -> list[Sensor]:
        """New ones, to be read at this interval: that of the chips, if any, and that of the host."""
        return [HostSensor()] if self.chip_sensor is None else [self.chip_sensor(interval_seconds), HostSensor()]


@dataclass(frozen=True)
class DeviceRequest:
    """What a configuration asks of a device."""

    chips: Sequence[int] | None = None
    """Logic ids among the visible chips; None: the first."""
    count: int | None = None
    """How many are asked for, whichever is free; None: `chips` says which."""
    threads: int | None = None
    """Of the processor, for one run; None: all."""
    sensor: str = "auto"
    """Of an Ascend device: npu-smi or dcmi."""
    stand_in: str | None = None
    """What stands in for an NPU in this run, in words; the training is done on the CPU then."""

    def refuse_npu_keys(self, device: str) -> None:
        """Refuse the keys that mean nothing to `device`, which is no NPU. Raises DeviceError where one was given."""
        for key, value in (("sensor", self.sensor if self.sensor != "auto" else None), ("stand_in", self.stand_in)):
            if value is not None:
                raise DeviceError(f"device.{key}={value}: the device is {device}; leave it out or set device=ascend")


def select(request: DeviceRequest, products: Sequence[str]) -> tuple[int, ...]:
    """Return the logic ids that are asked for, ascending: the first where nothing is said, the first few that are like
    it where any will do.

    `products`: the names of the visible chips, by logic id. Raises DeviceError where a chip is not among them."""
    chips = request.chips
    if chips is None and request.count is not None:
        alike = like_the_first(products)
        if request.count <= len(alike):
            return alike[: request.count]
        raise DeviceError(f"device.count={request.count}: {len(alike)} chips like the first ({products[0]}) are here")
    if chips is None:
        return (0,)
    if chips and set(chips) <= set(range(len(products))):
        return tuple(sorted(set(chips)))
    visible = ", ".join(f"{chip} ({product})" for chip, product in enumerate(products))
    raise DeviceError(
        f"device.chips={list(chips)}: the chips visible here are {visible}; "
        "name some of these, or leave it out for the first"
    )


def like_the_first(products: Sequence[str]) -> tuple[int, ...]:
    """Return the logic ids of the chips with the name of the first: runs on others would not be comparable."""
    return tuple(chip for chip, product in enumerate(products) if product == products[0])
