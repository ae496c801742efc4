from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.devices.host import MIB, HostSensor
from harness.devices.reading import SensorError
from tests.devices.stand_ins import Child, child, wait_until

# Says a line when it is there and another when it holds its memory; the grandchild does the same inside of it.
HOLDER = """
import subprocess, sys
own, below = int(sys.argv[1]), sys.argv[2:]
grandchild = None
if below:
    grandchild = subprocess.Popen([sys.executable, sys.argv[0], *below], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
    grandchild.stdout.readline()
print("ready", flush=True)
sys.stdin.readline()
held = bytearray(b"x") * (own * 2**20)
if grandchild:
    grandchild.stdin.write("\\n"); grandchild.stdin.flush(); grandchild.stdout.readline()
print("held", flush=True)
sys.stdin.readline()
"""


def mib_of(sensor: HostSensor, process: Child) -> float:
    (reading,) = sensor.read(frozenset({process.pid}))
    assert (reading.sensor, reading.chip) == ("psutil", None)
    assert reading.process_mib is not None
    return reading.process_mib


@pytest.fixture
def holder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("holder") / "holder.py"
    path.write_text(HOLDER)
    return str(path)


@pytest.mark.parametrize("held_mib", [["300"], ["150", "100", "50"]])
def test_the_memory_of_a_child_and_all_below_it_is_measured_to_a_few_percent(holder: str, held_mib: list[str]) -> None:
    sensor = HostSensor()
    with child(sys.executable, holder, *held_mib) as process:
        process.said()
        before = mib_of(sensor, process)
        process.go_on()
        process.said()
        assert mib_of(sensor, process) - before == pytest.approx(300, rel=0.03)


def test_pages_shared_with_a_forked_worker_count_once() -> None:
    code = (
        "import os; held = bytearray(b'x') * (100 * 2**20); print(flush=True); input()\n"
        "if os.fork(): print(flush=True)\n"
        "input()"
    )
    sensor = HostSensor()
    with child(sys.executable, "-c", code) as process:
        process.said()
        alone = mib_of(sensor, process)
        process.go_on()
        process.said()
        shared = mib_of(sensor, process)
    assert alone > 100
    assert shared == pytest.approx(alone, rel=0.1)


def test_weights_that_are_mapped_from_a_file_count_as_they_are_read_and_no_longer_when_they_are_let_go(
    tmp_path: Path,
) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"x" * (100 * MIB))
    code = (
        f"import mmap; file = open({str(weights)!r}, 'rb'); print(flush=True); input()\n"
        "held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ); sum(held[::4096]); print(flush=True); input()\n"
        "held.close(); print(flush=True); input()"
    )
    sensor = HostSensor()
    seen = []
    with child(sys.executable, "-c", code) as process:
        for _ in range(3):
            process.said()
            seen.append(mib_of(sensor, process))
            process.go_on()
    before, mapped, after = seen
    assert mapped - before == pytest.approx(100, rel=0.03)
    assert after == pytest.approx(before, abs=3)


def test_a_process_named_beside_its_parent_counts_once(holder: str) -> None:
    sensor = HostSensor()
    with child(sys.executable, holder, "0", "0") as process:
        process.said()
        (below,) = psutil.Process(process.pid).children()
        (alone,) = sensor.read(frozenset({process.pid}))
        (both,) = sensor.read(frozenset({process.pid, below.pid}))
    assert both.process_mib == pytest.approx(alone.process_mib, rel=0.01)


def test_host_memory_is_told_without_any_process() -> None:
    (reading,) = HostSensor().read(frozenset())
    assert reading.process_mib is None
    assert reading.utilization_percent is None
    total = psutil.virtual_memory().total / 2**20
    assert reading.device_total_mib == total
    assert reading.device_used_mib is not None
    assert 0 < reading.device_used_mib < total


def test_a_process_that_is_gone_has_no_memory_rather_than_zero() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (reading,) = HostSensor().read(frozenset({process.pid}))
    assert reading.process_mib is None


def test_a_dead_child_that_nobody_reaped_has_no_memory_rather_than_zero() -> None:
    with child(sys.executable, "-c", "") as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        (reading,) = HostSensor().read(frozenset({process.pid}))
    assert reading.process_mib is None


def test_processes_that_vanish_while_they_are_read_do_not_fail_the_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = psutil.Process()
    with child(sys.executable, "-c", "print(flush=True); input()") as process:
        process.said()

        def listed_then_gone(pids: frozenset[int]) -> set[psutil.Process]:
            family = {own, psutil.Process(process.pid)}
            process.kill()
            process.wait()
            return family

        monkeypatch.setattr("harness.devices.host.tree", listed_then_gone)
        (reading,) = HostSensor().read(frozenset({own.pid}))
    assert reading.process_mib is not None
    assert reading.process_mib > 0


def test_a_process_that_may_not_be_read_is_a_sensor_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: psutil.Process) -> None:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "cpu_times", refuse)
    with pytest.raises(SensorError, match=str(os.getpid())):
        HostSensor().read(frozenset({os.getpid()}))


def test_a_busy_process_uses_processor_time() -> None:
    sensor = HostSensor()
    with child(sys.executable, "-c", "while True: pass") as process:
        pids = frozenset({process.pid})
        (first,) = sensor.read(pids)
        before = psutil.Process(process.pid).cpu_times().user
        wait_until(lambda: psutil.Process(process.pid).cpu_times().user > before + 0.1)
        (second,) = sensor.read(pids)
    assert first.utilization_percent is None
    assert second.utilization_percent is not None
    assert second.utilization_percent > 0


def test_an_idle_process_uses_none_of_it() -> None:
    sensor = HostSensor()
    with child(sys.executable, "-c", "input()") as process:
        wait_until(lambda: sensor.read(frozenset({process.pid}))[0].utilization_percent == 0)


MAPPER = """
import mmap, sys
print(flush=True); input()
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
sum(mapped[::4096])
print(flush=True); input()
"""
DATA = (
    "v2.solar/model.safetensors",
    "libs.so/model.safetensors",
    "plugins.so.1/weights 1.bin",
    "model.so.safetensors",
    "model.sor",
    "x.so-backup/.so/data",
    "libx.so.gz",
    "a space.so and more/weights",
    ".so",
)
LIBRARIES = (
    "libx.so",
    "libx.so.6",
    "libcrypto.so.1.0.2k",
    "libgomp-a34b3233.so.1.0.0",
    "x.cpython-311-x86_64-linux-gnu.so",
    "with a space/lib x.so",
)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no kernel tells what is mapped from which file")
@pytest.mark.parametrize("deleted", [False, True], ids=["there", "deleted"])
@pytest.mark.parametrize(("name", "expected_mib"), [*((name, 20) for name in DATA), *((name, 0) for name in LIBRARIES)])
def test_what_is_mapped_from_a_file_counts_unless_the_file_itself_is_a_library(
    name: str, expected_mib: float, deleted: bool, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * (20 * MIB))
    sensor = HostSensor()
    seen = []
    with child(sys.executable, "-c", MAPPER, str(file)) as process:
        for _ in range(2):
            process.said()
            if deleted and seen:
                file.unlink()
            seen.append(mib_of(sensor, process))
            process.go_on()
    assert seen[1] - seen[0] == pytest.approx(expected_mib, abs=2)
