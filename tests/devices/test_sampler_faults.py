from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from harness.devices.reading import Quantity, Reading, SensorError
from harness.devices.sampler import Sampler
from harness.runs.measurements import read_readings
from tests.devices.stand_ins import HOUR, MOMENT, StandInSensor, used, wait_until


def test_a_sensor_that_hangs_holds_up_neither_the_others_nor_the_end(path: Path) -> None:
    released = threading.Event()
    hangs = StandInSensor(lambda pids: [used(1)] if released.wait() else [], "hangs")
    steady = StandInSensor(lambda pids: [used(2, "steady")], "steady")
    sampler = Sampler([hangs, steady], MOMENT, path, patience_seconds=1.0)
    assert [reading.sensor for reading in sampler.baseline()] == ["steady"]
    sampler.start()
    wait_until(lambda: len(read_readings(path)) >= 5)
    sampled = sampler.stop()
    assert sampled.gaps >= 1
    assert [error.split(":")[0] for error in sampled.errors] == ["hangs"]
    assert steady.closed
    assert not hangs.closed
    at_the_end = path.read_bytes()
    released.set()
    wait_until(lambda: hangs.closed)
    assert path.read_bytes() == at_the_end, "what comes after the end is dropped"


def test_a_sensor_that_hangs_for_ever_does_not_keep_the_process_alive(path: Path) -> None:
    code = """
import sys, threading
from pathlib import Path
from harness.devices.sampler import Sampler
class Hangs:
    name = "hangs"
    def read(self, pids): threading.Event().wait()
    def close(self): pass
sampler = Sampler([Hangs()], 1.0, Path(sys.argv[1]), patience_seconds=0.1)
sampler.start()
print(sampler.stop().gaps)
"""
    command = [sys.executable, "-c", code, str(path)]
    root = Path(__file__).parents[2]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=root)
    assert ended.stdout == "1\n"


def test_a_sensor_that_fails_is_a_gap_each_time_and_an_error_once(path: Path) -> None:
    def broken(pids: frozenset[int]) -> list[Reading]:
        reads.append(pids)
        raise SensorError("driver upgraded")

    reads: list[frozenset[int]] = []
    sampler = Sampler([StandInSensor(broken)], MOMENT, path)
    assert sampler.baseline() == []
    sampler.start()
    wait_until(lambda: len(reads) > 3)
    sampled = sampler.stop()
    assert sampled.errors == ["stand-in: driver upgraded"]
    assert sampled.gaps >= len(reads)
    assert sampled.readings == 0
    assert not path.exists()


def test_a_sensor_that_recovers_goes_on(path: Path) -> None:
    answers: list[Reading | Exception] = [used(1), ValueError("half a table"), used(3)]

    def answer(pids: frozenset[int]) -> list[Reading]:
        match answers.pop(0) if answers else used(2):
            case Reading() as reading:
                return [reading]
            case Exception() as error:
                raise error

    sampler = Sampler([StandInSensor(answer)], MOMENT, path)
    sampler.baseline()
    sampler.start()
    wait_until(lambda: sampler.peak_mib(Quantity.DEVICE) == 3)
    sampled = sampler.stop()
    assert sampled.errors == ["stand-in: ValueError: half a table"]
    assert [reading.device_used_mib for reading in read_readings(path)][:2] == [1, 3]


def test_a_slow_sensor_skips_ticks_instead_of_catching_up(path: Path) -> None:
    reads = 0

    def slow(pids: frozenset[int]) -> list[Reading]:
        nonlocal reads
        reads += 1
        start = time.monotonic()
        while time.monotonic() < start + 10 * MOMENT:
            time.sleep(MOMENT)
        return [used(1)]

    sampler = Sampler([StandInSensor(slow)], MOMENT, path)
    sampler.baseline()
    started = time.monotonic()
    sampler.start()
    wait_until(lambda: reads >= 5)
    sampled = sampler.stop()
    ticks = (time.monotonic() - started) / MOMENT
    # All but the baseline and the last one passed over nine ticks or more.
    assert 9 * (reads - 2) <= sampled.gaps <= ticks
    assert sampled.readings == reads
    assert sampled.errors == []


def test_sensors_are_closed_and_one_that_cannot_be_is_an_error(path: Path) -> None:
    class Stuck(StandInSensor):
        def close(self) -> None:
            raise OSError("stuck")

    good = StandInSensor(lambda pids: [used(1)])
    sampler = Sampler([good, Stuck(lambda pids: [], "stuck")], HOUR, path)
    sampler.baseline()
    sampled = sampler.stop()
    assert good.closed
    assert sampled.errors == ["stuck: OSError: stuck"]


def test_a_full_disk_costs_the_file_and_not_the_sampling() -> None:
    sampler = Sampler([StandInSensor(lambda pids: [used(7)])], MOMENT, Path("/dev/full"))
    sampler.baseline()
    sampler.start()
    wait_until(lambda: sampler.peak_mib(Quantity.DEVICE) == 7)
    sampled = sampler.stop()
    assert sampled.errors == ["/dev/full: No space left on device"]
    assert sampled.readings >= 2
    assert sampled.gaps == 0


def test_messages_that_never_repeat_do_not_fill_the_record(path: Path) -> None:
    reads = 0

    def broken(pids: frozenset[int]) -> list[Reading]:
        nonlocal reads
        reads += 1
        raise SensorError(f"attempt {reads}")

    sampler = Sampler([StandInSensor(broken)], MOMENT / 10, path)
    sampler.start()
    wait_until(lambda: reads > 30)
    assert len(sampler.stop().errors) == 20
