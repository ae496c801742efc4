from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.devices import host
from harness.devices.host import MIB, HostSensor, busy_seconds, count_others, sees_all_processes, used_seconds
from harness.devices.reading import SensorError
from tests.devices.stand_ins import BUSY, Child, child, spent, stranger, wait_until

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


FORKED = """
import mmap, os, sys
held = bytearray(b"x") * (100 * 2**20)
if sys.argv[1] == "forked" and os.fork():
    os.wait()
    sys.exit()
more = bytearray(b"x") * (20 * 2**20)
file = open(sys.argv[3], "rb")
weights = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
sum(weights[::4096])
made, making = os.pipe()
if sys.argv[2] == "with a child" and not os.fork():
    most = bytearray(b"x") * (20 * 2**20)
    os.write(making, b"x")
    sys.stdin.readline()
    os._exit(0)
if sys.argv[2] == "with a child":
    os.read(made, 1)
print(os.getpid(), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize(("family", "least_mib"), [("alone", 160), ("with a child", 180)])
def test_what_a_worker_shares_with_the_process_that_it_was_forked_from_is_its_whole(
    family: str, least_mib: float, tmp_path: Path
) -> None:
    """As much as if it had made all of it itself."""
    (tmp_path / "weights.safetensors").write_bytes(b"x" * (40 * MIB))
    seen = []
    for way in ("by itself", "forked"):
        with child(sys.executable, "-c", FORKED, way, family, str(tmp_path / "weights.safetensors")) as process:
            (reading,) = HostSensor().read(frozenset({int(process.said())}))
            assert reading.process_mib is not None
            seen.append(reading.process_mib)
            process.go_on()
    by_itself, forked = seen
    assert by_itself > least_mib
    assert forked == pytest.approx(by_itself, rel=0.03)


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


class Interval:
    """Between two readings: what others used by the sensor, and all that the machine did, both in seconds."""

    def __init__(self) -> None:
        self._all_before = busy_seconds()
        self._sensor = HostSensor()
        (first,) = self._sensor.read(frozenset())
        self._before = first.time
        assert first.others_cpu_percent is None

    def end(self, pids: frozenset[int] = frozenset()) -> tuple[float, float]:
        (second,) = self._sensor.read(pids)
        assert second.others_cpu_percent is not None
        return second.others_cpu_percent / 100 * (second.time - self._before), busy_seconds() - self._all_before


def test_processor_time_of_a_stranger_is_that_of_others() -> None:
    with stranger() as other:
        interval = Interval()
        before = spent(other)
        wait_until(lambda: spent(other) > before + 0.3)
        taken = spent(other) - before
        others, everybody = interval.end()
    assert taken / 2 < others < 2 * everybody


def test_processor_time_of_the_run_and_of_what_the_harness_started_beside_it_is_not_that_of_others() -> None:
    interval = Interval()
    with child(sys.executable, "-c", BUSY) as run, child(sys.executable, "-c", BUSY) as tracker:
        busy = [psutil.Process(process.pid) for process in (run, tracker)]
        wait_until(lambda: all(spent(process) > 0.3 for process in busy))
        taken = sum(map(spent, busy))
        others, everybody = interval.end(frozenset({run.pid}))
    assert others < everybody - taken / 2


def test_processor_time_of_a_worker_that_has_ended_does_not_turn_into_that_of_others() -> None:
    interval = Interval()
    own = psutil.Process()
    before = used_seconds(own)
    code = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    taken = used_seconds(own) - before
    others, everybody = interval.end()
    assert taken > 0.4
    assert others < everybody - taken / 2


def test_a_machine_that_hides_its_processor_time_costs_this_figure_and_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hidden() -> float:
        raise PermissionError(13, "denied", "/proc/stat")

    sensor = HostSensor()
    monkeypatch.setattr(host, "busy_seconds", hidden)
    readings = [sensor.read(frozenset({os.getpid()}))[0] for _ in range(2)]
    assert [reading.others_cpu_percent for reading in readings] == [None, None]
    assert all(reading.process_mib for reading in readings)
    monkeypatch.undo()
    assert sensor.read(frozenset())[0].others_cpu_percent is None, "there is no reading before to compare with"


OURS, THEIRS = {11, 12}, 99


@pytest.mark.parametrize(
    ("listed", "family", "sees_all", "others"),
    [
        (None, OURS, True, None),
        ([], OURS, True, 0),
        ([11, 12], OURS, True, 0),
        ([11, THEIRS, THEIRS], OURS, True, 1),
        ([THEIRS], set(), True, 1),
        ([], set(), True, 0),
        ([THEIRS, 98], set(), False, 2),
        ([], set(), False, None),
        ([], OURS, False, None),
        ([THEIRS], OURS, False, None),
        ([11, THEIRS], OURS, False, 1),
    ],
    ids=[
        "the driver does not tell",
        "nobody",
        "ours alone",
        "a stranger that is listed twice",
        "a stranger before the run",
        "nobody before the run",
        "in a container, before the run: whoever is listed is not ours",
        "in a container, before the run: an empty list may be a driver that lists nobody",
        "in a container: the driver lists nobody, and ours is there",
        "in a container: pids of the host, of which one may be ours",
        "in a container whose driver knows our pids",
    ],
)
def test_strangers_on_a_chip_are_counted_where_they_can_be_told_from_ours(
    listed: list[int] | None, family: set[int], sees_all: bool, others: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "sees_all_processes", lambda: sees_all)
    assert count_others(listed, family) == others


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no namespaces of pids")
def test_a_namespace_of_its_own_does_not_show_the_machines_processes(tmp_path: Path) -> None:
    for name in ("self/ns/pid", "1/stat"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1 (init) S 0")
    assert not sees_all_processes(tmp_path)
    assert not sees_all_processes(tmp_path / "nothing")
    is_initial = str(Path("/proc/self/ns/pid").readlink()) == "pid:[4026531836]"
    assert sees_all_processes() == (is_initial and os.access("/proc/1/stat", os.R_OK))


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
