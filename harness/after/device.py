"""What a process that uses a finished run gets of the environment: the run's own chips, if they are here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness import secrets
from harness.after.run_folder import FinishedRun
from harness.children import OFFLINE
from harness.devices.device import AbsentError, Device, DeviceError, Wish, choose
from harness.errors import UserError


@dataclass(frozen=True)
class Surroundings:
    device: Device
    note: str | None
    """Why it is not the run's own device; None: it is."""


def of(run: FinishedRun) -> Surroundings:
    """The run's device; another that is here, where that one is not. Raises UserError."""
    wanted = run.config.device
    try:
        return Surroundings(choose(run.device, Wish(wanted.chips, wanted.sensor, wanted.stand_in)), None)
    except DeviceError as error:
        named = run.device if wanted.chips is None else f"{run.device} with chips {wanted.chips}"
        why = "is not here" if isinstance(error, AbsentError) else f"cannot be used ({error})"
    try:
        device = choose("auto", Wish())
    except DeviceError as error:
        raise UserError([f"{run.name}: its device, {named}, {why}, and the one that is here: {error}"]) from None
    return Surroundings(device, f"the run's device, {named}, {why}; {device.product} takes its place")


def environment(run: FinishedRun, device: Device, model: str) -> dict[str, str]:
    """The whole environment of a process that loads `model`, with what the training had."""
    chosen = {"TOKENIZERS_PARALLELISM": "false", **device.environment()}
    if run.config.model.hub == "modelscope":
        chosen["USE_MODELSCOPE_HUB"] = "1"
    if run.config.device.threads is not None:
        chosen["OMP_NUM_THREADS"] = str(run.config.device.threads)
    return secrets.for_child(os.environ) | chosen | (OFFLINE if Path(model).is_dir() else {})
