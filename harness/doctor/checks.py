"""All checks that concern a device, side by side, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from threading import Thread

from harness.base.redaction import redact
from harness.doctor import cann, libraries, limits, npu, nvidia, quantization, storage
from harness.doctor import detect as signs
from harness.doctor import listening as ports
from harness.doctor import swanlab as tracking
from harness.doctor.finding import Finding, failed
from harness.doctor.machine import Surroundings

_TORCH_DEVICE = {"cuda": "cuda", "ascend": "npu"}
_SIGNS = {"cuda": signs.of_nvidia, "ascend": signs.of_ascend}
_DEVICES = ("cpu", *_TORCH_DEVICE, "auto")


@dataclass(frozen=True)
class Check:
    name: str
    """Stands in the table if the check itself breaks."""
    look: Callable[[], Iterable[Finding]]


def examine(device: str | None, surroundings: Surroundings | None = None) -> list[Finding]:
    """Everything about this machine that can keep a run on `device` (auto, cpu, cuda, ascend) from working.

    None and auto: whichever accelerators it seems to have. Never raises."""
    try:
        here = surroundings or Surroundings.here()
    except Exception as error:  # The working folder was deleted, say.
        return [failed("surroundings", f"cannot be looked at: {type(error).__name__}: {error}", "cd ~")]
    findings: list[Finding] = []
    if device is not None and device not in _DEVICES:
        findings.append(
            failed("device", f"{device} is not known", f"harness doctor --device cpu (or {', '.join(_DEVICES[1:])})")
        )
        device = None
    checks = _checks(here, tuple(kind for kind in _TORCH_DEVICE if _concerns(kind, device, here)))
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


def _concerns(kind: str, device: str | None, here: Surroundings) -> bool:
    """Whether the checks of cuda or ascend are to be made."""
    if device in (None, "auto"):
        try:
            return _SIGNS[kind](here)
        except Exception:  # What cannot even be looked for is worth a look.
            return True
    return device == kind


def _checks(here: Surroundings, kinds: tuple[str, ...]) -> list[Check]:
    checks = [
        Check("Python", lambda: libraries.python(here)),
        Check("torch", lambda: libraries.torch(here, kinds)),
        Check("torchvision and torchaudio", lambda: libraries.companions(here, kinds)),
    ]
    if "cuda" in kinds:
        checks.append(Check("NVIDIA driver", lambda: nvidia.gpus(here)))
    if "ascend" in kinds:
        checks += [
            Check("torch-npu", lambda: libraries.torch_npu(here)),
            Check("CANN", lambda: cann.examine(here)),
            Check("NPU driver", lambda: npu.chips(here)),
            Check("NPU device files", lambda: npu.device_files(here)),
            Check("allocator settings", lambda: npu.allocator_settings(here)),
            Check("deepspeed", lambda: libraries.deepspeed(here)),
        ]
    for device in [_TORCH_DEVICE[kind] for kind in kinds] or ["cpu"]:
        checks.append(Check(f"bitsandbytes on {device}", partial(quantization.bitsandbytes, here, device)))
    return [
        *checks,
        Check("disk", lambda: storage.disk(here)),
        Check("memory", lambda: storage.memory(here)),
        Check("/dev/shm", lambda: storage.shared_memory(here)),
        Check("limits", lambda: limits.limits(here, accelerator=bool(kinds))),
        Check("ports", lambda: ports.ports(here)),
        Check("SwanLab", lambda: tracking.swanlab(here)),
    ]


def carry_out(check: Check) -> list[Finding]:
    """What a check found; that it broke is one more finding, after those it still made."""
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
