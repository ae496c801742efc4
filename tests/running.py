"""Starts the harness as a user would, and looks at what it does and leaves."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from harness.base.paths import PACKAGE
from harness.runs import store
from harness.runs.folder import RunFolder
from harness.runs.record import Record
from tests.conftest import command, environment

TINY = PACKAGE / "models" / "tiny"
SHORT = ("evaluation=none", "training.validation_steps=null", "training.logging_steps=1", "tracking=disabled")


@contextlib.contextmanager
def started(home: Path, cache: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(*arguments),
        cwd=home,
        env=environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background may have told them to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def training_has_begun(home: Path) -> Callable[[], bool]:
    return lambda: any('"step"' in file.read_text() for file in home.glob("outputs/*/*/events.jsonl"))


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def record_in(folder: Path) -> Record:
    """The record of a run's folder."""
    record = store.load(RunFolder(folder))
    assert record is not None, f"{folder} has no record"
    return record


def only_record(home: Path) -> Record:
    """The record of the only run below a folder in which the harness was started."""
    (file,) = home.glob("outputs/*/*/record.json")
    return record_in(file.parent)


def left_by_a_killed_harness(home: Path, cache: Path, *arguments: str) -> list[psutil.Process]:
    """What of its processes is alive half a minute after it was killed in the midst of training."""
    with started(home, cache, "run", *arguments, "training.max_steps=2000") as process:
        wait_until(training_has_begun(home))
        children = family(process)
        process.kill()
        _, alive = psutil.wait_procs(children, timeout=30)
    return alive
