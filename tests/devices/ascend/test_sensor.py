from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.devices import host
from harness.devices.ascend.sensor import ChipAddress, NpuSensor
from harness.devices.ascend.shared_driver import SharedDriver
from harness.devices.reading import Reading, SensorError
from tests.devices.ascend.clock import Clock, StandInDriver
from tests.devices.ascend.tables import Card, Held, a3_table, ddr_table, hbm_table
from tests.devices.stand_ins import child

OURS = frozenset({os.getpid()})
OTHERS = 2**22 + 1
"""Above every pid that Linux gives."""
CARDS = [Card(npu, used=3300 + npu, percent=10 * npu, power=f"{90 + npu}.5", celsius=40 + npu) for npu in range(8)]


def read(table: str, places: list[ChipAddress], tmp_path: Path, pids: frozenset[int] = OURS) -> list[Reading]:
    driver = StandInDriver(Clock(), table=table)
    return NpuSensor(places, SharedDriver(driver, 1.0, tmp_path)).read(pids)


def process_mib(table: str, tmp_path: Path, pids: frozenset[int] = OURS) -> float | None:
    (reading,) = read(table, [ChipAddress(0, 0, 0)], tmp_path, pids)
    return reading.process_mib


def test_everything_that_the_table_tells_stands_in_the_reading_in_its_unit(tmp_path: Path) -> None:
    (reading,) = read(hbm_table(CARDS, [Held(6, os.getpid(), 812)]), [ChipAddress(1, 6, 0)], tmp_path)
    assert (reading.sensor, reading.chip) == ("npu-smi", 1)
    assert (reading.device_used_mib, reading.device_total_mib, reading.process_mib) == (3306, 65536, 812)
    assert (reading.power_watts, reading.temperature_celsius, reading.utilization_percent) == (96.5, 46, 60)


def test_only_the_runs_own_chips_are_read_in_its_order_and_at_one_time(tmp_path: Path) -> None:
    readings = read(hbm_table(CARDS), [ChipAddress(0, 5, 0), ChipAddress(1, 3, 0)], tmp_path)
    assert [(reading.chip, reading.device_used_mib) for reading in readings] == [(0, 3305), (1, 3303)]
    assert len({reading.time for reading in readings}) == 1


def test_a_die_is_found_by_card_and_chip(tmp_path: Path) -> None:
    dies = [Card(npu, chip, "Ascend910", used=100 * npu + chip, power="-") for npu in range(2) for chip in range(2)]
    held = [Held(1, os.getpid(), 7, chip=1)]
    readings = read(a3_table(dies, held), [ChipAddress(2, 1, 0), ChipAddress(3, 1, 1)], tmp_path)
    assert [(reading.device_used_mib, reading.process_mib) for reading in readings] == [(100, None), (101, 7)]


@pytest.mark.parametrize("missing", [0, 1])
def test_a_chip_that_is_missing_is_an_error_and_not_a_smaller_sum(tmp_path: Path, missing: int) -> None:
    table = hbm_table([card for card in CARDS if card.npu != missing])
    with pytest.raises(SensorError, match=f"npu-smi does not show chip {missing}, NPU {missing}$"):
        read(table, [ChipAddress(0, 0, 0), ChipAddress(1, 1, 0)], tmp_path)


def test_a_chip_whose_row_cannot_be_read_is_an_error_that_shows_the_row(tmp_path: Path) -> None:
    table = hbm_table(CARDS).replace("3303/ 65536", "33##/ 65536")
    with pytest.raises(SensorError, match=r"does not show chip 0, NPU 3 \(.*910B3.*\)"):
        read(table, [ChipAddress(0, 3, 0)], tmp_path)
    assert read(table, [ChipAddress(0, 4, 0)], tmp_path / "node")


def test_processes_of_the_run_are_summed_and_others_left_out(tmp_path: Path) -> None:
    with child(sys.executable, "-c", "input()") as descendant:
        held = [Held(0, os.getpid(), 500), Held(0, OTHERS, 9000), Held(0, descendant.pid, 70), Held(1, os.getpid(), 3)]
        assert process_mib(hbm_table(CARDS, held), tmp_path) == 570


@pytest.mark.parametrize(
    ("held", "others"),
    [
        (None, None),
        ([Held(1, OTHERS, 3)], 0),
        ([Held(0, os.getpid(), 500), Held(0, OTHERS, 9000), Held(0, OTHERS + 1, 9)], 2),
        ([Held(0, OTHERS + pid, 10) for pid in range(8)], None),
        ([Held(0, os.getpid(), 1, inside=str(OTHERS)), Held(0, OTHERS, 1, inside=str(os.getpid()))], 1),
    ],
    ids=["no process table", "on another NPU", "two", "as many as npu-smi ever shows", "in a container, by pids there"],
)
def test_processes_of_others_on_a_chip_are_counted_where_the_table_is_whole(
    held: list[Held] | None, others: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "sees_all_processes", lambda: True)
    (reading,) = read(hbm_table(CARDS, held), [ChipAddress(0, 0, 0)], tmp_path)
    assert reading.other_processes == others


def test_a_process_of_the_run_that_has_ended_since_the_driver_was_asked_is_none_of_others(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "sees_all_processes", lambda: True)
    with child(sys.executable, "-c", "input()") as worker:
        table = hbm_table(CARDS, [Held(0, worker.pid, 812), Held(0, OTHERS, 9)])
        sensor = NpuSensor([ChipAddress(0, 0, 0)], SharedDriver(StandInDriver(clock, table=table), 1.0, tmp_path))
        (during,) = sensor.read(frozenset({worker.pid}))
    clock.now += 1.0
    (after,) = sensor.read(frozenset())
    assert [(reading.process_mib, reading.other_processes) for reading in (during, after)] == [(812, 1)] * 2


def test_no_reading_is_given_twice(clock: Clock, tmp_path: Path) -> None:
    table = hbm_table(CARDS)
    sensor = NpuSensor([ChipAddress(0, 0, 0)], SharedDriver(StandInDriver(clock, table=table), 1.0, tmp_path))
    assert [len(sensor.read(OURS)) for _ in range(2)] == [1, 0]


def test_in_a_container_with_pids_of_the_host_nobody_knows_who_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "sees_all_processes", lambda: False)
    table = hbm_table(CARDS, [Held(0, OTHERS, 60703)])
    (reading,) = read(table, [ChipAddress(0, 0, 0)], tmp_path)
    assert reading.other_processes is None
    (before,) = read(table, [ChipAddress(0, 0, 0)], tmp_path, frozenset())
    assert before.other_processes == 1, "the run, which has not begun, is not on it"


def test_before_the_child_is_started_nothing_is_put_down_to_the_run(tmp_path: Path) -> None:
    assert process_mib(hbm_table(CARDS, [Held(0, OTHERS, 9000)]), tmp_path, frozenset()) is None


@pytest.mark.parametrize(
    "held",
    [None, [], [Held(0, OTHERS, 60703)]],
    ids=["no process table", "nobody on any NPU", "pids of the host, in a container"],
)
def test_memory_that_the_table_does_not_put_down_to_the_run_is_none(tmp_path: Path, held: list[Held] | None) -> None:
    (reading,) = read(hbm_table(CARDS, held), [ChipAddress(0, 0, 0)], tmp_path)
    assert (reading.process_mib, reading.device_used_mib) == (None, 3300)


def test_in_a_container_the_run_is_found_by_its_pid_there(tmp_path: Path) -> None:
    held = [Held(0, OTHERS, 5175, inside=str(os.getpid())), Held(0, OTHERS + 1, 40, inside=str(OTHERS))]
    assert process_mib(hbm_table(CARDS, held), tmp_path) == 5175


def test_where_the_pid_in_the_container_is_told_a_pid_of_the_host_that_looks_like_ours_is_not(tmp_path: Path) -> None:
    held = [Held(0, os.getpid(), 9000, inside=str(OTHERS)), Held(0, OTHERS, 5175, inside=str(os.getpid()))]
    assert process_mib(hbm_table(CARDS, held), tmp_path) == 5175


def test_on_a_host_whose_table_has_pids_of_containers_the_run_is_found_by_its_own(tmp_path: Path) -> None:
    assert process_mib(hbm_table(CARDS, [Held(0, os.getpid(), 5175, inside="NA")]), tmp_path) == 5175


def test_a_row_that_cannot_be_read_leaves_it_open_how_much_is_the_runs(tmp_path: Path) -> None:
    table = hbm_table(CARDS, [Held(0, os.getpid(), 5175), Held(0, OTHERS, 123456)]).replace("123456", "12##56")
    assert process_mib(table, tmp_path) is None


def test_a_card_without_hbm_power_and_processes_reads_what_there_is(tmp_path: Path) -> None:
    card = Card(32768, 1, "310P3", 0, 0, 1511, 43693, "NA", celsius=45)
    (reading,) = read(ddr_table([card], None), [ChipAddress(0, 32768, 1)], tmp_path)
    told = reading.model_dump(exclude={"time", "sensor", "chip"}, exclude_none=True)
    assert told == {
        "device_used_mib": 1511,
        "device_total_mib": 43693,
        "temperature_celsius": 45,
        "utilization_percent": 0,
    }
