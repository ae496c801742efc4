"""The device on which a finished run is used: its own, if this machine has it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.base.errors import UserError
from harness.devices import device as devices
from harness.devices.device import AbsentError, Device, DeviceError, DeviceRequest
from harness.plan import device as planned
from harness.serving.finished_run import FinishedRun


@dataclass(frozen=True)
class Chosen:
    device: Device
    note: str | None
    """Why it is not the run's own device; None: it is."""


def choose_for(run: FinishedRun) -> Chosen:
    """Return the run's device, or another one of this machine where that one cannot be used. Raises UserError."""
    try:
        return Chosen(planned.choose(run.config, run.device), None)
    except DeviceError as error:
        chips = run.config.device.chips
        named = run.device if chips is None else f"{run.device} with chips {chips}"
        why = "is not here" if isinstance(error, AbsentError) else f"cannot be used ({error})"
    try:
        device = devices.choose("auto", DeviceRequest())
    except DeviceError as error:
        raise UserError(f"{run.name}: its device, {named}, {why}, and the one that is here: {error}") from None
    return Chosen(device, f"the run's device, {named}, {why}; {device.product} takes its place")
