from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest

from harness.devices import host_state
from harness.devices.host_state import HostState, look
from tests.devices.stand_ins import BUSY, child, stranger, wait_until


def show_only(monkeypatch: pytest.MonkeyPatch, *processes: psutil.Process) -> None:
    """As if the machine had no other processes: who else is busy on it is not the tests' to say."""

    def listed(attributes: list[str]) -> Iterator[psutil.Process]:
        for process in processes:
            process.info = process.as_dict(attributes)
            yield process

    monkeypatch.setattr(psutil, "process_iter", listed)


def test_a_busy_neighbour_is_counted_and_neither_an_idle_one_nor_the_harness_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with stranger() as busy, stranger("input()") as idle, child(sys.executable, "-c", BUSY) as own:
        show_only(monkeypatch, busy, idle, psutil.Process(own.pid), psutil.Process())
        counts: list[int | None] = []
        # A machine that is full may give it nothing in a quarter of a second.
        wait_until(lambda: bool(counts.append(look().busy_processes) or counts[-1]))
    assert counts[-1] == 1


def test_a_machine_with_a_busy_process_is_busy_and_not_more_than_wholly() -> None:
    with stranger():
        seen: list[float | None] = []
        wait_until(lambda: bool(seen.append(look().cpu_busy_percent) or seen[-1]))
    assert all(percent is not None and 0 <= percent <= 100 for percent in seen)


def test_what_is_told_of_memory_and_load_is_told_in_its_unit() -> None:
    state = look(0.05)
    assert state.available_mib == pytest.approx(psutil.virtual_memory().available / 2**20, rel=0.5)
    assert state.load_average is not None
    assert state.load_average >= 0


@pytest.mark.parametrize(("sees_all", "expected"), [(True, 0), (False, None)], ids=["host", "container"])
def test_that_nobody_is_busy_is_told_only_where_everybody_is_seen(
    sees_all: bool, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_only(monkeypatch)
    monkeypatch.setattr(host_state, "sees_all_processes", lambda: sees_all)
    assert look(0.01).busy_processes == expected


def test_a_system_that_tells_nothing_gives_none_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise FileNotFoundError(2, "no such file", "/proc")

    for name in ("cpu_times", "process_iter", "virtual_memory", "cpu_freq"):
        monkeypatch.setattr(psutil, name, refuse)
    monkeypatch.setattr(os, "getloadavg", refuse)
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)
    assert look(0.01) == HostState(None, None, None, None, None, None)


def test_a_clock_of_zero_is_one_that_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_freq", lambda: SimpleNamespace(current=0.0))
    assert look(0.01).cpu_mhz is None
    monkeypatch.setattr(psutil, "cpu_freq", lambda: SimpleNamespace(current=2793.4))
    assert look(0.01).cpu_mhz == 2793.4


def test_the_hottest_sensor_of_the_processor_is_told_and_no_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    sensors = {name: [SimpleNamespace(current=value) for value in values] for name, values in HOT.items()}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: sensors, raising=False)
    assert look(0.01).cpu_temperature_celsius == 97.0
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: {"nvme": sensors["nvme"]}, raising=False)
    assert look(0.01).cpu_temperature_celsius is None


HOT = {"nvme": [99.0], "coretemp": [61.0, 97.0, 70.0], "acpitz": [120.0]}


def test_looking_imports_no_torch() -> None:
    code = (
        "import sys; from harness.devices import host_state; host_state.look(0.01); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
