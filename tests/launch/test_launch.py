"""Several processes for one run: real ones, on the CPU, talking by gloo."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from harness.base.errors import UserError
from harness.compose import points as compose
from harness.config.schema import LaunchConfig
from harness.devices.cpu import CpuDevice
from harness.devices.cuda import CudaDevice
from harness.devices.device import Device
from harness.launch import beacon, nodes
from harness.launch import torchrun as launch
from harness.plan import spec as plan
from harness.runs import record
from harness.runs.events import Evidence, TrainingStarted, TrainingStep, read
from harness.runs.record import Outcome
from tests.conftest import Harness
from tests.execution.test_failures import (
    SHORT,
    family,
    left_by_a_killed_harness,
    only_record,
    started,
    training_has_begun,
    wait_until,
)

CPU = CpuDevice("a processor", 24000.0)
TWO_GPUS = CudaDevice((0, 1), "two GPUs", 160000.0, True, ("0", "1"))
TWO_RANKS = ("launch=cards", "launch.nproc=2", "device=cpu", *SHORT)


@pytest.fixture
def port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def told(config: LaunchConfig, device: Device = CPU) -> list[str]:
    return list(launch.problems(config, device))


def test_a_single_process_is_started_without_torchrun() -> None:
    made = launch.command(LaunchConfig("single"), CPU, "0:a", "harness.workers.train", ["folder", "cpu"])
    assert made[1:] == ["-m", "harness.workers.train", "folder", "cpu"]


def test_cards_are_a_process_each_and_the_port_of_a_run_stays_the_same() -> None:
    made = launch.command(LaunchConfig("cards"), TWO_GPUS, "0:a", "module", ["folder"])
    assert made[1:3] == ["-m", "harness.workers.torchrun"]
    assert made[made.index("--nproc_per_node") + 1] == "2"
    assert made == launch.command(LaunchConfig("cards"), TWO_GPUS, "0:a", "module", ["folder"])


def test_nodes_are_given_what_the_tutorial_gives_them() -> None:
    config = LaunchConfig("nodes", nproc=2, nnodes=2, node_rank=1, master_addr="10.0.5.216", master_port=29500)
    made = launch.command(config, CPU, "0:a", "module", [])
    pairs = dict(pairwise(made))
    given = [pairs[key] for key in ("--nnodes", "--node_rank", "--nproc_per_node", "--master_addr", "--master_port")]
    assert given == ["2", "1", "2", "10.0.5.216", "29500"]
    assert launch.world_size(config, CPU) == 4


@pytest.mark.parametrize(
    ("config", "device", "said"),
    [
        (LaunchConfig("ray"), CPU, "launch.name=ray: must be one of single, cards, nodes"),
        (LaunchConfig("cards", nproc=0), CPU, "launch.nproc=0: must be greater than 0"),
        (LaunchConfig("nodes", nnodes=2, node_rank=2, master_port=1), CPU, "launch.node_rank=2: .* it is 0 to 1"),
        (LaunchConfig("single", nproc=2), CPU, "launch.nproc: launch=single is one process"),
        (LaunchConfig("single"), TWO_GPUS, r"device.chips=\[0, 1\]: .* use launch=cards"),
        (LaunchConfig("cards", nproc=3), TWO_GPUS, r"launch.nproc=3: .* has 2 chips"),
        (LaunchConfig("cards", nnodes=2, master_port=1), CPU, "launch.nnodes=2: launch=cards is one machine"),
        (LaunchConfig("nodes", nnodes=2), CPU, "launch.master_port: a value is needed"),
        (LaunchConfig("nodes", nnodes=2), CPU, "launch.master_addr: a value is needed"),
        (LaunchConfig("nodes", nnodes=2, node_rank=1, master_port=70000), CPU, "launch.master_port=70000: must be 1"),
    ],
)
def test_a_launch_that_cannot_work_is_refused_with_what_would(config: LaunchConfig, device: Device, said: str) -> None:
    assert any(re.search(said, problem) for problem in told(config, device)), told(config, device)


def test_a_port_that_is_taken_is_told_before_anything_starts() -> None:
    with socket.create_server(("", 0)) as listener:
        taken = listener.getsockname()[1]
        with pytest.raises(UserError) as refused:
            compose.points(["launch=cards", "launch.nproc=2", f"launch.master_port={taken}", "device=cpu"], False)
    assert refused.value.mistakes == [
        f"launch.master_port={taken}: Address already in use; choose another, the same on every node"
    ]


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
    found = record.load(helper)
    assert found is not None
    assert found.status is Outcome.COMPLETED
    assert found.training is None
    assert (tmp_path / "reports" / "quickstart" / "runs.csv").read_text().count("lora-seed0") == 1
    # Node 0 has that run by now. The second would wait for it, or train its next one together with another.
    _, said = two_nodes(tmp_path, cache, port, "method=lora,qlora")
    assert "lora-seed0 node 0 is past it" in said
    assert "qlora-seed0 completed" in said
    (other,) = tmp_path.glob("outputs/quickstart/qlora-seed0-*")
    assert found == record.load(helper)
    assert (other / "adapter" / "adapter_model.safetensors").exists()
    _, said = two_nodes(tmp_path, cache, port, "method=lora,qlora")
    assert said.count("node 0 is past it") == 2


ANNOUNCE = """
import sys
from harness.workers import meet as meeting
store = meeting.announce("127.0.0.1", int(sys.argv[1]), "1:数学/lora-seed0/abc")
print("announced", flush=True)
sys.stdin.read()
"""


def test_a_node_joins_the_run_that_node_0_trains_and_no_other(port: int) -> None:
    def meet(run: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "harness.workers.meet", "127.0.0.1", str(port), run, "5"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    node_0 = [sys.executable, "-c", ANNOUNCE, str(port)]
    with subprocess.Popen(node_0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as announcing:
        assert announcing.stdout is not None
        assert announcing.stdout.readline() == "announced\n"
        runs = ("1:数学/lora-seed0/abc", "0:数学/lora-seed0/abc", "1:数学/lora-seed0/def")
        same, earlier, other = (meet(run) for run in runs)
        later = meet("2:数学/qlora-seed0/abc")
        assert (same.wait(60), earlier.wait(60)) == (0, nodes.PASSED_OVER)
        told, _ = other.communicate(timeout=60)
        assert told.startswith("launch.node_rank: node 0 trains 数学/lora-seed0/abc, this node would train")
        assert later.poll() is None
        announcing.kill()
    told, _ = later.communicate(timeout=60)
    assert later.returncode == other.returncode == 1
    assert told.startswith(f"launch.master_addr=127.0.0.1: node 0 gives no sign of life at port {port} for 5 s")


def test_between_its_runs_node_0_tells_where_it_is_and_leaves_the_port_to_torchrun(port: int) -> None:
    leading = LaunchConfig("nodes", nnodes=2, master_addr="127.0.0.1", master_port=port)
    for number in (0, 1):
        nodes.start_point(leading, number)
        assert beacon.ask("127.0.0.1", port, 5) == beacon.ask("127.0.0.1", port, 5) == number
        with nodes.training(leading):
            with pytest.raises(ConnectionRefusedError):
                beacon.ask("127.0.0.1", port, 5)
            torchrun = socket.create_server(("", port))
            # A store says nothing before it is asked.
            assert beacon.ask("127.0.0.1", port, 5) is None
            torchrun.close()
        assert beacon.ask("127.0.0.1", port, 5) == number
    with nodes.training(leading):
        torchrun = socket.create_server(("", port))
    torchrun.close()  # What has the port is left alone, and nothing fails.


def test_settings_that_machines_must_share_have_a_part_in_what_they_call_a_run() -> None:
    def announced(*overrides: str) -> str:
        (point,) = compose.points(["device=cpu", *overrides], multirun=False)
        return plan.make(point.config, number=3).announced

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
        f"launch: 1 of 2 nodes joined at 127.0.0.1:{port} within 3 s; start the same command there"
    )


def test_the_death_of_a_rank_is_noticed_and_named_and_no_process_stays(tmp_path: Path, cache: Path) -> None:
    with started(tmp_path, cache, "run", *TWO_RANKS, "training.max_steps=2000") as process:
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
