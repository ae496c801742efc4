from __future__ import annotations

import os
from types import SimpleNamespace

from harness.doctor import checks, nvidia
from harness.doctor.finding import State
from tests.devices.stand_ins import StandInNvml, a_gpu, gpu_process
from tests.doctor.machines import Sandbox, only, troubles


def _idle() -> dict[str, object]:
    return {**a_gpu(0), "memory": SimpleNamespace(used=500 * 2**20, total=80 * 2**30)}


def test_a_free_gpu_and_its_driver_are_two_lines(machine: Sandbox, nvml: StandInNvml) -> None:
    nvml.gpus = [_idle()]
    driver, gpus = nvidia.gpus(machine.current())
    assert (driver.state, driver.message) == (State.OK, "550.54, for CUDA up to 12.4")
    assert (gpus.state, gpus.message) == (State.OK, "1 x NVIDIA Example 0, and nobody holds their memory")
    assert nvml.open == 0


def test_no_library_of_the_driver_is_a_failure(machine: Sandbox) -> None:
    finding = only(nvidia.gpus(machine.current()))
    assert finding.state is State.FAILED
    assert "--gpus all" in (finding.fix or "")


def test_a_driver_older_than_the_cuda_of_torch_is_a_failure(machine: Sandbox, nvml: StandInNvml) -> None:
    nvml.gpus = [_idle()]
    machine.install_torch("2.13.0", "13.0")
    finding = only(troubles(nvidia.gpus(machine.current())))
    assert finding.state is State.FAILED
    assert "for CUDA up to 12.4, is too old for torch 2.13.0, which was built for CUDA 13.0" in finding.message


def test_a_newer_minor_version_of_cuda_runs_on_the_driver(machine: Sandbox, nvml: StandInNvml) -> None:
    nvml.gpus = [_idle()]
    machine.install_torch("2.9.0", "12.8")
    assert troubles(nvidia.gpus(machine.current())) == []


def test_a_process_on_a_gpu_is_named(machine: Sandbox, nvml: StandInNvml) -> None:
    nvml.gpus = [_idle(), _idle() | {"compute": [gpu_process(os.getpid(), 4000)]}]
    finding = only(troubles(nvidia.gpus(machine.current())))
    assert finding.state is State.WARNING
    assert finding.message.startswith("GPU 1 is held by ")
    assert f"(pid {os.getpid()})" in finding.message
    assert (finding.fix or "").startswith(f"kill {os.getpid()}")


def test_memory_that_no_listed_process_holds_belongs_to_another_container(machine: Sandbox, nvml: StandInNvml) -> None:
    nvml.gpus = [_idle() | {"memory": SimpleNamespace(used=40 * 2**30, total=80 * 2**30)}]
    finding = only(troubles(nvidia.gpus(machine.current())))
    assert (finding.state, "not listed here" in finding.message) == (State.WARNING, True)


def test_gpus_that_a_variable_hides_are_a_failure_when_asked_for(machine: Sandbox, nvml: StandInNvml) -> None:
    nvml.gpus = [_idle()]
    machine.set("CUDA_VISIBLE_DEVICES", "7")
    finding = only(troubles(nvidia.gpus(machine.current())))
    assert (finding.state, finding.fix) == (State.FAILED, "unset CUDA_VISIBLE_DEVICES")


def test_a_gpu_is_a_sign_of_itself_unless_it_is_hidden_on_purpose(machine: Sandbox, nvml: StandInNvml) -> None:
    assert not checks.shows_nvidia(machine.current())
    nvml.gpus = [_idle()]
    assert checks.shows_nvidia(machine.current())
    machine.set("CUDA_VISIBLE_DEVICES", "")
    assert not checks.shows_nvidia(machine.current())


def test_a_device_file_is_a_sign_even_where_the_driver_is_not(machine: Sandbox) -> None:
    assert not checks.shows_nvidia(machine.current())
    machine.put("dev/nvidia0")
    assert checks.shows_nvidia(machine.current())
