"""How far a sweep is, as `harness status` tells of its folders."""

from __future__ import annotations

import fcntl
import io
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.cli.status import table
from harness.cli.terminal import Terminal
from harness.runs import store
from harness.runs.events import Phase, PhaseStarted, TrainingLoss, TrainingStarted, TrainingStep
from harness.runs.folder import RunFolder, SweepFolder
from harness.runs.record import Outcome
from harness.runs.status import Holder, RunStatus, State, SweepStatus, Watch, plan
from tests.builders import RunBuilder
from tests.conftest import FinishedSweep, Harness

NOW = time.time()


@pytest.fixture
def begun(tmp_path: Path) -> SweepFolder:
    folder = SweepFolder(tmp_path / "outputs" / "some")
    folder.path.mkdir(parents=True)
    plan(folder, [folder.run(f"{arm}-seed0-{identity}") for arm, identity in (("qlora", "bb"), ("lora", "aa"))])
    return folder


def begin(folder: RunFolder, *events: object) -> None:
    folder.path.mkdir()
    holder = Holder(
        run="qlora-seed0", sweep="some", user="me", host="node7", pid=1, since=datetime.now(UTC), chips=["npu3-0"]
    )
    folder.holder.write_text(holder.model_dump_json())
    folder.events.write_text("".join(f"{event.model_dump_json()}\n" for event in events))  # type: ignore[attr-defined]


EVENTS = (
    PhaseStarted(time=NOW, phase=Phase.TRAIN),
    TrainingStarted(time=NOW, total_steps=40),
    TrainingStep(time=NOW, step=10, tokens=99),
    TrainingLoss(time=NOW, step=10, epoch=0.5, loss=1.25, learning_rate=1e-4),
)


def test_runs_stand_in_the_order_of_the_command_whether_they_have_begun_or_not(begun: SweepFolder) -> None:
    folder = begun.run("qlora-seed0-bb")
    begin(folder, *EVENTS)
    with folder.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running, queued = Watch(begun).look().runs
    assert (queued.name, queued.state) == ("lora-seed0", State.QUEUED)
    assert (running.name, running.state, running.phase) == ("qlora-seed0", State.RUNNING, Phase.TRAIN)
    assert (running.step, running.steps, running.loss, running.share) == (10, 40, 1.25, 0.25)
    assert running.holder is not None
    assert (running.holder.host, running.holder.chips) == ("node7", ["npu3-0"])


def test_a_run_that_nobody_is_at_any_more_is_cut_short_and_one_that_began_again_is_running(begun: SweepFolder) -> None:
    folder = begun.run("qlora-seed0-bb")
    begin(folder, *EVENTS)
    watch = Watch(begun)
    assert watch.look().runs[0].state is State.CUT_SHORT
    folder.path.rename(begun.path / "earlier")
    begin(folder)
    with folder.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        again = watch.look().runs[0]
    assert (again.state, again.step) == (State.RUNNING, None)


def test_the_time_of_a_run_is_that_of_its_work_and_never_below_nothing(begun: SweepFolder) -> None:
    folder = begun.run("qlora-seed0-bb")
    begin(folder, TrainingStarted(time=time.time() + 60, total_steps=40))
    assert Watch(begun).look().runs[0].seconds == pytest.approx(60, abs=20)
    holder = json.loads(folder.holder.read_text()) | {"since": f"{datetime.now(UTC) + timedelta(hours=1):%FT%T}Z"}
    folder.holder.write_text(json.dumps(holder))
    with folder.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert Watch(begun).look().runs[0].seconds == 0


@pytest.mark.parametrize(
    "written", [{"since": "0001-01-01T00:00:00"}, {"host": "[/x]"}, {"chips": ["[/x]"]}, {"host": ":smile:"}]
)
def test_whatever_names_who_is_at_a_run_is_shown_as_it_is(written: dict[str, Any], begun: SweepFolder) -> None:
    folder = begun.run("qlora-seed0-bb")
    begin(folder, *EVENTS)
    folder.holder.write_text(json.dumps(json.loads(folder.holder.read_text()) | written))
    shown = io.StringIO()
    Terminal(file=shown, width=200).print(table(Watch(begun).look()))
    for value in written.values():
        assert ("".join(value) in shown.getvalue()) is ("since" not in written)


def test_a_plan_makes_up_no_run(begun: SweepFolder) -> None:
    names = ["qlora-seed0-bb", "qlora-seed0-bb", "", "../..", "a/lora-seed0-aa", "a\0-seed0-aa", "lora-seed0-aa"]
    begun.plan.write_text(json.dumps({"runs": names}))
    assert [run.name for run in Watch(begun).look().runs] == ["qlora-seed0", "lora-seed0"]


@pytest.mark.parametrize("name", ["events.jsonl", "record.json", "readings.jsonl", "holder.json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path.name)])
def test_what_is_no_file_costs_its_run_alone(name: str, make: Callable[[Path], None], begun: SweepFolder) -> None:
    RunBuilder(begun.path, "lora", 1).write()
    begin(begun.run("qlora-seed0-bb"), *EVENTS)
    place = begun.run("qlora-seed0-bb").path / name
    place.unlink(missing_ok=True)
    make(place)
    first, *_, last = Watch(begun).look().runs
    assert (first.name, last.state) == ("qlora-seed0", State.COMPLETED)


@pytest.mark.parametrize("size", ["9" * 5000, "99999999", "", "x"])
def test_no_size_of_a_terminal_is_a_fault(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", size)
    monkeypatch.setenv("LINES", size)
    assert Terminal(file=io.StringIO()).width < 10_000


def test_a_run_that_has_ended_is_as_its_record_says_and_an_odd_record_is_named(begun: SweepFolder) -> None:
    RunBuilder(begun.path, "lora", 0, status=Outcome.OUT_OF_MEMORY, reason="no room").write()
    RunBuilder(begun.path, "qlora", 1).write().joinpath("record.json").write_text("{")
    found = {run.name: run for run in Watch(begun).look().runs}
    assert (found["lora-seed0"].state, found["lora-seed0"].reason) == (State.OUT_OF_MEMORY, "no room")
    assert found["qlora-seed1"].state is State.DAMAGED


def test_a_run_that_is_scored_again_is_running_and_then_completed(begun: SweepFolder) -> None:
    path = RunBuilder(begun.path, "lora", 0, status=Outcome.FAILED, reason="evaluation: out of luck").write()
    watch, folder = Watch(begun), RunFolder(path)

    def now() -> RunStatus:
        return {run.name: run for run in watch.look().runs}["lora-seed0"]

    assert now().state is State.FAILED
    with folder.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert now().state is not State.FAILED
        record = store.load(folder)
        assert record is not None
        store.write(folder, record.model_copy(update={"status": Outcome.COMPLETED, "reason": None}))
    assert now().state is State.COMPLETED


def test_the_time_left_is_that_of_the_open_runs_side_by_side() -> None:
    done = RunStatus("a", State.COMPLETED, seconds=100.0)
    half = RunStatus("b", State.RUNNING, step=5, steps=10)
    status = SweepStatus([done, half, half, RunStatus("c", State.QUEUED)])
    assert status.seconds_left == pytest.approx(100 * (0.5 + 0.5 + 1) / 2)
    assert SweepStatus([half]).seconds_left is None


def test_the_verb_shows_a_finished_sweep(sweep: FinishedSweep, harness: Harness) -> None:
    done = harness("status", str(sweep.home / "outputs" / "quickstart"))
    assert done.returncode == 0, done.stderr
    runs = len(list(SweepFolder(sweep.folder).runs()))
    assert done.stdout.count(" completed ") == runs
    assert done.stdout.endswith(f"{runs} runs: {runs} completed\n")


def test_a_folder_without_runs_is_told(tmp_path: Path, harness: Harness) -> None:
    done = harness("status", str(tmp_path))
    assert (done.returncode, done.stderr) == (2, f"error: {tmp_path}: holds no run of a sweep; give outputs/NAME\n")
