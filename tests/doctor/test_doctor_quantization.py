from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from harness.devices.request import TorchDevice
from harness.doctor import quantization
from harness.doctor.finding import Finding, State
from harness.doctor.machine import Machine
from harness.doctor.trial import ARGUMENTS, Trial
from harness.processes.jobs import QuantizationTrialJob
from tests.devices.stand_ins import wait_until
from tests.doctor.machines import Sandbox, only


@pytest.fixture
def installed(machine: Sandbox) -> Sandbox:
    machine.install_torch("2.13.0+cpu")
    machine.install("bitsandbytes", "0.50.2")
    return machine


def _with_worker(machine: Sandbox, program: str, device: TorchDevice = "cpu", seconds: float = 60) -> list[Finding]:
    """What the doctor makes of a worker that is this program."""

    class Job(QuantizationTrialJob):
        @classmethod
        def command(cls, file: Path | str) -> list[str]:
            return [sys.executable, "-c", textwrap.dedent(program), str(file)]

    return list(quantization.bitsandbytes(machine.current(), device, Job, seconds))


def _says(**problems: str | None) -> str:
    lines = [Trial(quantization=name, problem=problem).model_dump_json() for name, problem in problems.items()]
    return f"print({chr(10).join(lines)!r}, flush=True)\n"


BY_HAND = """echo '{"device": "cpu"}' | python -m harness.workers.try_quantization /dev/stdin"""
ALL_WORK = _says(**dict.fromkeys(ARGUMENTS))


def test_a_device_that_torch_does_not_see_fails_without_a_traceback() -> None:
    finding = only(quantization.bitsandbytes(Machine.current(), "npu"))
    assert finding.state is State.FAILED
    assert "sees no npu: torch_npu cannot be imported" in finding.message
    assert "doctor` tells" not in finding.message


def test_without_bitsandbytes_nothing_is_tried(machine: Sandbox) -> None:
    machine.install_torch("2.13.0+cpu")
    finding = only(_with_worker(machine, "raise SystemExit"))
    assert (finding.state, finding.fix) == (State.FAILED, "pip install bitsandbytes")


def test_what_libraries_print_among_the_results_is_no_result(installed: Sandbox) -> None:
    finding = only(_with_worker(installed, f"print('welcome'); print({{}})\n{ALL_WORK}"))
    assert finding.state is State.OK


def test_one_quantization_that_does_not_work_is_a_warning_with_one_that_does(installed: Sandbox) -> None:
    trials = _says(int8="int8 does not work on this npu: no kernel; build it", nf4=None, nf4_double=None, fp4=None)
    working, broken = _with_worker(installed, trials, device="npu")
    assert (working.state, broken.state) == (State.OK, State.WARNING)
    assert broken.message == "int8: int8 does not work on this npu: no kernel"
    assert broken.fix == "quantization=nf4 in its place"


def test_none_that_works_on_an_npu_fails_with_the_build_from_source(installed: Sandbox) -> None:
    found = _with_worker(installed, _says(**dict.fromkeys(ARGUMENTS, "wrong numbers")), device="npu")
    assert [finding.state for finding in found] == [State.FAILED] * 4
    assert "-DCOMPUTE_BACKEND=npu" in (found[0].fix or "")


def test_a_worker_that_hangs_is_ended_with_all_it_started_and_what_it_had_found_is_kept(
    installed: Sandbox,
) -> None:
    hanging = """
        import subprocess, sys, time
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open("grandchild", "w").write(str(grandchild.pid))
        time.sleep(600)
    """
    program = f"import os; os.chdir({str(installed.work)!r})\n{_says(int8=None)}{textwrap.dedent(hanging)}"
    works, rest = _with_worker(installed, program, seconds=3)
    assert (works.state, works.message) == (State.OK, "int8 quantize, dequantize and train")
    assert (rest.state, rest.message) == (
        State.FAILED,
        "nf4, nf4_double, fp4 could not be tried: no answer within 3 s",
    )
    assert rest.fix == f"{BY_HAND} shows where it stops"
    grandchild = int((installed.work / "grandchild").read_text())
    wait_until(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE)


def test_a_worker_that_is_killed_says_by_what(installed: Sandbox) -> None:
    finding = only(_with_worker(installed, "import os; os.abort()"))
    assert finding.state is State.FAILED
    assert "SIGABRT ended it" in finding.message


def test_a_known_symptom_in_its_errors_gives_cause_and_fix(installed: Sandbox) -> None:
    program = "raise ImportError('libhccl.so: cannot open shared object file: No such file or directory')"
    finding = only(_with_worker(installed, program, device="npu"))
    assert finding.state is State.FAILED
    assert "the CANN environment is not sourced" in finding.message
    assert "set_env.sh" in (finding.fix or "")


def test_an_unknown_error_shows_its_last_line(installed: Sandbox) -> None:
    finding = only(_with_worker(installed, "raise RuntimeError('something new')"))
    assert finding.message.endswith("could not be tried: RuntimeError: something new")
    assert finding.fix == f"{BY_HAND} shows all of it"


def test_what_is_to_be_typed_by_hand_is_the_job_that_the_doctor_does() -> None:
    job, _, command = BY_HAND.removeprefix("echo ").partition(" | ")
    assert QuantizationTrialJob.model_validate_json(job.strip("'")) == QuantizationTrialJob(device="cpu")
    # The folder that it is typed in is the typist's own.
    assert ["-P", *command.split()[1:]] == QuantizationTrialJob.command("/dev/stdin")[1:]


def test_the_worker_sees_no_secret_and_on_a_cpu_no_gpu(installed: Sandbox) -> None:
    installed.set("MY_API_KEY", "sk-4711-very-secret")
    program = f"""
        import os
        assert "MY_API_KEY" not in os.environ, "a secret"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
        {ALL_WORK.strip()}
    """
    assert only(_with_worker(installed, program)).state is State.OK
