from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.devices.ascend.dcmi import DcmiQuery
from harness.devices.ascend.query import NpuSmiQuery, Query
from harness.devices.ascend.sensor import ChipAddress, NpuSensor
from harness.devices.ascend.shared_driver import SharedDriver
from harness.devices.npu_smi import NpuProcess
from harness.devices.reading import SensorError
from harness.devices.told import ChipSettings
from tests.devices.ascend.stand_in import StandInNpuSmi
from tests.devices.ascend.stand_in_dcmi import UNSUPPORTED, StandInDcmi, compile_library
from tests.devices.ascend.tables import Card, Held, a3_table, hbm_table

NO_LOCK = -1
DIES = [
    Card(2, 0, "Ascend910", used=3133, power="162.8", celsius=37, percent=12),
    Card(2, 1, "Ascend910", used=10568, power="-", celsius=38, percent=88),
]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library(tmp_path_factory.mktemp("bare"), "-DBARE")


@pytest.fixture
def dcmi(whole: Path, tmp_path: Path) -> StandInDcmi:
    return StandInDcmi(whole, tmp_path)


def test_two_dies_of_a_card_with_hbm_are_read_in_the_units_of_the_table(dcmi: StandInDcmi) -> None:
    dcmi.show(DIES, [Held(2, 4711, 7746, chip=1), Held(2, 4712, 12, chip=1)])
    first, second = DcmiQuery(dcmi.path).ask(NO_LOCK).readings
    assert (first.npu_id, first.chip_id, first.logic_id, first.name) == (2, 0, 0, "Ascend910")
    assert (second.npu_id, second.chip_id, second.logic_id, second.health) == (2, 1, 1, "OK")
    assert (first.memory_used_mib, first.memory_total_mib) == (3133, 65536)
    assert (first.power_watts, first.temperature_celsius, first.utilization_percent) == (162.8, 37, 12)
    assert (second.power_watts, second.temperature_celsius, second.utilization_percent) == (None, 38, 88)
    assert (first.processes, first.processes_listed) == ([], True)
    assert second.processes == [
        NpuProcess(pid=4711, name=None, memory_mib=7746),
        NpuProcess(pid=4712, name=None, memory_mib=12),
    ]


def test_of_a_card_without_hbm_the_size_is_read_and_not_what_products_count_in_different_units(
    dcmi: StandInDcmi,
) -> None:
    dcmi.show([Card(32768, 0, "310P3", total=0, ddr_used=1448, ddr_total=44278, power="NA")])
    (chip,) = DcmiQuery(dcmi.path).ask(NO_LOCK).readings
    assert (chip.npu_id, chip.memory_used_mib, chip.memory_total_mib) == (32768, None, 44278)
    assert chip.power_watts is None


def test_as_many_processes_as_the_driver_tells_of_are_read(dcmi: StandInDcmi) -> None:
    dcmi.show([Card(0)], [Held(0, pid, 3) for pid in range(1, 33)])
    (chip,) = DcmiQuery(dcmi.path).ask(NO_LOCK).readings
    assert [process.pid for process in chip.processes] == list(range(1, 33))
    assert sum(process.memory_mib or 0 for process in chip.processes) == 96


@pytest.mark.parametrize("refuses", ["a library without the functions", "functions that are not supported"])
def test_what_a_driver_does_not_tell_is_none(bare: Path, whole: Path, tmp_path: Path, refuses: str) -> None:
    dcmi = StandInDcmi(bare if refuses == "a library without the functions" else whole, tmp_path)
    dcmi.show([Card(5)])
    for function in (
        *("logic_id", "chip_info", "health", "power_info", "temperature", "utilization_rate", "hbm_info"),
        *("memory_info_v3", "resource_info"),
    ):
        dcmi.refuse(f"dcmi_get_device_{function}", UNSUPPORTED)
    (chip,) = DcmiQuery(dcmi.path).ask(NO_LOCK).readings
    told = chip.model_dump(exclude_none=True)
    assert told == {"npu_id": 5, "chip_id": 0, "processes": [], "processes_listed": False}


def test_clocks_and_correction_of_errors_are_read_of_a_card_with_hbm_and_of_one_without(dcmi: StandInDcmi) -> None:
    dcmi.show([Card(2), Card(5, name="310P3", total=0, ddr_total=44278)])
    query = DcmiQuery(dcmi.path)
    with_hbm, without = (query.settings(ChipAddress(0, npu, 0), NO_LOCK) for npu in (2, 5))
    assert with_hbm == ChipSettings(clock_mhz=800, max_clock_mhz=1800, memory_clock_mhz=1600, ecc=True)
    assert without == ChipSettings(clock_mhz=800, max_clock_mhz=1800, memory_clock_mhz=None, ecc=True)


def test_settings_that_a_driver_does_not_tell_are_none(bare: Path, tmp_path: Path) -> None:
    dcmi = StandInDcmi(bare, tmp_path)
    dcmi.show([Card(5)])
    assert DcmiQuery(dcmi.path).settings(ChipAddress(0, 5, None), NO_LOCK) == ChipSettings()


def test_the_library_is_opened_once_for_many_questions(dcmi: StandInDcmi) -> None:
    dcmi.show([Card(0)])
    query = DcmiQuery(dcmi.path)
    for _ in range(3):
        assert len(query.ask(NO_LOCK).readings) == 1
    assert dcmi.inits == 1


def test_a_driver_that_cannot_be_reached_is_a_sensor_error_and_is_tried_again(dcmi: StandInDcmi) -> None:
    dcmi.show([Card(0)])
    dcmi.refuse("dcmi_init", -8005)
    query = DcmiQuery(dcmi.path)
    for _ in range(2):
        with pytest.raises(SensorError, match=r"dcmi: dcmi_init answered -8005: .*without a reboot.*; reboot after"):
            query.ask(NO_LOCK)
    dcmi.refuse("dcmi_init", 0)
    assert len(query.ask(NO_LOCK).readings) == 1


@pytest.mark.parametrize("function", ["dcmi_get_card_list", "dcmi_get_device_id_in_card"])
@pytest.mark.parametrize("code", [-8020, -99, 17])
def test_cards_that_cannot_be_listed_are_a_sensor_error(dcmi: StandInDcmi, function: str, code: int) -> None:
    dcmi.show([Card(0)])
    dcmi.refuse(function, code)
    with pytest.raises(SensorError, match=f"dcmi: {function} answered {code}"):
        DcmiQuery(dcmi.path).ask(NO_LOCK)


def test_a_driver_without_chips_is_a_sensor_error(dcmi: StandInDcmi) -> None:
    with pytest.raises(SensorError, match="lists no chip"):
        DcmiQuery(dcmi.path).ask(NO_LOCK)


def test_a_library_that_is_absent_or_another_is_a_sensor_error_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match=r"mount /usr/local/dcmi .* or use npu-smi"):
        DcmiQuery(str(tmp_path / "libdcmi.so")).ask(NO_LOCK)
    (tmp_path / "libdcmi.so").write_text("no library")
    with pytest.raises(SensorError, match=r"invalid ELF header|file too short"):
        DcmiQuery(str(tmp_path / "libdcmi.so")).ask(NO_LOCK)


@pytest.mark.parametrize(
    ("table", "cards"),
    [
        (hbm_table, [Card(npu, used=3300 + npu, percent=npu) for npu in (2, 6)]),
        (a3_table, DIES),
    ],
)
def test_a_sensor_reads_the_same_through_the_library_as_through_npu_smi(
    dcmi: StandInDcmi, npu_smi: StandInNpuSmi, table: Callable[..., str], cards: list[Card]
) -> None:

    held = [Held(cards[0].npu, os.getpid(), 2048, chip=cards[0].chip)]
    npu_smi.show(table(cards, held))
    dcmi.show(cards, held)
    places = [ChipAddress(chip, card.npu, card.chip) for chip, card in enumerate(cards)]

    def read(query: Query) -> list[dict[str, object]]:
        readings = NpuSensor(places, SharedDriver(query, 1.0)).read(frozenset({os.getpid()}))
        assert {reading.sensor for reading in readings} == {query.name}
        return [reading.model_dump(exclude={"time", "sensor"}) for reading in readings]

    through_library, through_program = read(DcmiQuery(dcmi.path)), read(NpuSmiQuery())
    assert through_library == through_program
    assert [reading["process_mib"] for reading in through_library] == [2048, None]


def test_a_950_whose_table_has_no_chips_is_found_in_the_library_too(dcmi: StandInDcmi) -> None:
    dcmi.show([Card(3, used=6620, total=131072, name="Ascend950PR")])
    (reading,) = NpuSensor([ChipAddress(0, 3, None)], SharedDriver(DcmiQuery(dcmi.path), 1.0)).read(frozenset())
    assert reading.device_used_mib == 6620
