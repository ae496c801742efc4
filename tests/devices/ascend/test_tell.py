"""What an NPU's driver and the files beside it tell as a run starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.devices.ascend import tell as module
from harness.devices.ascend import versions
from harness.devices.ascend.device import find
from harness.devices.ascend.sensor import ChipAddress
from harness.devices.ascend.tell import tell
from harness.devices.request import DeviceRequest
from harness.devices.told import ChipSettings, Told
from tests.devices.ascend.stand_in import StandInNpuSmi
from tests.devices.ascend.stand_in_dcmi import StandInDcmi, compile_library
from tests.devices.ascend.tables import Card, hbm_table, mapping

RECORDED = Path(__file__).parents[3].parent / "shared" / "npu-smi" / "misc"
COMMON = """\
\tNPU ID                         : {npu}
\tChip Count                     : 1

\tChip ID                        : 0
\tAicore Usage Rate(%)           : 0
\tAicore Freq(MHZ)               : 1800
\tAicore curFreq(MHZ)            : {mhz}
\tTemperature(C)                 : 46

\tChip Name                      : mcu
\tTemperature(C)                 : 38
"""
BOARD = "\tNPU ID : 3\n\tSoftware Version : 23.0.5\n\tFirmware Version               : 7.1.0.7.220\n"
PLACES = [ChipAddress(0, 3, 0), ChipAddress(1, 5, 0)]


@pytest.fixture(autouse=True)
def a_machine_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    module._firmware_once.cache_clear()
    for name in versions.CANN_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def put(root: Path, path: str, text: str) -> None:
    file = root / "usr/local/Ascend" / path
    file.parent.mkdir(parents=True)
    file.write_text(text)


def test_clocks_are_asked_of_npu_smi_chip_by_chip_while_no_other_run_asks(
    npu_smi: StandInNpuSmi, tmp_path: Path
) -> None:
    for npu, mhz in ((3, 800), (5, 1650)):
        npu_smi.answer("common", npu, COMMON.format(npu=npu, mhz=mhz))
    npu_smi.answer("board", 3, BOARD)
    assert tell(PLACES, "auto", "25.2.0", tmp_path, tmp_path) == Told(
        driver="25.2.0",
        runtimes={"firmware": "7.1.0.7.220"},
        chips={0: ChipSettings(clock_mhz=800, max_clock_mhz=1800), 1: ChipSettings(clock_mhz=1650, max_clock_mhz=1800)},
    )
    assert all(call.holds_lock for call in npu_smi.calls())
    tell(PLACES[:1], "auto", "25.2.0", tmp_path, tmp_path)
    boards = [call for call in npu_smi.calls() if "board" in call.arguments]
    assert len(boards) == 1, "firmware does not change while this process lives"


def test_versions_are_read_from_the_files_that_the_installers_left(npu_smi: StandInNpuSmi, tmp_path: Path) -> None:
    put(tmp_path, "driver/version.info", "Version=23.0.3\nascendhal_version=7.12.0\n")
    put(tmp_path, "firmware/version.info", "Version=7.1.0.5.220\nfirmware_version=1.0\n")
    put(tmp_path, "ascend-toolkit/latest/aarch64-linux/ascend_toolkit_install.info", "version=8.1.RC1\n")
    told = tell(PLACES, "npu-smi", None, tmp_path, tmp_path / "home")
    assert told.driver == "23.0.3"
    assert told.runtimes == {"CANN": "8.1.RC1", "firmware": "7.1.0.5.220"}
    assert tell(PLACES, "npu-smi", "25.2.0", tmp_path, tmp_path).driver == "25.2.0", "which runs until a reboot"


def test_an_npu_smi_that_knows_none_of_this_and_no_files_tell_nothing(npu_smi: StandInNpuSmi, tmp_path: Path) -> None:
    told = tell(PLACES, "auto", None, tmp_path, tmp_path)
    assert told == Told(chips={0: ChipSettings(), 1: ChipSettings()})


def test_an_npu_smi_that_is_gone_costs_its_answers_and_no_error(npu_smi: StandInNpuSmi, tmp_path: Path) -> None:
    put(tmp_path, "firmware/version.info", "Version=7.1.0.5.220\n")
    npu_smi.vanish()
    assert tell(PLACES, "auto", "25.2.0", tmp_path, tmp_path) == Told("25.2.0", {"firmware": "7.1.0.5.220"})


def test_clocks_that_come_when_the_run_may_have_begun_are_not_those_that_it_found(
    npu_smi: StandInNpuSmi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npu_smi.answer("common", 3, COMMON.format(npu=3, mhz=800))
    monkeypatch.setattr(module, "_CLOCKS_SECONDS", 0.0)
    assert tell(PLACES, "auto", None, tmp_path, tmp_path).chips == {}


def test_through_the_library_no_npu_smi_is_asked_for_clocks(
    npu_smi: StandInNpuSmi, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    dcmi = StandInDcmi(compile_library(tmp_path_factory.mktemp("library")), tmp_path)
    dcmi.show([Card(3), Card(5)])
    query = module.DcmiQuery
    monkeypatch.setattr(module, "DcmiQuery", lambda: query(dcmi.path))
    told = tell(PLACES, "dcmi", None, tmp_path, tmp_path)
    assert [told.chips[chip].clock_mhz for chip in (0, 1)] == [800, 800]
    assert not any("common" in call.arguments for call in npu_smi.calls())


def test_a_device_asks_for_its_own_chips_and_knows_the_driver_from_the_table(npu_smi: StandInNpuSmi) -> None:
    npu_smi.show(hbm_table([Card(npu) for npu in range(4)]), mapping([Card(npu) for npu in range(4)]))
    npu_smi.answer("common", 2, COMMON.format(npu=2, mhz=960))
    device = find(DeviceRequest(chips=[2]))
    assert device.tell is not None
    told = device.tell()
    assert (told.driver, told.chips) == ("25.2.0", {2: ChipSettings(clock_mhz=960, max_clock_mhz=1800)})


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings are not here")
@pytest.mark.parametrize(("recording", "number"), [("8.0.0_x86_64", "8.0.0"), ("8.1.RC1_aarch64", "8.1.RC1")])
def test_the_recorded_information_files_tell_their_version(tmp_path: Path, recording: str, number: str) -> None:
    text = (RECORDED / f"ascend_toolkit_install.info_{recording}.txt").read_text()
    (tmp_path / "x86_64-linux").mkdir()
    (tmp_path / "x86_64-linux" / "ascend_toolkit_install.info").write_text(text)
    assert versions.cann(tmp_path) == number
