"""A run's folder that is tracked, by SwanLab itself in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from harness.processes.jobs import TrackingJob
from harness.runs.events import TrainingLoss, report
from harness.runs.folder import RunFolder
from harness.tracking.tracker import Tracker


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
        events=RunFolder(folder).events,
        readings=RunFolder(folder).readings,
        score=RunFolder(folder).evaluation.score,
    )


@dataclass
class Tracked:
    """A tracker, and what it told while it tracked."""

    folder: Path
    mode: str = "local"
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        run = RunFolder(self.folder)
        self.tracker = Tracker(job(self.folder, self.mode), run.job("track"), run.log("tracking"), self.told.append)
        self.finish = self.tracker.finish
        self._steps = 0

    def train(self, steps: int) -> None:
        """Report as many losses more."""
        for _ in range(steps):
            self._steps += 1
            loss = TrainingLoss(step=self._steps, loss=0.5, learning_rate=1e-3, gradient_norm=1.0)
            report(RunFolder(self.folder).events, loss)

    @property
    def process(self) -> psutil.Process:
        (process,) = [
            child
            for child in psutil.Process().children(recursive=True)
            if "harness.workers.track" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE
        ]
        return process

    def written(self) -> int:
        """How many losses SwanLab's dashboard has."""
        return sum(len(file.read_text().splitlines()) for file in self.folder.glob("swanlog/run-*/logs/1/*.log"))


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
