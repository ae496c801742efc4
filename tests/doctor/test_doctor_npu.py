from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path

import pytest

from harness.devices.ascend.query import npu_smi
from harness.doctor import npu
from harness.doctor.finding import Finding, State
from tests.doctor.machines import DEVICE_FILES, IDLE_910B2, Sandbox, only, troubles

RECORDED = Path(__file__).parents[3] / "shared" / "npu-smi" / "info"
VISIBLE = "ASCEND_RT_VISIBLE_DEVICES"
recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings are not here")


def _trouble(machine: Sandbox, table: str) -> Finding:
    machine.give_npus(table)
    return only(troubles(npu.chips(machine.current())))


def test_idle_healthy_chips_are_one_line_beside_the_driver(machine: Sandbox) -> None:
    machine.give_npus()
    driver, chips = npu.chips(machine.current())
    assert (driver.state, driver.message) == (State.OK, "23.0.3 (npu-smi 23.0.3)")
    assert (chips.state, chips.message) == (State.OK, "2 x 910B2, healthy, and nobody holds their memory")


def test_no_npu_smi_fails_with_the_mount_that_a_container_needs(machine: Sandbox) -> None:
    finding = only(npu.chips(machine.current()))
    assert finding.state is State.FAILED
    assert "/usr/local/bin/npu-smi" in (finding.fix or "")


@pytest.mark.parametrize(
    ("expected", "cause", "fix"),
    [
        ("dcmi module initialize failed. ret is -8005", "upgraded without a reboot", "--device /dev/davinciN"),
        (
            "dcmi model initialized failed, because the device is used. ret is -8020",
            "another container holds the chip",
            "/usr/local/dcmi",
        ),
        ("npu get board type failed. ret is -9005", "did not tell the board's type", "dmesg"),
        ("There is no NPU card on this server.", "sees no card", "lspci"),
        ("Segmentation fault", "Segmentation fault", "dmesg"),
    ],
)
def test_an_error_of_the_driver_fails_with_cause_and_fix(machine: Sandbox, expected: str, cause: str, fix: str) -> None:
    machine.npu_smi(f"print({expected!r})")
    finding = only(npu.chips(machine.current()))
    assert finding.state is State.FAILED
    assert cause in finding.message
    assert fix in (finding.fix or "")


def test_an_npu_smi_that_hangs_is_not_waited_for(machine: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npu, "npu_smi", partial(npu_smi, timeout_seconds=0.5))
    machine.npu_smi("time.sleep(600)")
    finding = only(npu.chips(machine.current()))
    assert finding.state is State.FAILED
    assert "no answer within 0.5 s" in finding.message


@pytest.mark.parametrize(
    ("health", "state"), [("Warning ", State.WARNING), ("Alarm   ", State.FAILED), ("Critical", State.FAILED)]
)
def test_a_chip_that_is_not_well_is_named(machine: Sandbox, health: str, state: State) -> None:
    finding = _trouble(machine, IDLE_910B2.replace("| OK      ", f"| {health}", 1))
    assert (finding.state, finding.message) == (state, f"NPU 2 chip 0 (910B2) says {health.strip()}")
    assert "npu-smi info -t health -i 2" in (finding.fix or "")


def test_a_process_on_a_chip_is_named_with_the_command_that_ends_it(machine: Sandbox) -> None:
    nobody = next(line for line in IDLE_910B2.splitlines() if "found in NPU 5" in line)
    process = "| 5       0                 | 4711          | python3                  | 52000                   |"
    finding = _trouble(machine, IDLE_910B2.replace(nobody, process).replace("3331 / 65536", "55331/ 65536"))
    assert finding.state is State.WARNING
    assert "NPU 5 chip 0 (910B2) is held by python3 (pid 4711) (55331 of 65536 MiB are used)" in finding.message
    assert (finding.fix or "").startswith("kill 4711")


def test_memory_that_no_listed_process_holds_belongs_to_another_container(machine: Sandbox) -> None:
    finding = _trouble(machine, IDLE_910B2.replace("3331 / 65536", "55331/ 65536"))
    assert finding.state is State.WARNING
    assert "is held by a process that is not listed here (55331 of 65536 MiB are used)" in finding.message


def test_a_driver_that_lists_no_processes_is_not_taken_for_idle(machine: Sandbox) -> None:
    machine.give_npus(IDLE_910B2.partition("| NPU     Chip")[0])
    *_, chips = npu.chips(machine.current())
    assert chips.state is State.OK
    assert "this driver does not list who holds them" in chips.message


def test_a_table_that_is_cut_off_is_a_warning(machine: Sandbox) -> None:
    table = IDLE_910B2.replace("| 0                         | 0000:02:00.0", "| 0                         | 000", 1)
    finding = _trouble(machine, "\n".join(line[:40] if "| 000 " in line else line for line in table.splitlines()))
    assert finding.state is State.WARNING
    assert "cannot be read" in finding.message


@recordings
def test_of_each_recorded_table_something_is_said(machine: Sandbox) -> None:
    for recording in RECORDED.glob("*.txt"):
        machine.npu_smi(f"print(open({str(recording)!r}).read(), end='')")
        found = list(npu.chips(machine.current()))
        assert found, recording.name
        assert all(finding.fix for finding in troubles(found)), recording.name


@recordings
@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        ("910B1_npu-smi-23.0.rc3.3_busy_procs", "is held by python"),
        ("910A_npu-smi-24.1.RC2_warning_multi-proc", "says Warning"),
    ],
)
def test_recorded_trouble_is_found(machine: Sandbox, recording: str, expected: str) -> None:
    machine.npu_smi(f"print(open({str(RECORDED / (recording + '.txt'))!r}).read(), end='')")
    assert any(expected in finding.message for finding in troubles(npu.chips(machine.current())))


@recordings
def test_a_recorded_idle_container_is_well(machine: Sandbox) -> None:
    recording = RECORDED / "910B2_npu-smi-23.0.3_container-npu2_idle.txt"
    machine.npu_smi(f"print(open({str(recording)!r}).read(), end='')")
    assert troubles(npu.chips(machine.current())) == []


@pytest.mark.parametrize(
    ("listed", "state", "expected", "fix"),
    [
        ("0,1", State.OK, "0,1", None),
        ("1", State.OK, "1", None),
        ("0, 1", State.WARNING, "is read as 0:", f"export {VISIBLE}=0,1"),
        ("0,7", State.WARNING, "is read as 0:", f"export {VISIBLE}=0"),
        ("1,0", State.WARNING, "not ascending", f"export {VISIBLE}=0,1"),
        (" 1", State.FAILED, "leaves no NPU visible", f"export {VISIBLE}=1"),
        ("7", State.FAILED, "leaves no NPU visible", f"unset {VISIBLE}"),
        ("", State.FAILED, "leaves no NPU visible", f"unset {VISIBLE}"),
    ],
)
def test_visible_devices_are_read_as_the_runtime_reads_them(
    machine: Sandbox, listed: str, state: State, expected: str, fix: str | None
) -> None:
    machine.give_npus()
    machine.set(VISIBLE, listed)
    finding = only(found for found in npu.chips(machine.current()) if found.check == VISIBLE)
    assert finding.state is state
    assert expected in finding.message
    assert finding.fix == fix


def test_visible_devices_are_judged_even_where_the_driver_tells_nothing(machine: Sandbox) -> None:
    machine.set(VISIBLE, "3, 4")
    *_, finding = npu.chips(machine.current())
    assert (finding.state, finding.fix) == (State.WARNING, f"export {VISIBLE}=3,4")


def test_all_device_files_are_well(machine: Sandbox) -> None:
    machine.give_npus()
    assert only(npu.device_files(machine.current())).state is State.OK


@pytest.mark.parametrize("missing", DEVICE_FILES[2:])
def test_a_helper_that_a_container_lacks_is_named_with_all_that_it_needs(machine: Sandbox, missing: str) -> None:
    machine.give_npus()
    (machine.root / "dev" / missing).unlink()
    finding = only(npu.device_files(machine.current()))
    assert (finding.state, finding.message) == (State.FAILED, f"/dev lacks {missing}")
    for name in DEVICE_FILES:
        assert f"--device /dev/{name} " in (finding.fix or "")


def test_helpers_alone_are_no_npu(machine: Sandbox) -> None:
    for name in DEVICE_FILES[2:]:
        machine.put(f"dev/{name}")
    finding = only(npu.device_files(machine.current()))
    assert finding.state is State.FAILED
    assert "/dev lacks davinci0" in finding.message


def test_a_device_file_that_this_user_may_not_open_fails_with_its_group(machine: Sandbox) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "dev").mkdir()
        for name in DEVICE_FILES:
            file = Path(folder) / "dev" / name
            file.touch()
            file.chmod(0o000 if name == "davinci1" else 0o666)
        group = file.group()
        seen = machine.current(root=Path(folder))
        user = os.geteuid()
        if user == 0:  # Nothing is closed to root.
            os.seteuid(65534)
        try:
            finding = only(npu.device_files(seen))
        finally:
            os.seteuid(user)
    assert (finding.state, finding.message) == (State.FAILED, "this user may not open /dev/davinci1")
    assert (finding.fix or "").startswith(f"sudo usermod -aG {group} $USER")


def test_both_allocator_settings_at_once_are_a_failure(machine: Sandbox) -> None:
    machine.set("PYTORCH_NPU_ALLOC_CONF", "expandable_segments:True")
    assert list(npu.allocator_settings(machine.current())) == []
    machine.set("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    finding = only(npu.allocator_settings(machine.current()))
    assert (finding.state, finding.fix) == (State.FAILED, "unset PYTORCH_NPU_ALLOC_CONF")


def test_an_older_torch_npu_does_not_mind_both_settings(machine: Sandbox) -> None:
    machine.set("PYTORCH_NPU_ALLOC_CONF", "expandable_segments:True")
    machine.set("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    machine.install("torch-npu", "2.9.0.post2")
    assert list(npu.allocator_settings(machine.current())) == []
