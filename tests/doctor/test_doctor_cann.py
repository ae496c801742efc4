from __future__ import annotations

import pytest

from harness.doctor import cann
from harness.doctor.finding import State
from tests.doctor.machines import Sandbox, only


def test_a_machine_without_cann_is_told_which_one_its_torch_npu_needs(machine: Sandbox) -> None:
    machine.install("torch-npu", "2.9.0.post2")
    finding = only(cann.examine(machine.current()))
    assert finding.state is State.FAILED
    assert "CANN 9.0 " in (finding.fix or "")


def test_a_variable_that_names_no_folder_is_told(machine: Sandbox) -> None:
    machine.set("ASCEND_TOOLKIT_HOME", "/nowhere/latest")
    finding = only(cann.examine(machine.current()))
    assert "ASCEND_TOOLKIT_HOME=/nowhere/latest names no folder" in finding.message


@pytest.mark.parametrize("home", ["usr/local/Ascend/ascend-toolkit/latest", "usr/local/Ascend/cann"])
def test_a_cann_that_is_here_and_not_sourced_fails_with_the_script_to_source(machine: Sandbox, home: str) -> None:
    folder = machine.install_cann("8.1.RC1", home)
    finding = only(cann.examine(machine.current()))
    assert finding.state is State.FAILED
    assert finding.message.startswith(f"8.1.RC1 in {folder} is not sourced")
    assert finding.fix == f"source {folder.parent}/set_env.sh"


def test_a_cann_in_the_home_of_a_user_is_found(machine: Sandbox) -> None:
    (machine.home / "Ascend" / "cann").mkdir(parents=True)
    assert cann.find_home(machine.current()) == machine.home / "Ascend" / "cann"


def test_a_sourced_cann_is_well(machine: Sandbox) -> None:
    folder = machine.install_cann("8.5.0")
    machine.source(folder)
    finding = only(cann.examine(machine.current()))
    assert (finding.state, finding.message) == (State.OK, f"8.5.0 in {folder}, sourced")


def test_a_half_sourced_cann_fails_and_says_what_is_missing(machine: Sandbox) -> None:
    machine.source(machine.install_cann("8.5.0"))
    machine.set("LD_LIBRARY_PATH", "/usr/lib")
    finding = only(cann.examine(machine.current()))
    assert finding.state is State.FAILED
    assert finding.message.endswith("the environment lacks libascendcl.so on LD_LIBRARY_PATH")


def test_operators_that_are_not_installed_fail_with_their_package(machine: Sandbox) -> None:
    machine.source(machine.install_cann("8.5.0"))
    machine.set("ASCEND_OPP_PATH", machine.root / "nowhere")
    finding = only(cann.examine(machine.current()))
    assert finding.state is State.FAILED
    assert "ops (kernels) package of CANN 8.5.0" in (finding.fix or "")


def test_the_cann_that_the_vendors_table_pairs_with_torch_npu_is_well(machine: Sandbox) -> None:
    machine.source(machine.install_cann("9.0.0"))
    machine.install("torch-npu", "2.9.0.post2")
    assert [finding.state for finding in cann.examine(machine.current())] == [State.OK, State.OK]


def test_another_cann_than_the_tables_is_a_warning_with_a_pair_for_this_one(machine: Sandbox) -> None:
    machine.source(machine.install_cann("9.1.0"))
    machine.install("torch-npu", "2.9.0")
    _, fit = cann.examine(machine.current())
    assert fit.state is State.WARNING
    assert "made for CANN 8.5, and 9.1.0 is here" in fit.message
    assert "pip install torch-npu==2.12.0" in (fit.fix or "")


def test_a_torch_npu_that_the_table_leaves_out_is_a_warning_and_can_be_tried(machine: Sandbox) -> None:
    machine.source(machine.install_cann("8.3.RC1"))
    machine.install("torch-npu", "2.13.0")
    _, fit = cann.examine(machine.current())
    assert fit.state is State.WARNING
    assert (fit.fix or "").startswith('python -c "import torch, torch_npu;')


def test_a_cann_without_its_information_file_is_found_all_the_same(machine: Sandbox) -> None:
    folder = machine.install_cann("8.5.0")
    (folder / "aarch64-linux" / "ascend_toolkit_install.info").unlink()
    machine.source(folder)
    finding = only(cann.examine(machine.current()))
    assert finding.state is State.OK
    assert "of a version that is not told" in finding.message
