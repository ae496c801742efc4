"""One process for a run, or one for each chip, on one machine or several, as LLaMA-Factory starts them: by torchrun."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from harness.base import ports
from harness.config.schema import LaunchConfig
from harness.devices.device import Device

LAUNCHES = ("single", "cards", "nodes")


def processes(launch: LaunchConfig, device: Device) -> int:
    """Processes on this machine."""
    if launch.name == "single":
        return 1
    return launch.nproc or max(1, len(device.chips))


def world_size(launch: LaunchConfig, device: Device) -> int:
    return processes(launch, device) * launch.nnodes


def command(launch: LaunchConfig, device: Device, run: str, module: str, arguments: list[str]) -> list[str]:
    """What runs a module of ours in every process of this machine. `run`: its number in the sweep, a colon, its name;
    node 0 of several announces it."""
    if launch.name == "single":
        return [sys.executable, "-m", module, *arguments]
    return [
        *(sys.executable, "-m", "harness.workers.torchrun"),
        *([f"--announce={run}"] if launch.nnodes > 1 and launch.node_rank == 0 else []),
        # The nodes see nothing of each other in torchrun's store but under the name of the same run.
        *("--rdzv-id", run),
        *("--nnodes", str(launch.nnodes), "--node_rank", str(launch.node_rank)),
        *("--nproc_per_node", str(processes(launch, device))),
        *("--master_addr", launch.master_addr or "127.0.0.1"),
        *("--master_port", str(launch.master_port or _free_port(tuple(arguments)))),
        # Without, it leaves a folder in /tmp at every start; what the processes say is in the run's own log.
        *("--log-dir", os.devnull),
        *("--rdzv-conf", f"timeout={launch.join_seconds}", "--max-restarts", "0"),
        *("-m", module, *arguments),
    ]


def problems(launch: LaunchConfig, device: Device) -> Iterator[str]:
    """What keeps a launch from working, as far as it shows before it is tried: `key: what and what would be right`."""
    if launch.name not in LAUNCHES:
        yield f"launch.name={launch.name}: must be one of {', '.join(LAUNCHES)}"
        return
    for key, value in {"nproc": launch.nproc, "nnodes": launch.nnodes, "join_seconds": launch.join_seconds}.items():
        if value is not None and value <= 0:
            yield f"launch.{key}={value}: must be greater than 0"
    if not 0 <= launch.node_rank < max(1, launch.nnodes):
        yield f"launch.node_rank={launch.node_rank}: with launch.nnodes={launch.nnodes} it is 0 to {launch.nnodes - 1}"
    if launch.name == "single":
        if (launch.nproc or 1) * launch.nnodes > 1:
            yield "launch.nproc: launch=single is one process; use launch=cards, or launch=nodes for several machines"
        if len(device.chips) > 1 and device.torch_device != "cpu":
            yield (
                f"device.chips={list(device.chips)}: launch=single trains on one chip; "
                "name one, or use launch=cards for one process a chip"
            )
    if launch.name == "cards" and launch.nnodes > 1:
        yield f"launch.nnodes={launch.nnodes}: launch=cards is one machine; use launch=nodes"
    if launch.nproc is not None and device.chips and launch.nproc != len(device.chips):
        yield (
            f"launch.nproc={launch.nproc}: device.chips={list(device.chips)} has {len(device.chips)} chips; "
            "each process needs one of its own, so leave launch.nproc out"
        )
    if launch.master_port is not None and not 0 < launch.master_port < 65536:
        yield f"launch.master_port={launch.master_port}: must be 1 to 65535"
        return
    if launch.nnodes > 1 and launch.master_addr is None:
        yield "launch.master_addr: a value is needed, the address of node 0 as the other nodes reach it"
    if launch.nnodes > 1 and launch.master_port is None:
        yield "launch.master_port: a value is needed, the same on every node (29500, say)"
    port = None if launch.name == "single" or launch.node_rank else launch.master_port
    if port is not None and (error := ports.refusal(port)):
        yield f"launch.master_port={port}: {error.strerror}; choose another, the same on every node"


def explain(launch: LaunchConfig, log: Path) -> str | None:
    """Which process of several died, or how many nodes came, as torchrun's words in a log tell; None: they do not."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if absent := re.search(r"(\d+)/(\d+) clients joined", text):
        return (
            f"launch: {absent[1]} of {absent[2]} nodes joined at {launch.master_addr}:{launch.master_port} within "
            f"{launch.join_seconds} s; start the same command there too, with launch.node_rank of its own"
        )
    if died := re.search(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+) \(pid: (\d+)\)", text):
        how = f"was killed by signal {-int(died[1])}" if int(died[1]) < 0 else f"ended with status {died[1]}"
        lost = re.search(r"Connection (closed|reset) by peer", text) if launch.nnodes > 1 else None
        also = "; it had lost the connection to another node, where the cause may be" if lost else ""
        return f"the process of local rank {died[2]} on node {launch.node_rank} {how}{also}"
    return None


@cache
def _free_port(run: tuple[str, ...]) -> int:
    """The same for a run whenever it is asked, so that command.sh names the one that was used."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
