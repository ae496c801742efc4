"""One process for a run, or one for each chip, on one machine or several, as LLaMA-Factory starts them: by torchrun."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from harness import ports
from harness.beacon import Beacon
from harness.config import LaunchConfig
from harness.devices.device import Device
from harness.errors import UserError

LAUNCHES = ("single", "cards", "nodes")
PASSED_OVER = 3
"""Exit status of harness.training.meeting: node 0 is past the run."""
_beacons: dict[int, Beacon] = {}
"""Of this process, by port: one, as long as it lives."""


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
    announces = launch.nnodes > 1 and launch.node_rank == 0
    return [
        *(sys.executable, "-m", "harness.training.torchrun"),
        *([f"--announce={run}"] if announces else []),
        *("--nnodes", str(launch.nnodes), "--node_rank", str(launch.node_rank)),
        *("--nproc_per_node", str(processes(launch, device))),
        *("--master_addr", launch.master_addr or "127.0.0.1"),
        *("--master_port", str(launch.master_port or _free_port(tuple(arguments)))),
        # Without, it leaves a folder in /tmp at every start; what the processes say is in the run's own log.
        *("--log-dir", os.devnull),
        *("--rdzv-conf", f"timeout={launch.join_seconds}", "--max-restarts", "0"),
        *("-m", module, *arguments),
    ]


def join(launch: LaunchConfig, run: str, environment: dict[str, str]) -> bool:
    """On another node than 0: wait until node 0 trains `run`. False: it is past it. Raises UserError."""
    command = [sys.executable, "-m", "harness.training.meeting"]
    command += [launch.master_addr or "", str(launch.master_port), run, str(launch.join_seconds)]
    asked = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if asked.returncode not in (0, PASSED_OVER):
        raise UserError((asked.stdout or asked.stderr or "launch: asking node 0 failed").splitlines()[-1:])
    return asked.returncode == 0


@contextmanager
def training(launch: LaunchConfig) -> Iterator[None]:
    """In here node 0's port is torchrun's; afterwards, until this process ends, the other nodes see that it lives."""
    if launch.nnodes == 1 or launch.node_rank > 0 or launch.master_port is None:
        yield
        return
    beacon = _beacons.setdefault(launch.master_port, Beacon(launch.master_port))
    beacon.put_out()
    try:
        yield
    finally:
        beacon.light()


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
        return f"the process of local rank {died[2]} on node {launch.node_rank} {how}"
    return None


@cache
def _free_port(run: tuple[str, ...]) -> int:
    """The same for a run whenever it is asked, so that command.sh names the one that was used."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
