from __future__ import annotations

import sys
import threading
from functools import partial
from pathlib import Path

from harness.devices.host import HostSensor
from harness.devices.reading import Quantity, Reading
from harness.devices.sampler import Sampler
from harness.runs.measurements import read_readings
from tests.devices.stand_ins import HOUR, MOMENT, StandInSensor, child, used, wait_until


def test_a_child_that_is_killed_leaves_its_last_reading(path: Path) -> None:
    sampler = Sampler([HostSensor()], MOMENT, path)
    sampler.baseline()
    sampler.start()
    with child(sys.executable, "-c", "held = bytearray(b'x') * (200 * 2**20); print(flush=True); input()") as process:
        sampler.watch(process.pid)
        process.said()
        wait_until(lambda: (sampler.peak_mib(Quantity.HOST) or 0) > 200)
        process.kill()
        process.wait()
        wait_until(lambda: sampler.latest_mib(Quantity.HOST) is None)
        sampler.watch(None)
    sampled = sampler.stop()
    readings = read_readings(path)
    assert max(reading.process_mib or 0 for reading in readings) == sampler.peak_mib(Quantity.HOST)
    assert sampled.readings == len(readings)
    assert sampled.errors == []


def test_a_child_shorter_than_the_interval_is_read_at_once(path: Path) -> None:
    sampler = Sampler([HostSensor()], HOUR, path)
    sampler.baseline()
    sampler.start()
    with child(sys.executable, "-c", "input()") as process:
        sampler.watch(process.pid)
        wait_until(lambda: len(read_readings(path)) == 2)
    sampled = sampler.stop()
    baseline, first, last = read_readings(path)
    assert sampled.baselines == [baseline]
    assert baseline.process_mib is None
    assert first.process_mib is not None
    assert last.time > first.time


def test_a_watch_during_a_slow_reading_is_followed_by_a_reading_of_the_child(path: Path) -> None:
    seen: list[frozenset[int]] = []
    entered, release = threading.Event(), threading.Event()

    def slow(pids: frozenset[int]) -> list[Reading]:
        seen.append(pids)
        if len(seen) == 2:
            entered.set()
            release.wait()
        return [used(1)]

    sampler = Sampler([StandInSensor(slow)], HOUR, path)
    sampler.baseline()
    sampler.start()
    sampler.watch(41)
    entered.wait()
    sampler.watch(42)
    release.set()
    wait_until(lambda: len(seen) == 3)
    sampler.stop()
    assert seen[:3] == [frozenset(), frozenset({41}), frozenset({42})]


def test_several_chips_are_summed_and_kept_apart(path: Path) -> None:
    sensor = StandInSensor(lambda pids: [used(100, chip=0), used(30, chip=1)])
    sampler = Sampler([sensor], HOUR, path)
    sampler.baseline()
    assert [reading.chip for reading in sampler.latest()] == [0, 1]
    assert sampler.latest_mib(Quantity.DEVICE) == sampler.peak_mib(Quantity.DEVICE) == 130
    assert sampler.peak_mib(Quantity.PROCESS) is None
    sampler.stop()


def test_start_takes_a_baseline_that_nobody_took(path: Path) -> None:
    sampler = Sampler([StandInSensor(lambda pids: [used(5)])], HOUR, path)
    sampler.start()
    assert [reading.device_used_mib for reading in sampler.stop().baselines] == [5]


def test_a_sampler_that_never_started_can_be_stopped(path: Path) -> None:
    assert Sampler([HostSensor()], HOUR, path).stop().readings == 0


def test_readings_of_many_threads_are_whole_lines(path: Path) -> None:
    def eight_chips(name: str, pids: frozenset[int]) -> list[Reading]:
        return [used(1, name, chip) for chip in range(8)]

    sensors = [StandInSensor(partial(eight_chips, name), name) for name in ("a", "b", "c", "d")]
    sampler = Sampler(sensors, MOMENT / 5, path)
    sampler.start()
    wait_until(lambda: len(read_readings(path)) > 400)
    sampled = sampler.stop()
    assert len(path.read_bytes().splitlines()) == len(read_readings(path)) == sampled.readings
    assert {reading.sensor for reading in read_readings(path)} == {"a", "b", "c", "d"}
