"""What every worker does first."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.processes import standby
from harness.processes.jobs import Job, QuantizationTrialJob
from harness.processes.start import PARENT
from harness.workers import lifecycle

HEAVY = ("torch", "transformers", "llamafactory", "evalscope", "peft", "bitsandbytes", "swanlab", "modelscope")


def test_every_worker_dies_with_its_parent_before_it_imports_anything_large(tmp_path: Path) -> None:
    for name in HEAVY:
        (tmp_path / f"{name}.py").write_text("raise ImportError('too early')\n")
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))
    # A parent that is none: as when it has died before the worker could ask.
    environment = os.environ | {"PYTHONPATH": path, PARENT: str(2**22 + 1)}
    workers = [job for job in Job.__subclasses__() if job.__module__ == Job.__module__]
    assert len(workers) >= 10
    commands = {job.worker: job.command("/dev/stdin") for job in workers} | {"standby": list(standby.COMMAND)}
    started = {
        worker: subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for worker, command in commands.items()
    }
    ended = {worker: (process.communicate()[1], process.returncode) for worker, process in started.items()}
    assert ended == dict.fromkeys(started, ("", -signal.SIGKILL))


def test_a_job_may_come_by_a_descriptor_that_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a chat, whose stdin is the terminal."""
    monkeypatch.delenv(PARENT, raising=False)
    job = QuantizationTrialJob(device="cpu")
    with tempfile.TemporaryFile() as file:
        file.write(job.model_dump_json().encode())
        file.flush()
        monkeypatch.setattr("sys.argv", ["worker", f"/dev/fd/{file.fileno()}"])
        assert lifecycle.begin(QuantizationTrialJob) == job


def test_a_workers_own_children_are_not_told_of_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """To a worker among them this one's parent would be a stranger, and so a dead parent."""
    job = QuantizationTrialJob(device="cpu")
    job.write(tmp_path / "job.json")
    monkeypatch.setattr("sys.argv", ["worker", str(tmp_path / "job.json")])
    monkeypatch.setattr(lifecycle.ctypes, "CDLL", lambda name: lifecycle.ctypes)  # This process is to live on.
    monkeypatch.setattr(lifecycle.ctypes, "prctl", lambda *arguments: 0, raising=False)
    monkeypatch.setenv(PARENT, str(os.getppid()))
    lifecycle.begin(QuantizationTrialJob)
    assert PARENT not in os.environ


def test_the_garbage_collector_comes_back_also_after_an_import_that_fails() -> None:
    with pytest.raises(ModuleNotFoundError), lifecycle.collector_paused():
        importlib.import_module("no_such_library")
    assert gc.isenabled()
