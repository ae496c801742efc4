"""Several processes for one run: real ones, on the CPU, talking by gloo."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from harness.config.schema import LaunchConfig
from harness.launch import beacon, torchrun
from harness.launch.nodes import Nodes
from harness.processes.jobs import MeetJob, Met, TorchrunJob, TrainJob
from harness.runs.events import Evidence, TrainingStarted, TrainingStep, read
from harness.runs.folder import RunFolder
from harness.runs.record import Outcome
from tests.conftest import Harness
from tests.planning import spec_of
from tests.running import (
    SHORT,
    family,
    left_by_a_killed_harness,
    only_record,
    record_in,
    started,
    training_has_begun,
    wait_until,
)

TWO_RANKS = ("launch=cards", "launch.nproc=2", "device=cpu", *SHORT)


@pytest.fixture
def port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def job(launch: LaunchConfig, chips: int, home: Path) -> tuple[list[str], TorchrunJob | None]:
    """The command that starts a training, and what torchrun is told where there is one."""
    folder = RunFolder(home / "run")
    train = TrainJob(arguments=folder.train, events=folder.events, device="cpu")
    command = torchrun.command(launch, chips, "0:a", train, folder)
    file = folder.job("torchrun")
    return command, TorchrunJob.model_validate_json(file.read_bytes()) if file.exists() else None


def test_a_single_process_is_started_without_torchrun(tmp_path: Path) -> None:
    command, told = job(LaunchConfig("single"), 0, tmp_path)
    assert command[1:] == ["-P", "-m", "harness.workers.train", str(RunFolder(tmp_path / "run").job("train"))]
    assert told is None


def test_cards_are_a_process_each_and_torchrun_chooses_the_port(tmp_path: Path) -> None:
    command, told = job(LaunchConfig("cards"), 2, tmp_path)
    assert command[1:4] == ["-P", "-m", "harness.workers.torchrun"]
    assert told is not None
    pairs = dict(pairwise(told.arguments))
    assert pairs["--nproc_per_node"] == "2"
    assert pairs["--rdzv-endpoint"] == "localhost:0"
    assert told.announce is None
    assert (command, told) == job(LaunchConfig("cards"), 2, tmp_path)


def test_nodes_are_given_what_the_tutorial_gives_them(tmp_path: Path) -> None:
    launch = LaunchConfig("nodes", nproc=2, nnodes=2, node_rank=1, master_addr="10.0.5.216", master_port=29500)
    _, told = job(launch, 0, tmp_path)
    assert told is not None
    pairs = dict(pairwise(told.arguments))
    given = [pairs[key] for key in ("--nnodes", "--node_rank", "--nproc_per_node", "--master_addr", "--master_port")]
    assert given == ["2", "1", "2", "10.0.5.216", "29500"]
    assert torchrun.world_size(launch, 0) == 4


def test_two_ranks_train_one_run_and_the_first_reports_it(
    tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    done = harness("run", *TWO_RANKS, "method=qlora", "training.max_steps=4")
    assert done.returncode == 0, done.stdout + done.stderr
    found = only_record(tmp_path)
    assert found.status is Outcome.COMPLETED
    (file,) = tmp_path.glob("outputs/*/*/events.jsonl")
    events = read(file)
    assert [event.step for event in events if isinstance(event, TrainingStep)] == [1, 2, 3, 4]
    assert len([event for event in events if isinstance(event, Evidence | TrainingStarted)]) == 2
    log = (file.parent / "logs" / "training.log").read_text()
    # 16 rows a process and step.
    assert "Total train batch size (w. parallel, distributed & accumulation) = 32" in log
    assert (file.parent / "adapter" / "adapter_model.safetensors").exists()
    assert not list(temporary.glob("torchelastic_*"))


def two_nodes(home: Path, cache: Path, port: int, *arguments: str) -> list[str]:
    """What each prints; they share a disk."""
    together = ("launch=nodes", "launch.nproc=1", "launch.master_addr=127.0.0.1", f"launch.master_port={port}")
    given = ("sweep", "quickstart", *together, "device=cpu", *SHORT, "seed=0", "training.max_steps=3", *arguments)
    with started(home, cache, *given, "launch.node_rank=1") as second, started(home, cache, *given) as first:
        said = [process.communicate(timeout=240) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    return [output for output, _ in said]


def test_two_nodes_train_one_run_and_the_second_keeps_out_of_the_comparison(
    tmp_path: Path, cache: Path, port: int
) -> None:
    two_nodes(tmp_path, cache, port, "method=lora")
    (run,) = tmp_path.glob("outputs/quickstart/lora-seed0-*")
    assert (run / "adapter" / "adapter_model.safetensors").exists()
    (helper,) = tmp_path.glob("outputs/quickstart/nodes/lora-seed0-*-node1")
    assert helper.name == f"{run.name}-node1"
    found = record_in(helper)
    assert found.status is Outcome.COMPLETED
    assert found.training is None
    assert (tmp_path / "reports" / "quickstart" / "runs.csv").read_text().count("lora-seed0") == 1
    # Node 0 has that run by now. The second would wait for it, or train its next one together with another.
    _, said = two_nodes(tmp_path, cache, port, "method=lora,qlora")
    assert "lora-seed0 node 0 is past it" in said
    assert "qlora-seed0 completed" in said
    (other,) = tmp_path.glob("outputs/quickstart/qlora-seed0-*")
    assert found == record_in(helper)
    assert (other / "adapter" / "adapter_model.safetensors").exists()


ANNOUNCE = """
import sys
from harness.workers import meet
store = meet.announce("127.0.0.1", int(sys.argv[1]), "1:数学/lora-seed0/abc")
print("announced", flush=True)
sys.stdin.read()
"""


def test_a_node_joins_the_run_that_node_0_trains_and_no_other(port: int, tmp_path: Path) -> None:
    def meet(run: str) -> tuple[subprocess.Popen[bytes], Path]:
        name = run.replace("/", "-")
        answer = tmp_path / f"{name}.answer.json"
        asked = MeetJob(address="127.0.0.1", port=port, run=run, patience_seconds=5, answer=answer)
        return subprocess.Popen(asked.write(tmp_path / f"{name}.json")), answer

    def met(asked: tuple[subprocess.Popen[bytes], Path]) -> Met:
        asked[0].wait(60)
        return Met.model_validate_json(asked[1].read_bytes())

    node_0 = [sys.executable, "-c", ANNOUNCE, str(port)]
    with subprocess.Popen(node_0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as announcing:
        assert announcing.stdout is not None
        assert announcing.stdout.readline() == "announced\n"
        runs = ("1:数学/lora-seed0/abc", "0:数学/lora-seed0/abc", "1:数学/lora-seed0/def")
        same, earlier, other = (meet(run) for run in runs)
        later = meet("2:数学/qlora-seed0/abc")
        assert (met(same), met(earlier)) == (Met(node_0_is_at=1), Met(node_0_is_at=1))
        problem = met(other).problem
        assert problem is not None
        assert problem.startswith("launch.node_rank: node 0 trains 数学/lora-seed0/abc, this node would train")
        assert later[0].poll() is None
        announcing.kill()
    problem = met(later).problem
    assert problem is not None
    assert problem.startswith(f"launch.master_addr=127.0.0.1: node 0 gives no sign of life at port {port} for 5 s")


def test_between_its_runs_node_0_tells_where_it_is_and_leaves_the_port_to_torchrun(port: int) -> None:
    leading, nodes = LaunchConfig("nodes", nnodes=2, master_addr="127.0.0.1", master_port=port), Nodes()
    for number in (0, 1):
        nodes.start_run(leading, number)
        assert beacon.ask("127.0.0.1", port, 5) == beacon.ask("127.0.0.1", port, 5) == number
        with nodes.training(leading):
            with pytest.raises(ConnectionRefusedError):
                beacon.ask("127.0.0.1", port, 5)
            listener = socket.create_server(("", port))
            # A store says nothing before it is asked.
            assert beacon.ask("127.0.0.1", port, 5) is None
            listener.close()
        assert beacon.ask("127.0.0.1", port, 5) == number
    with nodes.training(leading):
        listener = socket.create_server(("", port))
    listener.close()  # What has the port is left alone, and nothing fails.


def test_settings_that_machines_must_share_have_a_part_in_what_they_call_a_run() -> None:
    def announced(*overrides: str) -> str:
        return spec_of("device=cpu", *overrides, number=3).announced

    assert announced().startswith("3:single/lora-seed0/")
    assert announced("device.threads=1", "output=elsewhere") == announced()
    different = ["training.learning_rate=0.5", "method.rank=4", "dataset.train_samples=7", "seed=1"]
    assert len({announced(), *map(announced, different)}) == 5


def test_a_node_that_never_comes_is_named_after_the_time_that_it_was_given(
    tmp_path: Path, harness: Harness, port: int
) -> None:
    together = ("launch=nodes", "launch.nproc=1", "launch.master_addr=127.0.0.1", f"launch.master_port={port}")
    done = harness("run", *together, "launch.join_seconds=3", "device=cpu", *SHORT)
    assert done.returncode == 1
    reason = only_record(tmp_path).reason
    assert reason is not None
    assert reason.startswith(
        f"launch: 1 of 2 nodes joined at 127.0.0.1:{port} within 3 s; start the same command on each"
    )


def test_the_death_of_a_rank_is_noticed_and_named_and_no_process_stays(tmp_path: Path, cache: Path) -> None:
    with started(tmp_path, cache, "run", *TWO_RANKS, "training.max_steps=2000", "retry.attempts=0") as process:
        wait_until(training_has_begun(tmp_path))
        everybody = family(process)
        (second,) = [one for one in everybody if one.environ().get("RANK") == "1"]
        second.send_signal(signal.SIGKILL)
        process.communicate(timeout=120)
    assert process.returncode == 1
    reason = only_record(tmp_path).reason
    assert reason is not None
    assert "the process of local rank 1 on node 0 was killed by signal 9" in reason
    _, alive = psutil.wait_procs(everybody, timeout=20)
    assert not alive


def test_a_killed_harness_takes_torchrun_and_every_rank_along(tmp_path: Path, cache: Path) -> None:
    assert not left_by_a_killed_harness(tmp_path, cache, *TWO_RANKS)
