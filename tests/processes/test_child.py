"""How a child process ended, told from its events, its exit status and the kernel."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from harness.processes.child import Child, Ended, StopChild
from harness.runs.events import EvaluationProgress, Event, EventReader, report
from harness.runs.record import Outcome
from harness.workers.lifecycle import is_out_of_memory

REPORTING = """
import sys
from pathlib import Path
from harness.workers import lifecycle as in_child
with in_child.failures_reported(Path(sys.argv[1])):
    {body}
"""


def ended(body: str, folder: Path) -> Ended:
    command = [sys.executable, "-c", REPORTING.format(body=body), str(folder / "events.jsonl")]
    child = Child(command, folder / "logs" / "child.log", dict(os.environ))
    return child.follow(EventReader(folder / "events.jsonl"), lambda event: None)


def test_a_child_that_ends_well_is_completed(tmp_path: Path) -> None:
    assert ended("pass", tmp_path).outcome is Outcome.COMPLETED


def test_an_exception_is_the_reason_and_its_traceback_the_tail(tmp_path: Path) -> None:
    result = ended("raise ValueError('the columns do not fit')", tmp_path)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "ValueError: the columns do not fit")
    assert result.log_tail[0].startswith("Traceback")


@pytest.mark.parametrize(
    "words",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "NPU out of memory. Tried to allocate 20.00 MiB (NPU 0; 60.97 GiB total capacity)",
        "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory",
    ],
)
def test_out_of_memory_is_told_from_other_failures(words: str, tmp_path: Path) -> None:
    assert ended(f"raise RuntimeError({words!r})", tmp_path).outcome is Outcome.OUT_OF_MEMORY


def test_out_of_memory_is_found_behind_the_exception_that_wraps_it() -> None:
    wrapped = RuntimeError("the batch failed")
    assert not is_out_of_memory(wrapped)
    wrapped.__cause__ = MemoryError()
    assert is_out_of_memory(wrapped)


def test_an_exit_without_a_word_names_status_and_log(tmp_path: Path) -> None:
    assert ended("import os; os._exit(3)", tmp_path).reason == (
        "the process ended with status 3 and gave no reason; see child.log"
    )


def test_a_signal_is_named(tmp_path: Path) -> None:
    result = ended("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", tmp_path)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "the process was killed by SIGSEGV, not by the harness")


def test_whoever_handles_an_event_can_end_the_child_and_its_children(tmp_path: Path) -> None:
    body = (
        "import subprocess, time; from harness.runs.events import EvaluationProgress, report; "
        "subprocess.Popen(['sleep', '600']); "
        "report(Path(sys.argv[1]), EvaluationProgress(done=0, total=1)); time.sleep(600)"
    )
    command = [sys.executable, "-c", REPORTING.format(body=body), str(tmp_path / "events.jsonl")]
    child = Child(command, tmp_path / "child.log", dict(os.environ))
    seen: list[psutil.Process] = []

    def handle(event: Event) -> None:
        seen.extend(psutil.Process(child.pid).children(recursive=True))
        raise StopChild("not what was asked for")

    result = child.follow(EventReader(tmp_path / "events.jsonl"), handle)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "not what was asked for")
    assert seen
    _, alive = psutil.wait_procs(seen, timeout=10)
    assert not alive


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.processes.child.GRACE_SECONDS", 0.5)
    body = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    log = tmp_path / "child.log"
    child = Child([sys.executable, "-c", body], log, dict(os.environ))
    while "deaf" not in log.read_text():
        pass
    child.stop()
    assert not psutil.pid_exists(child.pid)


def test_a_secret_is_redacted_in_reason_and_tail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    result = ended("raise ValueError('401 for hf_very_secret')", tmp_path)
    assert result.reason == "ValueError: 401 for [HF_TOKEN]"
    assert not any("hf_very_secret" in line for line in result.log_tail)


def test_half_an_event_is_left_for_the_next_look_and_garbage_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = EventReader(path)
    assert list(reader.new()) == []
    report(path, EvaluationProgress(done=1, total=2))
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b"garbage\n" + whole[:10])
    assert [event.kind for event in reader.new()] == ["evaluation_progress"]
    with path.open("ab") as file:
        file.write(whole[10:])
    assert [event.kind for event in reader.new()] == ["evaluation_progress"]
    assert list(reader.new()) == []


def test_sigint_on_the_terminal_does_not_reach_the_child(tmp_path: Path) -> None:
    """The parent alone decides: a child in the terminal's own group would die of the same Ctrl-C, without a record."""
    child = Child([sys.executable, "-c", "import time; time.sleep(600)"], tmp_path / "log", dict(os.environ))
    assert os.getpgid(child.pid) != os.getpgid(0)
    os.kill(child.pid, signal.SIGKILL)
    child.stop()
