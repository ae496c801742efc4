"""Which chips a run may use, and how a wish that cannot be met is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

TorchDevice = Literal["cpu", "cuda", "npu"]
"""What torch calls a device."""


class DeviceError(Exception):
    """The device asked for cannot be used. The message names the key, what is there and the fix."""


class AbsentError(DeviceError):
    """No chip of this kind is here."""


@dataclass(frozen=True)
class Wish:
    """What a configuration asks of a device."""

    chips: Sequence[int] | None = None
    """Logic ids among the visible chips; None: the first."""
    sensor: str = "auto"
    """Of an Ascend device: npu-smi or dcmi."""
    stand_in: str | None = None
    """What stands in for an NPU in this run, in words; the training is done on the CPU then."""

    def refuse_npu_keys(self, device: str) -> None:
        """Raises DeviceError where a key was given that means nothing to a device other than an NPU."""
        for key, given in (("sensor", self.sensor if self.sensor != "auto" else None), ("stand_in", self.stand_in)):
            if given is not None:
                raise DeviceError(f"device.{key}={given}: the device is {device}; leave it out or set device=ascend")


def select(chips: Sequence[int] | None, products: Sequence[str]) -> tuple[int, ...]:
    """Logic ids, ascending; the first where `chips` is None. `products`: the names of the visible chips.

    Raises DeviceError."""
    if chips is None:
        return (0,)
    if chips and set(chips) <= set(range(len(products))):
        return tuple(sorted(set(chips)))
    here = ", ".join(f"{chip} ({product})" for chip, product in enumerate(products))
    raise DeviceError(
        f"device.chips={list(chips)}: the chips visible here are {here}; "
        "name some of these, or leave it out for the first"
    )
