"""How a child process ended: from its events, its exit status, its log and the kernel's count."""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path

import psutil
import pytest

from harness.processes.child import Child, Ended, StopChild, oom_kills
from harness.runs.events import EvaluationProgress, Event, EventReader, report
from harness.runs.record import Outcome
from harness.workers.lifecycle import is_out_of_memory
from tests.processes.waiting import killed_leaders, wait_until_dead

REPORTING = """
import sys
from pathlib import Path
from harness.workers import lifecycle
with lifecycle.failures_reported(Path(sys.argv[1])):
    {body}
"""


def ended(body: str, folder: Path, kernel_kills: bool = False) -> Ended:
    """How a child ends that does `body`; `kernel_kills`: the kernel counts a kill for want of memory meanwhile."""
    command = [sys.executable, "-c", REPORTING.format(body=body), str(folder / "events.jsonl")]
    counts = count(7, int(kernel_kills))
    child = Child(command, folder / "logs" / "child.log", dict(os.environ), oom_kills=lambda: next(counts))
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


KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
RANK_KILLED = "E1125 torch/distributed/elastic/multiprocessing/api.py] failed (exitcode: -9) local_rank: 1 (pid: 4711)"
PEER_LOST = "raise RuntimeError('Connection closed by peer [127.0.0.1]:4711')"


@pytest.mark.parametrize("kernel_kills", [True, False])
def test_a_process_that_the_kernel_killed_for_want_of_memory_is_out_of_memory(
    kernel_kills: bool, tmp_path: Path
) -> None:
    result = ended(KILLED, tmp_path, kernel_kills)
    assert result.outcome is (Outcome.OUT_OF_MEMORY if kernel_kills else Outcome.FAILED)
    assert (result.diagnosis is not None) is kernel_kills


@pytest.mark.parametrize("kernel_kills", [True, False])
@pytest.mark.parametrize("after", ["import os; os._exit(1)", PEER_LOST], ids=["silence", "a peer's failure"])
def test_a_rank_that_the_kernel_killed_for_want_of_memory_is_out_of_memory(
    kernel_kills: bool, after: str, tmp_path: Path
) -> None:
    """torchrun itself ends with status 1, and the ranks that lived report that they lost one."""
    result = ended(f"print({RANK_KILLED!r}, flush=True); {after}", tmp_path, kernel_kills)
    assert result.outcome is (Outcome.OUT_OF_MEMORY if kernel_kills else Outcome.FAILED)


def test_what_the_harness_knows_of_the_end_outranks_what_the_child_said_before(tmp_path: Path) -> None:
    """An exception that it caught is not why it ended, and what it only mentions is not either."""
    caught = f"import traceback\ntry: {{}}['question']\nexcept KeyError: traceback.print_exc()\n{KILLED}"
    result = ended(caught, tmp_path, kernel_kills=True)
    assert result.diagnosis is not None
    assert result.diagnosis.cause == "the host's memory is full"
    failed = ended("print('CUDA out of memory', flush=True); raise KeyError('question')", tmp_path / "other")
    assert (failed.reason, failed.diagnosis) == ("KeyError: 'question'", None)


def test_a_failure_while_the_kernel_kills_others_on_the_machine_stays_what_it_is(tmp_path: Path) -> None:
    assert ended("raise ValueError('the columns do not fit')", tmp_path, kernel_kills=True).outcome is Outcome.FAILED
    unsupported = f"print({RANK_KILLED!r}, flush=True); raise lifecycle.UnsupportedError('no nf4')"
    assert ended(unsupported, tmp_path / "other", kernel_kills=True).outcome is Outcome.UNSUPPORTED


def test_what_an_earlier_child_left_in_the_log_says_nothing_of_this_one(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "child.log").write_text(f"{RANK_KILLED}\nCUDA out of memory\n")
    result = ended("import os; os._exit(1)", tmp_path, kernel_kills=True)
    assert (result.outcome, result.diagnosis, result.log_tail) == (Outcome.FAILED, None, [])


@pytest.mark.parametrize("counts_in_cgroup", [True, False])
def test_the_kernel_counts_in_the_cgroup_or_else_on_the_machine(counts_in_cgroup: bool, tmp_path: Path) -> None:
    """A container's own count rises with its own processes alone, and where only its limit was reached."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text("4:memory:/jobs/7\n0::/jobs/7\n")
    (tmp_path / "vmstat").write_text("pgfault 900\noom_kill 5\nnr_unstable 0\n")
    cgroup = tmp_path / "cgroups" / "jobs" / "7"
    cgroup.mkdir(parents=True)
    if counts_in_cgroup:
        (cgroup / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert oom_kills(tmp_path, tmp_path / "cgroups") == (2 if counts_in_cgroup else 5)


def test_where_the_kernel_counts_nothing_no_kill_is_counted(tmp_path: Path) -> None:
    assert oom_kills(tmp_path, tmp_path) == 0


@pytest.mark.parametrize("stopped", [False, True])
def test_what_a_child_leaves_running_is_killed_before_the_child_is_reaped(
    stopped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Afterwards the group's number may be that of somebody else's processes."""
    leaders = killed_leaders(monkeypatch)
    log = tmp_path / "log"
    # An orphan, that only the group's number leads to.
    code = "import subprocess, time; subprocess.run(['sh', '-c', 'sleep 600 & echo $!'])"
    command = [sys.executable, "-c", f"{code}; time.sleep({600 if stopped else 0})"]
    child = Child(command, log, dict(os.environ))
    while not log.read_text().strip():
        pass
    orphaned = psutil.Process(int(log.read_text()))
    if stopped:
        child.stop()
    else:
        child.follow(EventReader(tmp_path / "events.jsonl"), lambda event: None)
    assert leaders == [psutil.STATUS_ZOMBIE]
    wait_until_dead(orphaned)


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
    child.stop()
