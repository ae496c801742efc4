"""Whether bitsandbytes works on this device: tried in a child process, since only that imports torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress

from pydantic import ValidationError

from harness.base.redaction import for_child
from harness.doctor.finding import Finding, failed, ok, warning
from harness.doctor.machine import Surroundings
from harness.doctor.trial import ARGUMENTS, Trial
from harness.processes.symptoms import diagnose

TIMEOUT_SECONDS = 120.0
"""A CPU needs 4 s, most of them for imports; an NPU without its kernels package compiles each operator first."""
_SOURCE_BUILD = (
    "git clone https://github.com/bitsandbytes-foundation/bitsandbytes && cd bitsandbytes && "
    "cmake -DCOMPUTE_BACKEND=npu -S . && make && pip install ."
)
"""README of LLaMA-Factory 0.9.5, "For Ascend NPU Users"."""


def bitsandbytes(
    surroundings: Surroundings,
    device: str,
    command: Sequence[str] = (sys.executable, "-m", "harness.workers.try_quantization"),
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Iterator[Finding]:
    """`device`: cpu, cuda or npu, as torch calls it."""
    check = f"bitsandbytes on {device}"
    missing = [name for name in ("torch", "bitsandbytes") if surroundings.package(name) is None]
    if missing:
        yield failed(check, f"{' and '.join(missing)} is not installed", f"pip install {' '.join(missing)}")
        return
    output, errors, ended = _call([*command, device], surroundings, timeout_seconds)
    trials = list(_trials(output))
    working = [trial.quantization for trial in trials if trial.problem is None]
    if working:
        yield ok(check, f"{', '.join(working)} quantize, dequantize and train")
    for trial in trials:
        if trial.problem is not None:
            yield _not_working(check, trial.quantization, trial.problem, device, working)
    untried = [name for name in ARGUMENTS if name not in {trial.quantization for trial in trials}]
    if untried:
        yield _untried(check, untried, errors, ended, device)


def _not_working(check: str, quantization: str, problem: str, device: str, working: list[str]) -> Finding:
    # UnsupportedError ends with what helps, which is said here in words to type.
    what = f"{quantization}: {problem.rpartition('; ')[0] or problem}"
    if working:
        return warning(check, what, f"quantization={working[0]} in its place")
    return failed(check, what, _SOURCE_BUILD if device == "npu" else "pip install --force-reinstall bitsandbytes")


def _untried(check: str, untried: list[str], errors: str, ended: str | None, device: str) -> Finding:
    what = f"{', '.join(untried)} could not be tried"
    if ended is not None:
        return failed(
            check, f"{what}: {ended}", f"python -m harness.workers.try_quantization {device} shows where it stops"
        )
    known = diagnose(errors)
    if known is not None:
        return failed(check, f"{what}: {known.cause} ({known.line})", known.fix)
    last = next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), "it said nothing")
    first = "" if device == "cpu" else "mend what is said above of torch and the driver, then "
    return failed(
        check, f"{what}: {last[:300]}", f"{first}python -m harness.workers.try_quantization {device} shows all of it"
    )


def _trials(output: str) -> Iterator[Trial]:
    for line in output.splitlines():
        # Libraries print to the same stream as they like.
        with suppress(ValidationError):
            yield Trial.model_validate_json(line)


def _call(command: list[str], surroundings: Surroundings, timeout_seconds: float) -> tuple[str, str, str | None]:
    """Its output, its errors, and how it ended where that was not by itself."""
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if command[-1] == "cpu" else {}
    # Files, not pipes: a compiler that an NPU starts would hold a pipe open for longer than the child lives.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=for_child(surroundings.environment) | hidden,
            start_new_session=True,
        )
        ended = None
        try:
            status = process.wait(timeout_seconds)
            if status < 0:
                ended = f"{signal.Signals(-status).name} ended it"
        except subprocess.TimeoutExpired:
            ended = f"no answer within {timeout_seconds:g} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # One that waits for the driver cannot even be killed.
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
        output.seek(0)
        errors.seek(0)
        return output.read().decode(errors="replace"), errors.read().decode(errors="replace"), ended
