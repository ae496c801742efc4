"""A worker that was forked is like one that was started: it holds what it is given, its end is known, and nothing of it
is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.processes import standby
from harness.processes.child import Child
from harness.processes.jobs import EvaluationJob, FetchJob, Job, MergeJob, TorchrunJob, TrainJob
from harness.processes.start import PARENT, Process
from harness.runs.events import EventReader
from harness.runs.record import Outcome
from tests.devices.stand_ins import wait_until
from tests.processes.waiting import is_dead, killed_leaders, wait_until_dead, wait_until_gone

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has fork servers"),
    pytest.mark.timeout(300),
]
ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-P", "-m", "tests.processes.forked_worker")
WAIT = "import time; time.sleep(600)"
WORDS = "what an import has to say"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """That of a server whose imports say something."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(f"print({WORDS!r}, flush=True)\n")
    path = os.pathsep.join((str(folder), str(ROOT)))
    yield {key: value for key, value in os.environ.items() if key != PARENT} | {"PYTHONPATH": path}
    standby.close()


@pytest.fixture
def forked(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a worker that does `code`; it is gone afterwards."""
    processes = []

    def here(code: str, *inherited: int) -> Process:
        with (tmp_path / "log").open("ab") as output:
            process = standby.fork([*COMMAND, code], output, environment, inherited)
        assert process is not None, (tmp_path / "log").read_text()
        processes.append(process)
        return process

    yield here
    for process in processes:
        process.end()


def seen(folder: Path) -> dict[str, Any]:
    """What the newest worker said of itself."""
    wait_until(lambda: (folder / "log").read_text().count('"file_kib"') > 0)
    return dict(json.loads((folder / "log").read_text().splitlines()[-1]))


def test_a_fork_has_its_libraries_its_own_files_and_the_words_of_the_imports(
    forked: Callable[..., Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process = forked(WAIT)
    said = seen(tmp_path)
    assert said.pop("file_kib") > 0
    assert said == {
        "pid": process.pid,
        "leads_its_group": True,
        "name": "forked_worker",
        "has_torch": True,
        "has_compiler": False,
        "arguments": [WAIT],
        "folder": str(tmp_path),
        "input": "",
        "files": said["files"],
    }
    assert not [file for file in said["files"] if file.startswith(("socket:", "pipe:", "/tmp"))]
    assert (tmp_path / "log").read_text().startswith(f"{WORDS}\n")


def test_a_fork_is_as_large_as_if_it_had_imported_its_libraries_itself(
    forked: Callable[..., Process], environment: dict[str, str], tmp_path: Path
) -> None:
    forked(WAIT)
    kib = seen(tmp_path)["file_kib"]
    by_itself = f"from harness.workers import standby; standby.import_libraries(*standby.EVERYTHING); {FILE_KIB}"
    done = subprocess.run([sys.executable, "-c", by_itself], env=environment, capture_output=True, text=True)
    assert kib == pytest.approx(int(done.stdout.split()[-1]), rel=0.05)


FILE_KIB = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('RssFile:')][0])"


@pytest.mark.parametrize(
    ("code", "outcome", "reason"),
    [
        ("pass", Outcome.COMPLETED, None),
        ("sys.exit(3)", Outcome.FAILED, "the process ended with status 3 and gave no reason; see log"),
        ("import os; os._exit(4)", Outcome.FAILED, "the process ended with status 4 and gave no reason; see log"),
        ("raise ValueError", Outcome.FAILED, "the process ended with status 1 and gave no reason; see log"),
        ("import os; os.abort()", Outcome.FAILED, "the process was killed by SIGABRT, not by the harness"),
        ("import os; os.kill(os.getpid(), 9)", Outcome.FAILED, "the process was killed by SIGKILL, not by the harness"),
    ],
)
def test_how_a_fork_ends_is_known(
    code: str,
    outcome: Outcome,
    reason: str | None,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = Child([*COMMAND, code], tmp_path / "log", environment, start_ready=standby.fork)
    assert psutil.Process(child.pid).ppid() != os.getpid()
    ended = child.follow(EventReader(tmp_path / "events.jsonl"), lambda event: None)
    assert (ended.outcome, ended.reason) == (outcome, reason)
    assert not psutil.pid_exists(child.pid)


@pytest.mark.parametrize("then", ["pass", WAIT], ids=["ends", "is stopped"])
def test_what_a_fork_leaves_running_is_killed_before_the_fork_is_reaped(
    then: str, forked: Callable[..., Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Afterwards the group's number may be that of somebody else's processes."""
    leaders = killed_leaders(monkeypatch)
    orphan = "import subprocess; subprocess.run(['sh', '-c', 'sleep 600 & echo orphan $!'])"
    process = forked(f"{orphan}; {then}")
    wait_until(lambda: "\norphan " in (tmp_path / "log").read_text())
    orphaned = psutil.Process(int((tmp_path / "log").read_text().rpartition("\norphan ")[2]))
    if then == "pass":
        wait_until(process.has_ended)
    process.end()
    (leader,) = leaders
    assert (leader == psutil.STATUS_ZOMBIE) is (then == "pass")
    assert not psutil.pid_exists(process.pid)
    wait_until_dead(orphaned)


def test_what_a_fork_holds_is_free_once_it_has_ended(forked: Callable[..., Process], tmp_path: Path) -> None:
    """As the lease of its chip."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    process = forked(WAIT, write)
    os.close(write)
    assert [file for file in seen(tmp_path)["files"] if file.startswith("pipe:")]
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    process.end()
    assert os.read(read, 1) == b""
    os.close(read)


def test_forks_at_once_end_each_by_itself(forked: Callable[..., Process]) -> None:
    one, other = forked(WAIT), forked("sys.exit(7)")
    wait_until(other.has_ended)
    assert (one.has_ended(), other.returncode) == (False, 7)
    os.kill(one.pid, signal.SIGTERM)
    wait_until(one.has_ended)
    assert one.returncode == -signal.SIGTERM


def test_a_fork_dies_with_its_server_and_the_next_one_has_a_new_server(forked: Callable[..., Process]) -> None:
    process = forked(WAIT)
    psutil.Process(process.pid).parent().kill()  # type: ignore[union-attr]
    wait_until(process.has_ended)
    assert process.returncode == -signal.SIGKILL
    wait_until_gone(process.pid)
    following = forked("sys.exit(5)")
    wait_until(following.has_ended)
    assert following.returncode == 5


HARNESS = """
import os, sys
from harness.processes import standby
with open("log", "ab") as output:
    process = standby.fork(sys.argv[1:], output, os.environ, ())
print(os.getpid(), process.pid, flush=True)
sys.stdin.readline()
raise KeyboardInterrupt
"""


@pytest.mark.parametrize("way", ["killed", "ended"])
def test_server_and_forks_die_with_the_process_that_wanted_them(
    way: str, environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", HARNESS, *COMMAND, WAIT]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as harness:
        assert harness.stdout is not None
        assert WORDS in harness.stdout.readline().decode()
        fork = psutil.Process(int(harness.stdout.readline().split()[1]))
        server = fork.parent()
        assert server is not None
        if way == "killed":
            harness.kill()
        harness.communicate(b"\n")
    for process in (fork, server):
        wait_until_dead(process)


def test_another_environment_has_a_server_of_its_own_and_the_oldest_of_three_ends(
    forked: Callable[..., Process], environment: dict[str, str], tmp_path: Path
) -> None:
    first = psutil.Process(forked("pass").pid).parent()
    assert first is not None
    standby.prepare(environment | {"OMP_NUM_THREADS": "1"}, "cpu")
    assert not is_dead(first)
    assert psutil.Process(forked("pass").pid).parent() == first
    standby.prepare(environment | {"OMP_NUM_THREADS": "2"}, "cpu")
    standby.prepare(environment | {"OMP_NUM_THREADS": "3"}, "cpu")
    wait_until_dead(first)


def test_libraries_that_cannot_be_imported_are_the_workers_own_to_tell(tmp_path: Path) -> None:
    (tmp_path / "llamafactory.py").write_text("raise ImportError('llamafactory: of another torch')\n")
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    job = TrainJob(arguments=tmp_path / "train.yaml", events=tmp_path / "events.jsonl", device="cpu")
    (tmp_path / "train.yaml").write_text("{}")
    child = Child(job.write(tmp_path / "job.json"), tmp_path / "log", environment, start_ready=standby.fork)
    assert psutil.Process(child.pid).ppid() == os.getpid()
    ended = child.follow(EventReader(tmp_path / "events.jsonl"), lambda event: None)
    assert ended.reason == "ImportError: llamafactory: of another torch"
    told: list[str] = []
    standby.prepare(environment, "cpu", told.append)
    assert not told, "it is not tried again"


@pytest.mark.parametrize(("device_kind", "expected"), [("cpu", {TrainJob, EvaluationJob}), ("ascend", {TrainJob})])
def test_trainings_of_one_process_and_on_a_cpu_scorings_are_started_ready(
    device_kind: str, expected: set[type[Job]]
) -> None:
    jobs: list[type[Job]] = [TrainJob, EvaluationJob, FetchJob, MergeJob, TorchrunJob]
    assert {job for job in jobs if standby.for_command(job.command("x"), device_kind)} == expected
    assert not standby.for_command(["/usr/bin/python3", *TrainJob.command("x")[1:]], device_kind)


@pytest.fixture
def accelerator(environment: dict[str, str]) -> dict[str, str]:
    """An environment with nothing on standby, which keeps torch's threads apart from other tests'."""
    return environment | {"OMP_NUM_THREADS": "7"}


def on_standby() -> list[psutil.Process]:
    """What of this process waits to be a worker."""
    return [
        process for process in psutil.Process().children() if not is_dead(process) and standby.ONCE in process.cmdline()
    ]


def become(code: str, environment: dict[str, str], folder: Path, *inherited: int) -> Process | None:
    with (folder / "log").open("ab") as output:
        return standby.become([*COMMAND, code], output, environment, inherited)


def test_on_an_accelerator_the_process_that_imported_becomes_the_training_and_imports_nothing_that_opens_a_device(
    accelerator: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    standby.prepare(accelerator, "ascend")
    (waiting,) = on_standby()
    names = "import sys; print([name for name in ('llamafactory', 'bitsandbytes', 'peft') if name in sys.modules])"
    with (tmp_path / "held").open("w") as held:
        process = become(f"{names}; sys.exit(3)", accelerator, tmp_path, held.fileno())
    assert process is not None
    wait_until(process.has_ended)
    process.end()
    assert (process.pid, process.returncode) == (waiting.pid, 3)
    words, said, imported = (tmp_path / "log").read_text().splitlines()
    assert (words, imported) == (WORDS, "['peft']")
    seen = json.loads(said)
    assert (seen["pid"], seen["name"]) == (waiting.pid, "forked_worker")
    assert (seen["folder"], seen["input"]) == (str(tmp_path), "")
    assert seen["has_torch"]
    assert seen["leads_its_group"]
    assert str(tmp_path / "held") in seen["files"]
    assert not [file for file in seen["files"] if file.startswith("socket:")]
    assert become("pass", accelerator, tmp_path) is None, "it was for one worker"


def test_one_that_was_killed_while_it_waited_costs_nothing(accelerator: dict[str, str], tmp_path: Path) -> None:
    standby.prepare(accelerator, "ascend")
    (waiting,) = on_standby()
    waiting.kill()
    # Its first thread is dead before the others are, and before its files are closed.
    wait_until(lambda: os.waitid(os.P_PID, waiting.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None)
    told: list[str] = []
    assert become("pass", accelerator, tmp_path) is None
    standby.prepare(accelerator, "ascend", told.append)
    assert told == ["importing torch, transformers and PEFT, which is not the runs' time"]
    (again,) = on_standby()
    standby.close()
    wait_until_dead(again)


def test_imports_that_open_the_device_leave_nobody_waiting_on_the_chip_of_another_run(
    accelerator: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "trl.py").write_text("import torch; torch.cuda.is_initialized = lambda: True\n")
    opening = accelerator | {"PYTHONPATH": os.pathsep.join((str(tmp_path), accelerator["PYTHONPATH"]))}
    standby.prepare(opening, "cuda")
    assert become("pass", opening, tmp_path) is None
    told: list[str] = []
    standby.prepare(opening, "cuda", told.append)
    assert not told, "it is not tried again"
    standby.close()


def test_the_next_training_is_prepared_where_memory_has_room_for_it(
    accelerator: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: roomy._replace(available=2**30))
    standby.prepare_next(accelerator, "ascend")
    assert len(on_standby()) == 0
    monkeypatch.setattr(psutil, "virtual_memory", lambda: roomy._replace(available=2**33))
    standby.prepare_next(accelerator, "ascend")
    standby.prepare_next(accelerator, "ascend")
    assert len(on_standby()) == 1
    standby.close()
    assert len(on_standby()) == 0


COUNTED = """
import sys, types
import torch
from harness.workers import standby
opened = []
torch.cuda._lazy_init = lambda: opened.append(1)
torch.cuda.is_available = lambda: True
torch.cuda.current_device = lambda: torch.cuda._lazy_init() or 0
torch.cuda.get_device_properties = lambda device=None: torch.cuda._lazy_init() or types.SimpleNamespace(major=9)
torch.version.cuda = "12.8"
standby.import_libraries(*standby.WITHOUT_DEVICE)
without = len(opened)
standby.import_libraries("llamafactory.extras.misc")
print(without, len(opened) - without)
"""
"""A GPU that torch sees, by stand-in, and how often it is opened: before LLaMA-Factory is imported, and by that."""


def test_what_is_imported_for_an_accelerator_does_not_open_it_as_llamafactory_does(environment: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", COUNTED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    without, by_llamafactory = map(int, done.stdout.split()[-2:])
    assert without == 0
    assert by_llamafactory > 0
