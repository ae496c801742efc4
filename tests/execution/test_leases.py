"""A chip is one run's at a time, however that run is started and however it ends."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from unittest import mock

import psutil
import pytest

from harness.base.errors import UserError
from harness.cli.display import Display
from harness.devices.ascend import device as ascend_device
from harness.devices.device import DeviceError
from harness.devices.reading import SensorError
from harness.execution.leases import Chips, chips_of
from harness.plan.spec import RunSpec
from tests.devices.ascend.stand_in import StandInNpuSmi
from tests.planning import spec_of
from tests.running import wait_until

FREE = ("evaluation=none", "tracking=disabled", "device.chips=free")
CPU = (*FREE, "device=cpu")
CORES = sorted(os.sched_getaffinity(0))
WHOLE = f"cpu-core{CORES[0]}" if len(CORES) == 1 else f"cpu-cores{CORES[0]}-{CORES[-1]}"
ROOT = Path(__file__).parents[2]


class Notes(Display):
    """Keeps what a user would be told."""

    def __init__(self) -> None:
        super().__init__(1)
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture(autouse=True)
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "leases"
    monkeypatch.setenv("HARNESS_LEASES", str(folder))
    return folder


@pytest.fixture
def npus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandInNpuSmi:
    """Four, by stand-in."""
    npu_smi = StandInNpuSmi(tmp_path / "npu-smi")
    npu_smi.follow(chips=4)
    monkeypatch.setenv("PATH", npu_smi.environment()["PATH"])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ascend_device._chips.cache_clear()
    return npu_smi


NPU = (*FREE, "device=ascend", 'device.stand_in="none but in name"')

# Leases a chip, says which, has a worker as a run has one, and waits for its end.
PROGRAM = """
import os
import sys
from harness.execution.leases import chips_of
from harness.processes.child import Child
from pathlib import Path
from tests.execution.test_leases import Notes
from tests.planning import spec_of

os.environ["HARNESS_LEASES"] = sys.argv[1]  # In place of the tests' own.
notes = Notes()
with chips_of(spec_of(*sys.argv[2:]), notes) as chips:
    device = chips.device()
    child = Child([sys.executable, "-c", "import time; time.sleep(120)"], Path("log"), {}, device.held)
    print(child.pid, flush=True)
    sys.stdin.readline()
    child.stop()
"""


@contextmanager
def another_run(*overrides: str):  # type: ignore[no-untyped-def]
    """A process that has leased its chips, and the pid of its worker."""
    command = [sys.executable, "-c", PROGRAM, os.environ["HARNESS_LEASES"], *overrides]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        try:
            yield process, worker
        finally:
            for pid in (process.pid, worker):
                if psutil.pid_exists(pid):
                    os.kill(pid, signal.SIGKILL)


def taken_in_the_background(overrides: tuple[str, ...]) -> tuple[Notes, Callable[[], bool], threading.Event]:
    """Somebody who wants chips: what is told, whether there are some, and what gives them back."""
    notes, has, ends = Notes(), threading.Event(), threading.Event()
    spec = spec_of(*overrides)

    def run() -> None:
        with chips_of(spec, notes) as chips:
            chips.device()
            has.set()
            ends.wait(60)

    threading.Thread(target=run, daemon=True).start()
    return notes, has.is_set, ends


def test_who_waits_for_a_chip_is_told_who_has_it_and_gets_it_once_that_one_is_done(tmp_path: Path) -> None:
    with another_run(*CPU, "seed=7") as (holder, _):
        notes, has, ends = taken_in_the_background(CPU)
        wait_until(lambda: bool(notes.told))
        (told,) = notes.told
        assert told.startswith(f"lora-seed0: waiting for {WHOLE}: {WHOLE} has lora-seed7 of ")
        assert f"{tmp_path}/outputs/single" in told
        assert f"pid {holder.pid}, since " in told
        assert not has()
        holder.communicate("\n")
        wait_until(has)
    ends.set()


def test_a_chip_stays_leased_as_long_as_a_worker_of_a_killed_run_lives() -> None:
    with another_run(*CPU) as (holder, worker):
        _, has, ends = taken_in_the_background(CPU)
        holder.kill()
        holder.wait()
        assert psutil.pid_exists(worker)
        with pytest.raises(AssertionError, match="it did not come"):
            wait_until(has, seconds=2)
        os.kill(worker, signal.SIGKILL)
        wait_until(has)
    ends.set()


def test_the_processor_has_a_slot_for_each_run_that_its_threads_leave_room_for() -> None:
    assert len(spec_of(*CPU, "device.threads=1").config.device.chips) == len("free")
    with chips_of(spec_of(*CPU, "device.threads=1"), Notes()) as chips:
        assert len(chips.device().visible) == len(CORES)
    with chips_of(spec_of(*CPU), Notes()) as chips:
        assert [chip.key for chip in chips.device().visible] == [WHOLE]


def test_runs_take_different_chips_and_a_run_that_names_one_waits_for_it(npus: StandInNpuSmi) -> None:
    first, second, third = (spec_of(*NPU, f"seed={seed}") for seed in range(3))
    pair = spec_of(*NPU, "device.count=2", "launch=cards")
    with chips_of(first, Notes()) as one, chips_of(second, Notes()) as two, chips_of(pair, Notes()) as both:
        devices = [one.device(), two.device(), both.device()]
        assert sorted(chip for device in devices for chip in device.chips) == [0, 1, 2, 3]
        seen = [device.environment()["ASCEND_RT_VISIBLE_DEVICES"] for device in devices]
        assert seen == [",".join(map(str, device.chips)) for device in devices]
        notes, has, ends = taken_in_the_background((*NPU, "device.chips=[1]"))
        free_notes, free_has, free_ends = taken_in_the_background(NPU)
        wait_until(lambda: bool(notes.told and free_notes.told))
        assert "waiting for npu" in notes.told[0]
        assert "waiting for 1 of 4 chips: " in free_notes.told[0]
        assert not has()
        assert not free_has()
    wait_until(lambda: has() and free_has())
    ends.set()
    free_ends.set()
    assert third.device.chips == 1


def test_of_many_runs_at_once_no_two_have_a_chip_at_the_same_time(npus: StandInNpuSmi) -> None:
    specs = [spec_of(*NPU, f"seed={seed}") for seed in range(16)]
    held: list[tuple[str, float, float]] = []

    def run(spec: RunSpec) -> None:
        with chips_of(spec, Notes()) as chips:
            (key,) = chips.device() and chips.holder.chips
            began = time.monotonic()
            time.sleep(0.2)
            held.append((key, began, time.monotonic()))

    with ThreadPoolExecutor(len(specs)) as pool:
        list(pool.map(run, specs))
    assert len(held) == len(specs)
    assert len({key for key, _, _ in held}) == 4
    for (key, _, ended), (next_key, began, _) in pairwise(sorted(held)):
        assert key != next_key or ended <= began


def test_a_chip_on_which_somebody_else_computes_is_not_free(
    npus: StandInNpuSmi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "0")
    # The stand-in shows what has such a name on its command line.
    with subprocess.Popen([sys.executable, "-c", "input()", "harness.workers.train"], stdin=subprocess.PIPE) as foreign:
        monkeypatch.delenv("ASCEND_RT_VISIBLE_DEVICES")
        # What this process has started is its own.
        monkeypatch.setattr("harness.devices.ascend.sensor.tree", lambda _: [])
        with chips_of(spec_of(*NPU, "device.count=3", "launch=cards"), Notes()) as chips:
            assert chips.device().chips == (1, 2, 3)
        foreign.kill()


def test_a_run_knows_the_others_that_the_machine_had_meanwhile_and_those_that_died_are_forgotten(leases: Path) -> None:
    with another_run("evaluation=none", "tracking=disabled", "device=cpu", "seed=3") as (holder, worker):
        with chips_of(spec_of(*CPU), Notes()) as chips:
            chips.device()
            (neighbour,) = chips.neighbours(0) or ()
            assert (neighbour.run, neighbour.sweep, neighbour.chips) == ("lora-seed3", "single", [])
        holder.kill()
        holder.wait()
        os.kill(worker, signal.SIGKILL)
        with chips_of(spec_of(*CPU), Notes()) as chips:
            chips.device()
            assert chips.neighbours(0) == []
        assert not list(leases.glob("run-*"))


def test_neighbours_are_those_of_the_attempt_and_of_nobody_who_never_looked() -> None:
    with chips_of(spec_of(*CPU), Notes()) as chips:
        assert chips.neighbours(0) is None
        chips.device()
        with another_run("evaluation=none", "tracking=disabled", "device=cpu", "seed=3"):
            assert [neighbour.run for neighbour in chips.neighbours(time.time()) or ()] == ["lora-seed3"]
        assert [neighbour.run for neighbour in chips.neighbours(time.time()) or ()] == ["lora-seed3"]
        assert chips.neighbours(time.time() + 60) == []


def test_a_run_that_has_the_processor_whole_waits_for_one_that_has_a_share() -> None:
    with another_run(*CPU, "device.threads=1", "seed=7") as (holder, _):
        notes, has, ends = taken_in_the_background(CPU)
        wait_until(lambda: bool(notes.told))
        assert f"{WHOLE} has lora-seed7 of " in notes.told[0]
        assert not has()
        holder.communicate("\n")
        wait_until(has)
    ends.set()


@pytest.fixture
def driver(npus: StandInNpuSmi, monkeypatch: pytest.MonkeyPatch) -> list[int | str]:
    """What it tells, question by question, of processes on a chip; the last answer again and again."""
    told: list[int | str] = []

    def others_on(*_: object) -> int:
        answer = told.pop(0) if len(told) > 1 else told[0]
        if isinstance(answer, str):
            raise SensorError(answer)
        return answer

    monkeypatch.setattr(Chips, "_others_on", others_on)
    return told


def test_a_driver_that_does_not_tell_just_now_makes_no_chip_free(driver: list[int | str]) -> None:
    notes = Notes()
    driver += [*["npu-smi is asked less often"] * 4, 2, 2, 2, 2, "slow again", 0]
    with chips_of(spec_of(*NPU), notes) as chips:
        chips.device()
    assert driver == [0]
    assert "a driver that does not tell of it (npu-smi is asked less often)" in notes.told[0]


def test_a_driver_that_never_tells_is_waited_for_no_longer_than_two_minutes(
    driver: list[int | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.execution.leases._SILENT_SECONDS", 0.0)
    driver.append("no such driver")
    with chips_of(spec_of(*NPU), Notes()) as chips:
        assert len(chips.device().chips) == 1


def test_a_lease_that_went_wrong_halfway_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its run would wait for itself."""
    notes = Notes()
    with chips_of(spec_of(*CPU), notes) as chips:
        with monkeypatch.context() as full:
            full.setattr(Path, "rename", mock.Mock(side_effect=OSError(28, "No space left on device")))
            with pytest.raises(OSError, match="No space left"):
                chips.device()
        chips.device()
    assert notes.told == []


def test_all_users_of_a_machine_can_lease_its_chips(leases: Path) -> None:
    with chips_of(spec_of(*CPU), Notes()) as chips:
        chips.device()
        assert stat.S_IMODE(leases.stat().st_mode) == 0o1777
        assert stat.S_IMODE((leases / f"cpu-core{CORES[0]}").stat().st_mode) == 0o666
        holder = json.loads((leases / f"cpu-core{CORES[0]}").read_text())
    assert (holder["run"], holder["pid"]) == ("lora-seed0", os.getpid())


def test_a_folder_that_cannot_hold_leases_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HARNESS_LEASES", str(tmp_path / "file"))
    with chips_of(spec_of(*CPU), Notes()) as chips, pytest.raises(DeviceError, match="set HARNESS_LEASES to a local"):
        chips.device()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("device.chips=3",), "device.chips=3: give a list of logic ids, such as [0,1], or free, or null"),
        (("device.chips=fre",), "device.chips=fre: give a list of logic ids, such as [0,1], or free, or null"),
        (("device.count=2",), "device.count=2: it is for device.chips=free; else name them: device.chips=[0,1]"),
        (("device.chips=free", "device.count=0"), "device.count=0: must be greater than 0"),
        (("device.chips=free", "device.count=2"), "device.count=2: a run takes one share of the CPU; leave it out"),
    ],
)
def test_what_chips_means_is_told_before_anything_starts(given: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError) as refused:
        spec_of("evaluation=none", "tracking=disabled", "device=cpu", *given)
    assert told in refused.value.mistakes


def test_more_chips_than_there_are_like_the_first_are_refused(npus: StandInNpuSmi) -> None:
    with pytest.raises(UserError, match=r"device\.count=5: 4 chips like the first"):
        spec_of(*NPU, "device.count=5", "launch=cards")
