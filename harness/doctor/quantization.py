"""Whether bitsandbytes works on this device: tried by a worker, since only those import torch."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from subprocess import TimeoutExpired

from pydantic import ValidationError

from harness.base.redaction import for_child
from harness.devices.request import TorchDevice
from harness.doctor.finding import Finding, failed, ok, warning
from harness.doctor.machine import Machine
from harness.doctor.trial import ARGUMENTS, Trial
from harness.processes import start
from harness.processes.jobs import QuantizationTrialJob
from harness.processes.symptoms import diagnose

TIMEOUT_SECONDS = 120.0
"""A CPU needs 4 s, most of them for imports; an NPU without its kernels package compiles each operator first."""
_SOURCE_BUILD = (
    "git clone https://github.com/bitsandbytes-foundation/bitsandbytes && cd bitsandbytes && "
    "cmake -DCOMPUTE_BACKEND=npu -S . && make && pip install ."
)
"""README of LLaMA-Factory 0.9.5, "For Ascend NPU Users"."""


def bitsandbytes(
    machine: Machine,
    device: TorchDevice,
    job: type[QuantizationTrialJob] = QuantizationTrialJob,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Iterator[Finding]:
    """Look which quantizations work on `device` (cpu, cuda or npu), by trying each in a worker that does `job`."""
    check = f"bitsandbytes on {device}"
    missing = [name for name in ("torch", "bitsandbytes") if machine.package(name) is None]
    if missing:
        yield failed(check, f"{' and '.join(missing)} is not installed", f"pip install {' '.join(missing)}")
        return
    output, errors, end = _try(job(device=device), machine, timeout_seconds)
    trials = []
    for line in output.splitlines():
        # Libraries print to the same stream as they like.
        with suppress(ValidationError):
            trials.append(Trial.model_validate_json(line))
    working = [trial.quantization for trial in trials if trial.problem is None]
    if working:
        yield ok(check, f"{', '.join(working)} quantize, dequantize and train")
    for trial in trials:
        if trial.problem is not None:
            # UnsupportedError ends with what helps, which is said here in words to type.
            what = f"{trial.quantization}: {trial.problem.rpartition('; ')[0] or trial.problem}"
            if working:
                yield warning(check, what, f"quantization={working[0]} in its place")
            else:
                reinstall = "pip install --force-reinstall bitsandbytes"
                yield failed(check, what, _SOURCE_BUILD if device == "npu" else reinstall)
    untried = [name for name in ARGUMENTS if name not in {trial.quantization for trial in trials}]
    if untried:
        yield _untried(check, untried, errors, end, device)


def _try(job: QuantizationTrialJob, machine: Machine, timeout_seconds: float) -> tuple[str, str, str | None]:
    """The worker's output, its errors, and how it ended where that was not by itself."""
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if job.device == "cpu" else {}
    environment = for_child(machine.environment) | hidden
    try:
        done = start.run_to_end(job, environment, timeout_seconds)
    except TimeoutExpired as expired:
        return str(expired.output), str(expired.stderr), f"no answer within {timeout_seconds:g} s"
    end = f"{signal.Signals(-done.returncode).name} ended it" if done.returncode < 0 else None
    return done.stdout, done.stderr, end


def _untried(check: str, untried: list[str], errors: str, end: str | None, device: str) -> Finding:
    what = f"{', '.join(untried)} could not be tried"
    by_hand = f"""echo '{{"device": "{device}"}}' | python -m harness.workers.try_quantization /dev/stdin"""
    if end is not None:
        return failed(check, f"{what}: {end}", f"{by_hand} shows where it stops")
    known = diagnose(errors)
    if known is not None:
        return failed(check, f"{what}: {known.cause} ({known.line})", known.fix)
    last = next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), "it said nothing")
    first = "" if device == "cpu" else "mend what is said above of torch and the driver, then "
    return failed(check, f"{what}: {last[:300]}", f"{first}{by_hand} shows all of it")
