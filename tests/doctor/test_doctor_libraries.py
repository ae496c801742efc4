from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from harness.doctor import cann, libraries
from harness.doctor import machine as machines
from harness.doctor.finding import State
from tests.doctor.machines import Sandbox, only

_TORCHVISION = "torchvision"


def test_python_is_as_old_as_pyproject_allows_and_no_older(machine: Sandbox) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    oldest = libraries.OLDEST_PYTHON
    assert project["requires-python"] == f">={oldest[0]}.{oldest[1]}"

    assert only(libraries.python(machine.current(python=(*oldest, 0)))).state is State.OK
    older = only(libraries.python(machine.current(python=(3, 10, 14))))
    assert older.state is State.FAILED
    assert older.fix
    assert older.fix.startswith("python3.11 -m venv")


def test_the_pairings_are_those_of_a_torch_that_the_project_allows() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert "torch>=2.9" in project["dependencies"]
    assert cann.newest_for("9.1") == "2.12.0"
    assert cann.newest_for("8.5") == "2.9.0"
    assert cann.newest_for("8.3") is None


def test_no_torch_is_a_failure(machine: Sandbox) -> None:
    finding = only(libraries.torch(machine.current(), ()))
    assert (finding.state, finding.message) == (State.FAILED, "is not installed")


@pytest.mark.parametrize(("cuda", "kinds"), [(None, ()), (None, ("ascend",)), ("13.0", ("cuda",)), ("13.0", ())])
def test_a_torch_of_the_right_build_is_well(machine: Sandbox, cuda: str | None, kinds: tuple[str, ...]) -> None:
    machine.install_torch("2.13.0", cuda)
    finding = only(libraries.torch(machine.current(), kinds))
    assert finding.state is State.OK
    assert finding.message == f"2.13.0 ({'cu130' if cuda else 'cpu'} build)"


def test_a_cpu_torch_cannot_use_the_nvidia_gpu_that_is_here(machine: Sandbox) -> None:
    machine.install_torch("2.13.0+cpu")
    finding = only(libraries.torch(machine.current(), ("cuda",)))
    assert finding.state is State.FAILED
    assert finding.fix == "pip uninstall -y torch && pip install torch==2.13.0"


def test_a_cuda_torch_keeps_torch_npu_from_loading(machine: Sandbox) -> None:
    machine.install_torch("2.9.0", "12.8")
    machine.install("torch-npu", "2.9.0")
    finding = only(libraries.torch(machine.current(), ("ascend",)))
    assert finding.state is State.FAILED
    assert "Two accelerators cannot be used at the same time" in finding.message
    assert finding.fix == (
        "pip uninstall -y torch && pip install torch==2.9.0 --index-url https://download.pytorch.org/whl/cpu"
    )


def test_a_cuda_torch_is_well_where_gpu_and_cann_are_both_here_and_torch_npu_is_not(machine: Sandbox) -> None:
    machine.install_torch("2.9.0", "12.8")
    assert only(libraries.torch(machine.current(), ("cuda", "ascend"))).state is State.OK


@pytest.mark.parametrize("torch_npu", ["2.9.0", "2.9.0.post2"])
def test_a_torch_npu_of_the_same_number_is_well(machine: Sandbox, torch_npu: str) -> None:
    machine.install_torch("2.9.0+cpu")
    machine.install("torch-npu", torch_npu)
    assert only(libraries.torch_npu(machine.current())).state is State.OK


def test_a_torch_npu_of_another_number_is_a_failure(machine: Sandbox) -> None:
    machine.install_torch("2.13.0+cpu")
    machine.install("torch-npu", "2.12.0")
    finding = only(libraries.torch_npu(machine.current()))
    assert finding.state is State.FAILED
    assert "2.12.0 beside torch 2.13.0+cpu" in finding.message
    assert finding.fix == "pip install torch-npu==2.13.0"


@pytest.mark.parametrize(("cann", "wanted"), [("9.1.0", "2.9.0.post6"), ("9.0.0", "2.9.0.post2"), ("8.5.0", "2.9.0")])
def test_the_missing_torch_npu_is_named_as_the_cann_that_is_here_needs_it(
    machine: Sandbox, cann: str, wanted: str
) -> None:
    machine.install_torch("2.9.0+cpu")
    machine.install_cann(cann)
    finding = only(libraries.torch_npu(machine.current()))
    assert (finding.state, finding.fix) == (State.FAILED, f"pip install torch-npu=={wanted}")


def test_a_torchvision_for_another_torch_is_a_warning_since_the_harness_works_around_it(
    machine: Sandbox,
) -> None:
    machine.install_torch("2.13.0+cpu")
    machine.install(_TORCHVISION, "0.26.0", needs=["numpy", "torch==2.11.0"])
    finding = only(libraries.companions(machine.current(), ()))
    assert finding.state is State.WARNING
    assert "torchvision 0.26.0 was built for torch 2.11.0, not 2.13.0" in finding.message
    assert "llamafactory-cli" in finding.message
    assert finding.fix == (
        "pip uninstall -y torchvision && pip install torch==2.13.0 torchvision "
        "--index-url https://download.pytorch.org/whl/cpu"
    )


def test_companions_of_the_right_number_and_another_build_are_a_warning(machine: Sandbox) -> None:
    machine.install_torch("2.13.0+cpu")
    machine.install(_TORCHVISION, "0.28.0", ["torch (==2.13.0)"], version_file="__version__ = '0.28.0+cu130'\n")
    machine.install("torchaudio", "2.11.0", version_file="__version__ = '2.11.0+cu130'\n")
    finding = only(libraries.companions(machine.current(), ()))
    assert finding.state is State.WARNING
    assert "torchvision 0.28.0 is a cu130 build" in finding.message
    assert "torchaudio 2.11.0 is a cu130 build" in finding.message


@pytest.mark.parametrize("label", ["+cpu", ""])
def test_companions_that_fit_or_do_not_tell_are_well(machine: Sandbox, label: str) -> None:
    machine.install_torch("2.13.0+cpu")
    machine.install(_TORCHVISION, "0.28.0", ["torch==2.13.0"], version_file=f"__version__ = '0.28.0{label}'\n")
    assert only(libraries.companions(machine.current(), ())).state is State.OK


def test_companions_are_left_alone_while_torch_itself_has_to_be_replaced(machine: Sandbox) -> None:
    machine.install_torch("2.13.0+cpu")
    machine.install(_TORCHVISION, "0.28.0", version_file="__version__ = '0.28.0+cu130'\n")
    assert list(libraries.companions(machine.current(), ("cuda",))) == []


def test_deepspeed_beside_an_npu_is_a_failure_and_its_absence_nothing(machine: Sandbox) -> None:
    assert list(libraries.deepspeed(machine.current())) == []
    machine.install("deepspeed", "0.16.9")
    finding = only(libraries.deepspeed(machine.current()))
    assert finding.state is State.FAILED
    assert finding.fix is not None
    assert finding.fix.startswith("pip uninstall -y deepspeed")


def test_the_torch_that_runs_these_tests_is_read_without_importing_it() -> None:
    torch = machines.find("torch", tuple(sys.path))
    assert torch
    assert str(torch.version) == version("torch")
    assert torch.build == "cpu" or (torch.build or "").startswith("cu")


@pytest.mark.parametrize(
    ("needs", "torch"),
    [
        (["torch (==2.13.0)"], "==2.13.0"),
        (["numpy", "torch==2.13.0"], "==2.13.0"),
        (["torch>=2.9"], None),
        (["torch-npu==2.9.0", "of no sense at all ==1"], None),
    ],
)
def test_the_torch_that_a_package_was_built_for_is_the_one_that_it_pins(
    machine: Sandbox, needs: list[str], torch: str | None
) -> None:
    machine.install(_TORCHVISION, "0.28.0", needs)
    package = machines.find(_TORCHVISION, machine.current().package_folders)
    assert package is not None
    assert (None if package.torch is None else str(package.torch)) == torch


@pytest.mark.parametrize(
    ("build", "cuda"), [("cu130", "13.0"), ("cu128", "12.8"), ("cpu", None), (None, None), ("cu9", None)]
)
def test_the_cuda_of_a_build_is_read_from_its_label(build: str | None, cuda: str | None) -> None:
    package = machines.Package("torch", Version("2.13.0"), None, build)
    assert package.cuda == (None if cuda is None else Version(cuda))
