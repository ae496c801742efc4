"""Which accelerators a machine seems to have: so that a plain CPU machine is asked nothing about others."""

from __future__ import annotations

from harness.devices.ascend.query import COMMAND
from harness.devices.nvml import NoGpuError, opened
from harness.devices.reading import SensorError
from harness.doctor import cann
from harness.doctor.machine import Surroundings


def of_ascend(surroundings: Surroundings) -> bool:
    return bool(
        surroundings.command(COMMAND)
        or next(surroundings.below("dev").glob("davinci*"), None)
        or surroundings.package("torch-npu")
        or cann.find_home(surroundings)
    )


def of_nvidia(surroundings: Surroundings) -> bool:
    if surroundings.environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # It is meant to stay out of this.
        return False
    if surroundings.command("nvidia-smi") or next(surroundings.below("dev").glob("nvidia[0-9]*"), None):
        return True
    try:
        # In WSL there is neither.
        with opened() as gpus:
            return bool(gpus)
    except NoGpuError:
        return False
    except SensorError:
        return True
