"""torchrun's own rendezvous on one machine, with two ranks on the CPU; what needs no meeting needs no torch in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import psutil

from harness.processes.child import Child, Ended
from harness.processes.jobs import TorchrunJob
from harness.runs.events import EventReader
from harness.runs.record import Outcome
from tests.processes.waiting import wait_until_dead

RANK = """
import os, pathlib, signal, sys, time
from harness.workers import lifecycle
lifecycle.die_with_parent()
folder, then, rank = pathlib.Path(sys.argv[1]), sys.argv[2], os.environ["RANK"]
met = 0
if then == "meet":
    import torch
    from torch import distributed
    distributed.init_process_group("gloo")
    total = torch.ones(1)
    distributed.all_reduce(total)
    met = int(total)
    distributed.barrier()
    distributed.destroy_process_group()
(folder / f"rank{rank}").write_text(f"{os.getpid()} {met}")
if then == "lose one" and rank == "1":
    os.kill(os.getpid(), signal.SIGKILL)
if then != "meet":
    time.sleep(600)
"""


PASSED_ON = """
import subprocess, sys
from harness.workers import torchrun
torchrun.pass_on_leases()
from torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler import SubprocessHandler
code = "import os; print([os.path.realpath(f'/proc/self/fd/{name}') for name in os.listdir('/proc/self/fd')])"
rank = SubprocessHandler(sys.executable, ("-c", code), {}, None, None, 0, None)
sys.exit(rank.proc.wait())
"""


def test_a_rank_inherits_the_leases_of_its_torchrun(tmp_path: Path) -> None:
    with (tmp_path / "npu0").open("w") as lease:
        command = [sys.executable, "-c", PASSED_ON]
        done = subprocess.run(command, pass_fds=[lease.fileno()], capture_output=True, text=True, check=True)
    assert str(tmp_path / "npu0") in done.stdout


class Torchrun:
    """Two ranks of a trivial module, by the worker."""

    def __init__(self, folder: Path, then: str, kernel_kills: bool = False) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        (folder / "rank.py").write_text(RANK)
        path = os.pathsep.join(
            filter(None, (str(folder), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")))
        )
        environment = os.environ | {"PYTHONPATH": path, "TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1"}
        arguments = [
            *("--rdzv-id", "0:数学/lora-seed0/abc", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"),
            *("--nnodes", "1", "--nproc_per_node", "2", "--max-restarts", "0", "--log-dir", os.devnull),
            *("-m", "rank", str(folder), then),
        ]
        self._folder = folder
        counts = count(0, int(kernel_kills))
        command = TorchrunJob(arguments=arguments).write(folder / "jobs" / "torchrun.json")
        self.child = Child(command, folder / "log", environment, oom_kills=lambda: next(counts))

    def ended(self) -> Ended:
        return self.child.follow(EventReader(self._folder / "events.jsonl"), lambda event: None)

    def ranks(self) -> list[tuple[int, int]]:
        """Of each rank that has got so far: its pid, and how many have met."""
        texts = [file.read_text() for file in sorted(self._folder.glob("rank[01]"))]
        return [(int(pid), int(total)) for pid, total in (text.split() for text in texts if text)]


def test_two_ranks_meet_at_a_port_that_nobody_had_to_choose_and_leave_nothing_behind(tmp_path: Path) -> None:
    torchrun = Torchrun(tmp_path, "meet")
    assert torchrun.ended().outcome is Outcome.COMPLETED, (tmp_path / "log").read_text()
    assert [total for _, total in torchrun.ranks()] == [2, 2]
    assert not list(torchrun.temporary.iterdir())


def test_the_ranks_die_with_torchrun(tmp_path: Path) -> None:
    torchrun = Torchrun(tmp_path, "wait")
    while len(torchrun.ranks()) < 2:
        assert psutil.Process(torchrun.child.pid).status() != psutil.STATUS_ZOMBIE, (tmp_path / "log").read_text()
    ranks = [psutil.Process(pid) for pid, _ in torchrun.ranks()]
    os.kill(torchrun.child.pid, signal.SIGKILL)
    # Not by the harness, which would kill what is left of the group.
    for rank in ranks:
        wait_until_dead(rank)
    assert torchrun.ended().reason == "the process was killed by SIGKILL, not by the harness"


def test_a_rank_that_is_killed_for_want_of_memory_is_out_of_memory(tmp_path: Path) -> None:
    """By torchrun's real words; only the kernel's count is made to rise."""
    ended = Torchrun(tmp_path, "lose one", kernel_kills=True).ended()
    assert ended.outcome is Outcome.OUT_OF_MEMORY, ended.log_tail
