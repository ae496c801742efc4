"""All checks that concern a device, side by side, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from threading import Thread

from harness.base.redaction import redact
from harness.devices.request import TorchDevice
from harness.doctor import (
    cann,
    detect,
    libraries,
    limits,
    listening,
    npu,
    nvidia,
    quantization,
    storage,
    swanlab,
)
from harness.doctor.finding import Finding, failed
from harness.doctor.machine import Machine

_TORCH_DEVICE: dict[str, TorchDevice] = {"cuda": "cuda", "ascend": "npu"}
_DETECTORS = {"cuda": detect.shows_nvidia, "ascend": detect.shows_ascend}
_DEVICES = ("cpu", *_TORCH_DEVICE, "auto")


@dataclass(frozen=True)
class Check:
    """One look at one thing."""

    name: str
    """Stands in the table if the check itself breaks."""
    look: Callable[[], Iterable[Finding]]


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
        Thread(target=lambda found, check: found.extend(carry_out(check)), args=pair, daemon=True)
        for pair in zip(results, checks, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return findings + [finding for found in results for finding in found]


def _concerns(kind: str, device: str | None, machine: Machine) -> bool:
    """Whether the checks of cuda or ascend are to be made."""
    if device in (None, "auto"):
        try:
            return _DETECTORS[kind](machine)
        except Exception:  # What cannot even be looked for is worth a look.
            return True
    return device == kind


def _checks(machine: Machine, kinds: tuple[str, ...]) -> list[Check]:
    checks = [
        Check("Python", lambda: libraries.python(machine)),
        Check("torch", lambda: libraries.torch(machine, kinds)),
        Check("torchvision and torchaudio", lambda: libraries.companions(machine, kinds)),
    ]
    if "cuda" in kinds:
        checks.append(Check("NVIDIA driver", lambda: nvidia.gpus(machine)))
    if "ascend" in kinds:
        checks += [
            Check("torch-npu", lambda: libraries.torch_npu(machine)),
            Check("CANN", lambda: cann.examine(machine)),
            Check("NPU driver", lambda: npu.chips(machine)),
            Check("NPU device files", lambda: npu.device_files(machine)),
            Check("allocator settings", lambda: npu.allocator_settings(machine)),
            Check("deepspeed", lambda: libraries.deepspeed(machine)),
        ]
    for device in [_TORCH_DEVICE[kind] for kind in kinds] or ["cpu"]:
        checks.append(Check(f"bitsandbytes on {device}", partial(quantization.bitsandbytes, machine, device)))
    return [
        *checks,
        Check("disk", lambda: storage.disk(machine)),
        Check("memory", lambda: storage.memory(machine)),
        Check("/dev/shm", lambda: storage.shared_memory(machine)),
        Check("limits", lambda: limits.limits(machine, accelerator=bool(kinds))),
        Check("ports", lambda: listening.ports(machine)),
        Check("SwanLab", lambda: swanlab.swanlab(machine)),
    ]


def carry_out(check: Check) -> list[Finding]:
    """Return what a check found; that it broke is one more finding, after those that it still made."""
    findings: list[Finding] = []
    try:
        for finding in check.look():
            findings.append(finding.model_copy(update={"message": redact(finding.message)}))
    except Exception as error:
        findings.append(
            failed(
                check.name,
                redact(f"the check itself broke: {type(error).__name__}: {error}"),
                "report this line together with the output of `pip freeze`; the other lines hold all the same",
            )
        )
    return findings
