"""Follows the files of a run and tells SwanLab.

A line on stdin, or its end, says that the run is over; on stdout this process says how SwanLab fares. SwanLab runs
here alone, because it may wait for a network, and its last records are lost when its process dies: whatever happens
here, the run's files are whole.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import suppress
from typing import Any

from harness.base.json_lines import LineReader
from harness.devices.reading import Reading
from harness.processes.jobs import TrackingJob
from harness.runs.events import Event, EventReader, TrainingFinished, TrainingLoss, ValidationLoss
from harness.runs.record import Score
from harness.tracking.said import Complaints, Said, Say, Weight, one_line
from harness.workers import lifecycle

MODES = {"cloud": "online"}
POLL_SECONDS = 1.0
LOSSES = {"train/loss", "validation/loss"}


def metrics_of_event(event: Event) -> tuple[dict[str, float], int] | None:
    """Return SwanLab's names and the step for an event that has a curve; None for any other."""
    if isinstance(event, TrainingLoss):
        values = {"train/loss": event.loss, "train/learning_rate": event.learning_rate}
        if event.gradient_norm is not None:
            values["train/gradient_norm"] = event.gradient_norm
        return values, event.step
    if isinstance(event, ValidationLoss):
        return {"validation/loss": event.loss}, event.step
    if isinstance(event, TrainingFinished):
        return {
            "final/train_seconds": event.train_seconds,
            "final/tokens_per_second": event.tokens / event.train_seconds,
        }, 0
    return None


def metrics_of_reading(reading: Reading, started: float) -> tuple[dict[str, float], int]:
    """Return SwanLab's names for a reading, and the second of the run that began at `started`, which is the step."""
    place = "host" if reading.chip is None else f"chip{reading.chip}"
    values = {
        f"device/{place}_{name}": value
        for name, value in reading.model_dump(exclude={"time", "sensor", "chip", "device_total_mib"}).items()
        if value is not None
    }
    return values, max(0, int(reading.time - started))


def follow(job: TrackingJob, over: threading.Event, log: Any) -> None:
    """Call `log`, which is swanlab.log, until the run is over and everything in its files has been logged."""
    events = EventReader(job.events)
    readings: LineReader[Reading] = LineReader(job.readings, Reading)
    started: float | None = None
    logged: set[tuple[str, int]] = set()

    def log_once(values: dict[str, float], step: int) -> None:
        # SwanLab drops a second value under one key and step, and warns each time.
        fresh = {key: value for key, value in values.items() if (key, step) not in logged}
        logged.update((key, step) for key in fresh)
        if fresh:
            log(fresh, step=step)

    last = False
    while True:
        for reading in readings.new():
            started = started or reading.time
            log_once(*metrics_of_reading(reading, started))
        for metrics in filter(None, map(metrics_of_event, events.new())):
            log_once(*metrics)
        if last:
            break
        last = over.wait(POLL_SECONDS)
    if job.score.is_file():
        log_once({"final/accuracy": Score.model_validate_json(job.score.read_bytes()).accuracy}, 0)


def speak() -> Say:
    """Return what says a line to the parent, on the stdout that it gave; from here on all others write to stderr."""
    parent = os.dup(1)
    os.dup2(2, 1)

    def say(said: Said) -> None:
        with suppress(OSError):
            os.write(parent, said.model_dump_json(exclude_defaults=True).encode() + b"\n")

    return say


def main(job: TrackingJob, say: Say) -> None:
    """Track the job's run to its end. Raises what SwanLab raises."""
    os.nice(10)  # On a machine whose every core trains, the training goes first.
    over = threading.Event()

    def wait() -> None:
        sys.stdin.readline()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    os.environ["SWANLAB_INTERACTIVE"] = "0"
    import swanlab

    complaints = Complaints(say)
    logging.getLogger("swanlab.internal").addHandler(complaints)
    gone = threading.Event()

    def hook(raised: threading.ExceptHookArgs) -> None:
        # As of the thread that writes, when the run is stopped in the dashboard; SwanLab itself goes on without it.
        say(_failure(raised.exc_value))
        gone.set()
        over.set()
        threading.__excepthook__(raised)

    threading.excepthook = hook
    run = _begin(swanlab, job, say)
    complaints.begun = True
    losses = 0

    def log(values: dict[str, float], step: int) -> None:
        nonlocal losses
        if gone.is_set():
            return
        run.log(values, step=step)
        if LOSSES & values.keys():
            losses += 1
            say(Said(losses=losses))

    follow(job, over, log)
    run.finish()
    sys.exit(int(gone.is_set()))


def _begin(swanlab: Any, job: TrackingJob, say: Say) -> Any:
    """Have SwanLab take the run up, and return its own run. Where its cloud cannot be used, all is kept on the disk."""

    def begin(mode: str) -> Any:
        job.log_folder.mkdir(parents=True, exist_ok=True)
        run = swanlab.init(
            mode=mode,
            project=job.project,
            workspace=job.workspace,
            name=job.experiment,
            group=job.group,
            tags=job.tags,
            config=job.config,
            log_dir=str(job.log_folder),
            # Its own monitor would ask every chip three times a sample, beside the harness's sampler.
            settings=swanlab.Settings.model_validate(
                {
                    "interactive": False,
                    "probe": {"monitor": False, "requirements": False},
                    "terminal": {"proxy_type": "none"},
                }
            ),
        )
        say(Said(folder=run.dir))
        return run

    try:
        return begin(MODES.get(job.mode, job.mode))
    except Exception as error:
        if job.mode != "cloud":
            raise
        run = begin("offline")
        say(_failure(error))
        return run


def _failure(error: BaseException | None) -> Said:
    return Said(weight=Weight.FAILURE, words=one_line(f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    speaks = speak()
    try:
        main(lifecycle.begin(TrackingJob), speaks)
    except Exception as error:
        speaks(_failure(error))
        raise
