"""All checks that concern a device, side by side, in the order in which they are shown.

A plain CPU machine is asked nothing about accelerators: what it shows no sign of is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from threading import Thread

from harness.base.redaction import redact
from harness.devices.ascend.query import COMMAND
from harness.devices.nvml import NoGpuError, opened
from harness.devices.reading import SensorError
from harness.devices.request import TorchDevice
from harness.doctor import cann, host, libraries, npu, nvidia, quantization, swanlab
from harness.doctor.finding import Finding, failed
from harness.doctor.machine import Machine

Look = Callable[[], Iterable[Finding]]
_TORCH_DEVICE: dict[str, TorchDevice] = {"cuda": "cuda", "ascend": "npu"}
_DEVICES = ("cpu", *_TORCH_DEVICE, "auto")


def examine(device: str | None, machine: Machine | None = None) -> list[Finding]:
    """Return all about this machine that can keep a run on `device` (auto, cpu, cuda, ascend) from working.

    None and auto: on whichever accelerators it seems to have. Never raises."""
    try:
        machine = machine or Machine.current()
    except Exception as error:  # The working folder was deleted, say.
        return [failed("machine", f"cannot be looked at: {type(error).__name__}: {error}", "cd ~")]
    findings: list[Finding] = []
    if device is not None and device not in _DEVICES:
        findings.append(
            failed("device", f"{device} is not known", f"harness doctor --device cpu (or {', '.join(_DEVICES[1:])})")
        )
        device = None
    checks = _checks(machine, tuple(kind for kind in _TORCH_DEVICE if _concerns(kind, device, machine)))
    results: list[list[Finding]] = [[] for _ in checks]
    # Daemons, so that Ctrl-C need not wait for a driver that does not answer.
    threads = [
        Thread(target=lambda found, check: found.extend(carry_out(*check)), args=pair, daemon=True)
        for pair in zip(results, checks.items(), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return findings + [finding for found in results for finding in found]


def _concerns(kind: str, device: str | None, machine: Machine) -> bool:
    """Whether the checks of cuda or ascend are to be made."""
    if device not in (None, "auto"):
        return device == kind
    try:
        return shows_nvidia(machine) if kind == "cuda" else shows_ascend(machine)
    except Exception:  # What cannot even be looked for is worth a look.
        return True


def shows_ascend(machine: Machine) -> bool:
    """Return whether anything on the machine is there for NPUs."""
    return bool(
        machine.command(COMMAND)
        or next((machine.root / "dev").glob("davinci*"), None)
        or machine.package("torch-npu")
        or cann.find_home(machine)
    )


def shows_nvidia(machine: Machine) -> bool:
    """Return whether anything on the machine is there for NVIDIA GPUs that are not hidden on purpose."""
    if machine.environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # It is meant to stay out of this.
        return False
    if machine.command("nvidia-smi") or next((machine.root / "dev").glob("nvidia[0-9]*"), None):
        return True
    try:
        # In WSL there is neither.
        with opened() as gpus:
            return bool(gpus)
    except NoGpuError:
        return False
    except SensorError:
        return True


def _checks(machine: Machine, kinds: tuple[str, ...]) -> dict[str, Look]:
    """The checks, each by the name that stands in the table if it breaks itself."""
    checks: dict[str, Look] = {
        "Python": partial(libraries.python, machine),
        "torch": partial(libraries.torch, machine, kinds),
        "torchvision and torchaudio": partial(libraries.companions, machine, kinds),
    }
    if "cuda" in kinds:
        checks["NVIDIA driver"] = partial(nvidia.gpus, machine)
    if "ascend" in kinds:
        checks |= {
            "torch-npu": partial(libraries.torch_npu, machine),
            "CANN": partial(cann.examine, machine),
            "NPU driver": partial(npu.chips, machine),
            "NPU device files": partial(npu.device_files, machine),
            "allocator settings": partial(npu.allocator_settings, machine),
            "deepspeed": partial(libraries.deepspeed, machine),
        }
    for device in [_TORCH_DEVICE[kind] for kind in kinds] or ["cpu"]:
        checks[f"bitsandbytes on {device}"] = partial(quantization.bitsandbytes, machine, device)
    return checks | {
        "disk": partial(host.disk, machine),
        "memory": partial(host.memory, machine),
        "/dev/shm": partial(host.shared_memory, machine),
        "limits": partial(host.limits, machine, accelerator=bool(kinds)),
        "ports": partial(host.ports, machine),
        "SwanLab": partial(swanlab.swanlab, machine),
    }


def carry_out(name: str, look: Look) -> list[Finding]:
    """Return what a check found; that it broke is one more finding, after those that it still made."""
    findings: list[Finding] = []
    try:
        for finding in look():
            findings.append(finding.model_copy(update={"message": redact(finding.message)}))
    except Exception as error:
        findings.append(
            failed(
                name,
                redact(f"the check itself broke: {type(error).__name__}: {error}"),
                "report this line together with the output of `pip freeze`; the other lines hold all the same",
            )
        )
    return findings
