"""A child lives as long as the process that started it, however that was started, and no longer."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil
import pytest

from harness.processes import start as starting
from harness.processes.jobs import FetchJob, Job
from harness.processes.start import PARENT, run_to_end, start
from tests.processes.waiting import is_dead, wait_until_dead, wait_until_gone

SLEEPER = "from harness.workers import lifecycle; lifecycle.die_with_parent(); import time; time.sleep(600)"
CHILD = (
    f"import os; print(os.getpid(), flush=True); {SLEEPER.replace('import time', 'print(1, flush=True); import time')}"
)
"""Prints its pid, and a line more once it is bound to its parent."""
STARTING = """
import sys, time
from harness.processes.start import start
start([sys.executable, "-c", {child!r}], stdout=sys.stdout)
time.sleep(600)
"""
ADOPTING = """
import ctypes, os, signal, subprocess, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
with subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True) as parent:
    child = int(parent.stdout.readline())
    if sys.argv[2] == "bound":
        parent.stdout.readline()
    parent.kill()
_, status = os.waitpid(child, 0)  # Adopted; without a subreaper the child would not be this process's to wait for.
print(os.waitstatus_to_exitcode(status))
"""
LATE = """
import os, time
parent = os.getppid()
print(os.getpid(), flush=True)
while os.getppid() == parent:
    time.sleep(0.01)
from harness.workers import lifecycle
lifecycle.die_with_parent()
"""
"""Asks to die with its parent once that is dead."""


def environment(**more: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != PARENT} | more


def run(code: str, *arguments: str, prefix: tuple[str, ...] = ()) -> str:
    command = [*prefix, sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def why_no_namespace() -> str | None:
    """What keeps this machine from giving a process a pid namespace of its own; None: nothing."""
    if shutil.which("unshare") is None:
        return "there is no unshare"
    tried = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, text=True)
    return tried.stderr.strip() or f"status {tried.returncode}" if tried.returncode else None


@pytest.mark.skipif(why_no_namespace() is not None, reason=f"no pid namespace: {why_no_namespace()}")
def test_a_child_of_process_1_lives() -> None:
    """As in a container, where the harness itself is process 1."""
    child = "from harness.workers import lifecycle; lifecycle.die_with_parent(); print('alive')"
    code = (
        "import os, sys; from harness.processes.start import start; "
        f"print(os.getpid(), start([sys.executable, '-c', {child!r}], stdout=sys.stdout).wait(), flush=True)"
    )
    assert run(code, prefix=("unshare", "--pid", "--fork", "--mount-proc")).split() == ["alive", "1", "0"]


@pytest.mark.parametrize(("child", "when"), [(CHILD, "bound"), (LATE, "at once")])
def test_a_child_dies_with_its_parent_below_a_subreaper(child: str, when: str) -> None:
    """A subreaper adopts orphans in place of process 1, as under systemd and in containers with an init."""
    assert int(run(ADOPTING, STARTING.format(child=child), when)) == -signal.SIGKILL


@contextmanager
def reading(parent: str) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A parent that starts a child, and the child, which is bound to it."""
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        assert process.stdout.readline()
        try:
            yield process, child
        finally:
            process.kill()
            with suppress(psutil.NoSuchProcess):
                child.kill()


def test_a_child_dies_with_a_parent_that_is_killed() -> None:
    with reading(STARTING.format(child=CHILD)) as (parent, child):
        parent.kill()
        wait_until_dead(child)


def test_a_worker_that_a_person_started_outlives_the_shell() -> None:
    by_hand = STARTING.format(child=CHILD).replace(
        "harness.processes.start import start", "subprocess import Popen as start"
    )
    with reading(by_hand) as (parent, child):
        parent.kill()
        parent.wait()
        assert not is_dead(child)


def test_a_child_lives_on_when_the_thread_that_started_it_has_ended() -> None:
    """As one that a queue's thread started."""
    child = (
        "from harness.workers import lifecycle; lifecycle.die_with_parent(); print('bound', flush=True); print(input())"
    )
    started: list[subprocess.Popen[bytes]] = []

    def start_and_end() -> None:
        process = start([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        started.append(process)

    thread = threading.Thread(target=start_and_end)
    thread.start()
    thread.join()
    while Path(f"/proc/self/task/{thread.native_id}").exists():
        time.sleep(0.01)
    (process,) = started
    assert process.communicate(b"alive\n") == (b"alive\n", None)
    assert process.returncode == 0


def test_a_process_that_has_forked_can_start_children_too() -> None:
    code = (
        "import os; from harness.processes.start import start; start(['true']).wait()\n"
        "if (pid := os.fork()) == 0: os._exit(start(['true']).wait())\n"
        "print(os.waitpid(pid, 0)[1])"
    )
    assert run(code) == "0\n"


def test_a_command_that_cannot_be_started_is_the_callers_error() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-command"):
        start(["no-such-command"])


def test_a_child_that_was_just_starting_at_ctrl_c_is_ended(tmp_path: Path) -> None:
    code = """
import os, pathlib, signal, sys, threading, time
from harness.processes.start import start
signal.signal(signal.SIGINT, signal.default_int_handler)
file, released = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
def slowly():
    file.write_text(str(os.getpid()))
    while not released.exists():
        time.sleep(0.01)
def interrupt():
    while not (file.exists() and file.read_text()):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try:
    start(["sleep", "600"], preexec_fn=slowly)
except KeyboardInterrupt:
    released.touch()
    child = int(file.read_text())
    while os.path.exists(f"/proc/{child}"):
        time.sleep(0.01)
    print("ended")
"""
    assert run(code, str(tmp_path / "pid"), str(tmp_path / "released")) == "ended\n"


def test_the_group_of_a_child_is_killed_while_its_number_is_still_the_childs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the child is reaped, the number may be somebody else's."""
    process = start(["sh", "-c", "sleep 600 & echo $!"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        straggler = psutil.Process(int(output.readline()))
    while not process.has_ended():
        time.sleep(0.01)
    killed: list[str] = []
    killpg = os.killpg

    def kill(group: int, number: int) -> None:
        killed.append(psutil.Process(group).status())
        killpg(group, number)

    monkeypatch.setattr(starting.os, "killpg", kill)
    process.end()
    assert killed == [psutil.STATUS_ZOMBIE]
    wait_until_dead(straggler)
    assert process.returncode == 0
    process.end()
    assert len(killed) == 1


class Scripted(Job):
    """A worker of a few lines."""

    code: str
    padding: str = ""

    def command(self, file: Path | str) -> list[str]:  # type: ignore[override]
        return [sys.executable, "-c", self.code, str(file)]


def test_a_short_worker_gets_its_job_and_what_it_writes_comes_back() -> None:
    code = "import sys; print(open(sys.argv[1]).read()); print('progress', file=sys.stderr); sys.exit(3)"
    job = Scripted(code=code)
    done = run_to_end(job, environment(SHORT="yes"))
    assert (done.returncode, done.stderr) == (3, "progress\n")
    assert Scripted.model_validate_json(done.stdout) == job


def test_a_worker_that_ends_without_reading_its_job_is_no_error() -> None:
    job = Scripted(code="raise SystemExit(4)", padding="more than a pipe holds" * 100_000)
    assert run_to_end(job, environment()).returncode == 4


def test_a_real_worker_takes_its_job_from_stdin_and_nothing_from_the_folder_it_is_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "huggingface_hub.py").write_text("raise SystemExit('not the library')")
    monkeypatch.chdir(tmp_path)
    job = FetchJob(hub="huggingface", repository="nobody/nothing", file="rows.json")
    done = run_to_end(job, environment(HF_HUB_OFFLINE="1"))
    assert done.returncode == 1
    assert done.stdout.startswith("error: ")


def test_a_worker_that_takes_too_long_is_ended_with_all_that_it_started() -> None:
    code = "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    with pytest.raises(subprocess.TimeoutExpired) as late:
        run_to_end(Scripted(code=code), environment(), timeout_seconds=2)
    wait_until_gone(int(late.value.output))


def test_what_a_worker_leaves_running_is_not_waited_for() -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"
    left = int(run_to_end(Scripted(code=code), environment()).stdout)
    wait_until_gone(left)
