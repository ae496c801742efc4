"""SwanLab is told what the files of a run hold, once, and can cost the run nothing."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.base.json_lines import append
from harness.devices.reading import Reading
from harness.runs.events import TrainingLoss, ValidationLoss, report
from harness.runs.folder import RunFolder
from harness.runs.record import Score
from harness.tracking.tracker import Tracker
from harness.workers.track import follow
from tests.tracking.tracked import Tracked, job


def tracker(folder: Path, mode: str = "local") -> Tracker:
    return Tracked(folder, mode).tracker


def test_losses_memory_and_score_are_logged_each_once(tmp_path: Path) -> None:
    report(RunFolder(tmp_path).events, TrainingLoss(step=10, loss=0.5, learning_rate=1e-3, gradient_norm=2.0))
    report(RunFolder(tmp_path).events, ValidationLoss(step=10, loss=0.6))
    readings = [Reading(time=100.0 + second / 2, sensor="psutil", process_mib=500.0) for second in range(4)]
    append(RunFolder(tmp_path).readings, readings)
    score = Score(benchmark="b", accuracy=0.75, correct=3, questions=4, seconds=1.0, generated_tokens=9)
    RunFolder(tmp_path).evaluation.path.mkdir()
    RunFolder(tmp_path).evaluation.score.write_text(score.model_dump_json())
    logged: list[tuple[str, float, int]] = []

    def log(values: dict[str, Any], step: int) -> None:
        logged.extend((key, value, step) for key, value in values.items())

    over = threading.Event()
    over.set()
    follow(job(tmp_path), over, log)
    assert ("train/loss", 0.5, 10) in logged
    assert ("train/learning_rate", 1e-3, 10) in logged
    assert ("validation/loss", 0.6, 10) in logged
    assert ("final/accuracy", 0.75, 0) in logged
    # Two readings a second are one point: SwanLab drops a second value under one key and step.
    assert [step for key, _, step in logged if key == "device/host_process_mib"] == [0, 1]


def test_losses_that_are_not_finite_cost_the_others_nothing(tmp_path: Path) -> None:
    """By SwanLab itself, on this machine's disk."""
    events = RunFolder(tmp_path).events
    for step, loss in enumerate((0.5, math.nan, math.inf, -math.inf, 0.4), start=1):
        report(events, TrainingLoss(step=step, loss=loss, learning_rate=1e-3, gradient_norm=loss))
        report(events, ValidationLoss(step=step, loss=loss))
    tracking = tracker(tmp_path).finish(seconds=120)
    log = RunFolder(tmp_path).log("tracking").read_text()
    assert tracking.problem is None, log
    assert "Traceback" not in log
    assert any((tmp_path / "swanlog").iterdir())


def test_a_disabled_tracker_starts_nothing(tmp_path: Path) -> None:
    assert tracker(tmp_path, "disabled").finish().problem is None
    assert not list(tmp_path.iterdir())


def test_a_tracker_that_does_not_finish_is_ended_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As SwanLab does where the network takes everything and answers nothing."""
    waiting = tmp_path / "waiting"
    stand_in = (
        f"import os, pathlib, time\npathlib.Path({str(waiting)!r}).write_text(str(os.getpid()))\ntime.sleep(600)\n"
    )
    (tmp_path / "swanlab.py").write_text(stand_in)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2]))))
    hanging = tracker(tmp_path)
    while not (waiting.exists() and waiting.read_text()):
        pass
    process = psutil.Process(int(waiting.read_text()))
    assert "was ended" in (hanging.finish(seconds=0.5).problem or "")
    assert not process.is_running()


def test_a_tracker_that_fails_is_a_problem_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "swanlab.py").write_text("raise ImportError('swanlab is broken')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2]))))
    assert "SwanLab failed: ImportError: swanlab is broken" in (tracker(tmp_path).finish(seconds=120).problem or "")


def test_a_tracker_whose_disk_is_missing_is_a_problem_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "could not be started" in (tracker(tmp_path / "file").finish().problem or "")
