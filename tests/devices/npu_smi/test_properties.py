from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.devices.npu_smi import Clocks, parse_clocks, parse_firmware, parse_versions
from tests.devices.stand_ins import unhurried

RECORDINGS = Path(__file__).parents[3].parent / "shared" / "npu-smi"
recorded = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="the recorded outputs of npu-smi lie in ../shared/npu-smi, which is not here"
)
TWO_CHIPS = """\
NPU ID                         : 1
Chip Count                     : 2

Chip ID                        : 0
Aicore Freq(MHZ)               : 1080
Aicore curFreq(MHZ)            : 960

Chip ID                        : 1
Aicore Freq(MHZ)               : 1080
Aicore curFreq(MHZ)            : 300

Chip Name                      : mcu
Aicore curFreq(MHZ)            : 7
"""


@recorded
@pytest.mark.parametrize(
    ("recording", "chip_id", "clocks"),
    [
        ("910B1_npu-smi-23.0.rc2", 0, Clocks(800, 1800)),
        ("910_gpustack", 0, Clocks(1000, 1000)),
        ("310P_gpustack_dual-chip", 1, Clocks(960, 1080)),
        ("310P_25.5.1_dual-chip", 0, Clocks(None, None)),
        ("950_doc", None, Clocks(100, 1650)),
    ],
)
def test_the_recorded_clocks_are_read(recording: str, chip_id: int | None, clocks: Clocks) -> None:
    assert parse_clocks((RECORDINGS / "common" / f"{recording}.txt").read_text(), chip_id) == clocks


@recorded
@pytest.mark.parametrize(
    ("recording", "firmware"),
    [
        ("910A_driver-23.0.5_card", "7.1.0.7.220"),
        ("910A_driver-23.0.5_chip", "7.1.0.7.220"),
        ("910B_npu-smi-25.5.1", "7.8.0.6.201"),
        ("310P_25.5.1", "7.8.0.6.201"),
        ("950_doc", None),
    ],
)
def test_the_recorded_firmware_is_read_and_a_placeholder_is_none(recording: str, firmware: str | None) -> None:
    assert parse_firmware((RECORDINGS / "board" / f"{recording}.txt").read_text()) == firmware


@recorded
def test_every_recorded_table_that_is_whole_tells_its_drivers_version() -> None:
    texts = {file.name: file.read_text() for file in (RECORDINGS / "info").glob("*.txt")}
    headed = {name: text for name, text in texts.items() if "Version:" in text}
    assert len(headed) > 20
    for name, text in headed.items():
        found = parse_versions(text)
        assert found is not None, name
        assert found[1].split(".")[0].isdecimal() or "x" in found[1].lower(), name


def test_each_chip_has_its_own_clock_and_the_cards_controller_none() -> None:
    assert [parse_clocks(TWO_CHIPS, chip) for chip in (0, 1)] == [Clocks(960, 1080), Clocks(300, 1080)]
    assert parse_clocks(TWO_CHIPS, 2) == Clocks(None, None)


@pytest.mark.parametrize("value", ["NA", "0", "-", "", "9" * 12, "-800", "8e2"])
def test_what_is_no_clock_is_none(value: str) -> None:
    assert parse_clocks(f"Chip ID : 0\nAicore curFreq(MHZ) : {value}\n", 0) == Clocks(None, None)


@unhurried
@given(st.text(max_size=200), st.none() | st.integers(0, 3))
def test_nothing_that_is_printed_raises(text: str, chip_id: int | None) -> None:
    parse_clocks(text, chip_id)
    parse_firmware(text)
    parse_versions(text)
