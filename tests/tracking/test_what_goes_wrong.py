"""Tracking that fails is told once, when it does, with its cause and what helps, and ends within seconds."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from harness.runs.record import Tracking
from harness.tracking.said import Weight, one_line, weigh
from harness.tracking.symptoms import CAUSES, diagnose
from tests.tracking.swanlab_cloud import Cloud, cloud
from tests.tracking.tracked import Tracked, wait_until


def cause(tracking: Tracking) -> str:
    assert tracking.diagnosis is not None
    return tracking.diagnosis.cause


def tracked_ten(folder: Path) -> Tracked:
    """Ten losses of a run are in SwanLab, which follows it."""
    tracked = Tracked(folder)
    tracked.train(10)
    wait_until(lambda: tracked.written() == 10)
    return tracked


# ---- On this machine ----


def test_a_tracker_that_is_killed_is_told_at_once_and_what_came_after_is_counted(tmp_path: Path) -> None:
    tracked = tracked_ten(tmp_path)
    tracked.process.send_signal(signal.SIGKILL)
    wait_until(lambda: tracked.told)
    tracked.train(5)
    tracking = tracked.finish()
    assert tracking.problem == "SwanLab's process was killed by SIGKILL"
    assert tracking.missing_losses == 5
    (told,) = tracked.told
    first, its_cause, fix = told.splitlines()
    assert first == tracking.problem
    assert its_cause == f"  cause: {cause(tracking)}"
    assert fix.startswith("  fix:   ")


def test_a_tracker_that_is_stopped_is_ended_and_delays_the_run_no_longer_than_it_may(tmp_path: Path) -> None:
    tracked = tracked_ten(tmp_path)
    process = tracked.process
    process.send_signal(signal.SIGSTOP)
    tracked.train(5)
    tracking = tracked.finish(seconds=1)
    assert not process.is_running()
    assert "took over 1 s to finish and was ended" in (tracking.problem or "")
    assert cause(tracking) == "SwanLab waits for a server or a disk that does not answer"
    assert tracking.missing_losses == 5
    assert len(tracked.told) == 1


def test_files_that_can_grow_no_more_are_told_while_the_run_goes_on(tmp_path: Path) -> None:
    """SwanLab itself only writes into a file of its own that it could not write."""
    tracked = tracked_ten(tmp_path)
    resource.prlimit(tracked.process.pid, resource.RLIMIT_FSIZE, (1024, 1024))
    tracked.train(2000)
    wait_until(lambda: tracked.told)
    tracking = tracked.finish(seconds=60)
    assert cause(tracking) == "the disk is full"
    assert len(tracked.told) == 1


def test_a_run_that_is_stopped_in_the_dashboard_is_told_and_trains_on(tmp_path: Path) -> None:
    """As the dashboard does: SwanLab's writing thread then ends, and whatever follows is lost without a word."""
    tracked = tracked_ten(tmp_path)
    with closing(sqlite3.connect(tmp_path / "swanlog" / "runs.swanlab")) as dashboard:
        dashboard.execute("update experiment set status = -1")
        dashboard.commit()
    tracked.train(5)
    wait_until(lambda: tracked.told)
    tracked.train(5)
    tracking = tracked.finish(seconds=60)
    assert cause(tracking) == "the run was stopped or deleted in SwanLab's dashboard"
    assert tracking.missing_losses is not None
    assert len(tracked.told) == 1


def test_a_dashboard_that_is_not_installed_is_told_though_swanlab_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "swanboard.py").write_text("raise ImportError('made for tests')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2]))))
    tracked = Tracked(tmp_path)
    tracked.train(1)
    tracking = tracked.finish(seconds=60)
    assert cause(tracking) == "SwanLab or its dashboard is not installed as it has to be"
    assert len(tracked.told) == 1


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "swanlog").write_text("")
    tracked = Tracked(tmp_path)
    tracked.train(3)
    wait_until(lambda: tracked.told)
    tracking = tracked.finish()
    assert cause(tracking) == "SwanLab cannot write its files"
    assert tracking.missing_losses == 3


def test_what_no_job_can_say_is_no_error_of_the_run(tmp_path: Path) -> None:
    """Half a surrogate pair, which YAML can write and UTF-8 cannot."""
    tracked = Tracked(tmp_path, mode="\ud800")
    assert "SwanLab could not be started" in (tracked.finish().problem or "")
    assert len(tracked.told) == 1


# ---- In the cloud ----


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("SWANLAB_API_KEY", "key-made-for-tests")
    with cloud() as server:
        monkeypatch.setenv("SWANLAB_API_HOST", server.url)
        yield server


def kept(tracking: Tracking) -> int:
    """How many bytes `swanlab sync` would find."""
    assert tracking.kept_in is not None
    return sum(file.stat().st_size for file in Path(tracking.kept_in).glob("*.swanlab"))


def test_a_cloud_that_takes_everything_is_no_problem(tmp_path: Path, account: Cloud) -> None:
    tracked = Tracked(tmp_path, "cloud")
    tracked.train(3)
    assert tracked.finish(seconds=60) == Tracking(mode="cloud")
    assert tracked.told == []
    assert sum(metric["key"] == "train/loss" for metric in account.metrics) == 3


def test_a_key_that_the_server_refuses_is_told_and_the_run_is_kept_for_later(tmp_path: Path, account: Cloud) -> None:
    account.status = 401
    tracked = Tracked(tmp_path, "cloud")
    tracked.train(100)
    tracking = tracked.finish(seconds=60)
    assert cause(tracking) == "SwanLab's server refuses the account's key"
    assert kept(tracking) > 1000
    (told,) = tracked.told
    assert f"`swanlab sync {tracking.kept_in}` sends what is kept there" in told
    assert "key-made-for-tests" not in f"{told}{tracking}"


def test_without_a_key_nobody_is_asked_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWANLAB_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    tracking = Tracked(tmp_path, "cloud").finish(seconds=60)
    assert cause(tracking) == "SwanLab found no key of an account"


def test_without_a_network_the_cause_is_not_the_key_that_swanlab_blames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("SWANLAB_API_HOST", f"http://127.0.0.1:{port}")
    tracked = Tracked(tmp_path, "cloud")
    tracked.train(100)
    wait_until(lambda: tracked.told)
    tracking = tracked.finish(seconds=60)
    assert "check if the provided API key is correct" in (tracking.problem or "")
    assert cause(tracking) == "SwanLab's server does not answer"
    assert kept(tracking) > 1000


def test_a_server_that_takes_the_call_and_stays_silent_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("SWANLAB_API_HOST", f"http://127.0.0.1:{listener.getsockname()[1]}")
        tracked = Tracked(tmp_path, "cloud")
        tracked.train(3)
        tracking = tracked.finish(seconds=2)
    assert "was ended" in (tracking.problem or "")
    assert tracking.missing_losses == 3
    assert len(tracked.told) == 1


def whose_server_fails(folder: Path, account: Cloud, before: int, meanwhile: int) -> Tracked:
    """A run whose server takes the losses of some steps, and fails at those of others, until that is told."""
    tracked = Tracked(folder, "cloud")
    tracked.train(before)
    wait_until(lambda: account.metrics)
    account.status = 503
    tracked.train(meanwhile)
    wait_until(lambda: tracked.told)
    return tracked


def test_a_server_that_goes_away_is_told_when_it_does_and_in_the_end(tmp_path: Path, account: Cloud) -> None:
    tracked = whose_server_fails(tmp_path, account, before=3, meanwhile=100)
    assert tracked.told[0].startswith("SwanLab goes on trying: ")
    tracking = tracked.finish(seconds=60)
    assert "SwanLab took over 5 s to finish and was ended" in (tracking.problem or "")
    assert cause(tracking) == "SwanLab's server does not answer"
    assert kept(tracking) > 1000
    assert len(tracked.told) == 2


def test_a_server_that_comes_back_gets_everything(tmp_path: Path, account: Cloud) -> None:
    tracked = whose_server_fails(tmp_path, account, before=1, meanwhile=4)
    account.status = None
    wait_until(lambda: sum(metric["key"] == "train/loss" for metric in account.metrics) == 5)
    assert tracked.finish(seconds=60) == Tracking(mode="cloud")
    assert len(tracked.told) == 1


def test_a_server_that_refuses_losses_is_told(tmp_path: Path, account: Cloud) -> None:
    """SwanLab itself counts them among those that it has uploaded."""
    tracked = Tracked(tmp_path, "cloud")
    tracked.train(1)
    wait_until(lambda: account.metrics)
    account.status = 400
    tracked.train(4)
    wait_until(lambda: tracked.told)
    assert cause(tracked.finish(seconds=60)) == "SwanLab's server refuses what it is sent"
    assert account.url not in tracked.told[0]
    assert len(tracked.told) == 1


# ---- Words ----


@pytest.mark.parametrize(
    ("level", "words", "begun", "weight"),
    [
        (30, "Metric 'a' was skipped", True, Weight.HINT),
        (30, "Upload failed due to network or server issues, retrying automatically.", True, Weight.TROUBLE),
        (40, "[HTTP] POST /api/house/metrics -> 502 (3ms)", True, Weight.TROUBLE),
        (40, "[HTTP] POST /api/house/metrics -> 403 (3ms)", True, Weight.FAILURE),
        (40, "[HTTP] POST /api/login/api_key -> 401 (3ms)", False, Weight.HINT),
        (40, "[HTTP] POST /api/house/experiments/e/heartbeat -> 404 (3ms)", True, Weight.HINT),
        (40, "Failed to load credentials from root directory: OSError: x", True, Weight.HINT),
        (40, "Error executing 'on_run_initialized' in callback 'x': ImportError: y", False, Weight.FAILURE),
        (40, "Error when flushing batch: OSError: [Errno 28] No space left on device", True, Weight.FAILURE),
    ],
)
def test_what_is_lost_weighs_more_than_what_may_pass(level: int, words: str, begun: bool, weight: Weight) -> None:
    assert weigh(level, words, begun=begun) is weight


def test_of_a_traceback_what_was_tried_and_what_it_came_to_are_kept() -> None:
    told = (
        "Error: Traceback (most recent call last):\n  File 'x', line 1\nOSError: full\nof \ud800 http://10.0.0.1:80/a"
    )
    assert one_line(told.partition("\nof")[0]) == "Error: OSError: full"
    assert one_line(told.partition("full\n")[2]) == "of ? /a"


def test_the_nearest_words_decide_and_nothing_is_left_without_a_fix() -> None:
    hints = ["ReadTimeoutError", "[HTTP] POST /api/login/api_key -> 401"]
    assert diagnose("SwanLab failed: x", hints).cause == "SwanLab's server refuses the account's key"
    assert diagnose("OSError: No space left on device", hints).cause == "the disk is full"
    assert diagnose("nobody knows", []).cause == CAUSES[-1]
    assert diagnose("nobody knows", []).fix


def test_nothing_is_left_running() -> None:
    assert [child for child in psutil.Process().children(recursive=True) if "track" in " ".join(child.cmdline())] == []
