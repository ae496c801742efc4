"""One process for a run, or one for each chip, on one machine or several, as LLaMA-Factory starts them: by torchrun."""

from __future__ import annotations

import os
import re
from pathlib import Path

from harness.config.schema import LaunchConfig
from harness.processes.jobs import TorchrunJob, TrainJob
from harness.runs.folder import RunFolder


def processes(launch: LaunchConfig, chips: int) -> int:
    """Return how many processes train on this machine, which lends `chips` accelerators (0: a CPU)."""
    if launch.name == "single":
        return 1
    return launch.nproc or max(1, chips)


def world_size(launch: LaunchConfig, chips: int) -> int:
    """Return how many processes train on all machines together."""
    return processes(launch, chips) * launch.nnodes


def command(launch: LaunchConfig, chips: int, run: str, job: TrainJob, folder: RunFolder) -> list[str]:
    """Write the jobs of a training into `folder` and return the command that starts it on this machine.

    `run`: its number in the sweep, a colon, its name; node 0 of several announces it. Raises OSError."""
    train = job.write(folder.job("train"))
    if launch.name == "single":
        return train
    started = train[train.index("-m") :]
    torchrun = TorchrunJob(
        arguments=[*_meeting_place(launch, run), "--nproc_per_node", str(processes(launch, chips)), *started],
        announce=run if launch.nnodes > 1 and launch.node_rank == 0 else None,
    )
    return torchrun.write(folder.job("torchrun"))


def _meeting_place(launch: LaunchConfig, run: str) -> list[str]:
    """How the processes find each other."""
    arguments = [
        # The nodes see nothing of each other in torchrun's store but under the name of the same run.
        *("--rdzv-id", run),
        *("--nnodes", str(launch.nnodes)),
        # Without, it leaves a folder in /tmp at every start; what the processes say is in the run's own log.
        *("--log-dir", os.devnull, "--max-restarts", "0"),
    ]
    if launch.master_port is None:
        # torchrun binds a free port itself; one that is chosen before it starts may be taken by then.
        return [*arguments, "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    return [
        *arguments,
        *("--node_rank", str(launch.node_rank), "--rdzv-conf", f"timeout={launch.join_seconds}"),
        *("--master_addr", launch.master_addr or "127.0.0.1", "--master_port", str(launch.master_port)),
    ]


def explain(launch: LaunchConfig, log: Path) -> str | None:
    """Return which process of several died, or how many nodes came, as torchrun's log tells; None: it does not."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if absent := re.search(r"(\d+)/(\d+) clients joined", text):
        return (
            f"launch: {absent[1]} of {absent[2]} nodes joined at {launch.master_addr}:{launch.master_port} within "
            f"{launch.join_seconds} s; start the same command on each, with launch.node_rank of its own"
        )
    if died := re.search(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+) \(pid: (\d+)\)", text):
        how = f"was killed by signal {-int(died[1])}" if int(died[1]) < 0 else f"ended with status {died[1]}"
        lost = re.search(r"Connection (closed|reset) by peer", text) if launch.nnodes > 1 else None
        also = "; it had lost the connection to another node, where the cause may be" if lost else ""
        return f"the process of local rank {died[2]} on node {launch.node_rank} {how}{also}"
    return None
