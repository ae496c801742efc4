"""SwanLab is told what the files of a run hold, once, and can cost the run nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from harness.devices.reading import Reading
from harness.runs.events import TrainingLoss, ValidationLoss, report
from harness.runs.record import Score
from harness.tracking.job import TrackingJob
from harness.tracking.tracker import Tracker
from harness.workers.track import follow


def job(folder: Path, mode: str = "local") -> TrackingJob:
    return TrackingJob(
        mode=mode,
        project="harness",
        workspace=None,
        experiment="made/lora-seed0",
        group="made",
        tags=["lora"],
        config={"seed": 0},
        log_folder=folder / "swanlog",
        run_folder=folder,
    )


def test_losses_memory_and_score_are_told_each_once(tmp_path: Path) -> None:
    report(tmp_path / "events.jsonl", TrainingLoss(step=10, loss=0.5, learning_rate=1e-3, gradient_norm=2.0))
    report(tmp_path / "events.jsonl", ValidationLoss(step=10, loss=0.6))
    readings = [Reading(time=100.0 + second / 2, sensor="psutil", process_mib=500.0) for second in range(4)]
    (tmp_path / "readings.jsonl").write_text("".join(one.model_dump_json() + "\n" for one in readings))
    score = Score(benchmark="b", accuracy=0.75, correct=3, questions=4, seconds=1.0, generated_tokens=9)
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "score.json").write_text(score.model_dump_json())
    told: list[tuple[str, float, int]] = []

    def log(values: dict[str, Any], step: int) -> None:
        told.extend((key, value, step) for key, value in values.items())

    over = threading.Event()
    over.set()
    follow(job(tmp_path), over, log)
    assert ("train/loss", 0.5, 10) in told
    assert ("train/learning_rate", 1e-3, 10) in told
    assert ("validation/loss", 0.6, 10) in told
    assert ("final/accuracy", 0.75, 0) in told
    # Two readings a second are one point: SwanLab drops a second value under one key and step.
    assert [step for key, _, step in told if key == "device/host_process_mib"] == [0, 1]


def test_a_disabled_tracker_starts_nothing(tmp_path: Path) -> None:
    tracker = Tracker(job(tmp_path, "disabled"), tmp_path / "log")
    assert tracker.finish().problem is None
    assert not (tmp_path / "log").exists()


def test_a_tracker_that_does_not_finish_is_ended_and_told(tmp_path: Path) -> None:
    tracker = Tracker(job(tmp_path), tmp_path / "log")
    told = tracker.finish(seconds=0.0)
    assert "was ended" in (told.problem or "")


def test_a_tracker_whose_disk_is_missing_is_a_problem_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = Tracker(job(tmp_path), tmp_path / "file" / "log").finish()
    assert "could not be started" in (told.problem or "")
