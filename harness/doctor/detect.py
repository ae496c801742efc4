"""Which accelerators a machine seems to have: so that a plain CPU machine is asked nothing about others."""

from __future__ import annotations

from harness.devices.ascend.query import COMMAND
from harness.devices.nvml import NoGpuError, opened
from harness.devices.reading import SensorError
from harness.doctor import cann
from harness.doctor.machine import Machine


def shows_ascend(machine: Machine) -> bool:
    """Return whether anything on the machine is there for NPUs."""
    return bool(
        machine.command(COMMAND)
        or next(machine.below("dev").glob("davinci*"), None)
        or machine.package("torch-npu")
        or cann.find_home(machine)
    )


def shows_nvidia(machine: Machine) -> bool:
    """Return whether anything on the machine is there for NVIDIA GPUs that are not hidden on purpose."""
    if machine.environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # It is meant to stay out of this.
        return False
    if machine.command("nvidia-smi") or next(machine.below("dev").glob("nvidia[0-9]*"), None):
        return True
    try:
        # In WSL there is neither.
        with opened() as gpus:
            return bool(gpus)
    except NoGpuError:
        return False
    except SensorError:
        return True
