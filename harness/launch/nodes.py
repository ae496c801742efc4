"""Several machines, one sweep: node 0 leads, the others train with it what it trains, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness.base.errors import UserError
from harness.config.schema import LaunchConfig
from harness.launch.beacon import Beacon

PASSED_OVER = 3
"""Exit status of harness.workers.meet: node 0 is past the run."""
_FAREWELL_SECONDS = 3.0
_beacons: dict[int, Beacon] = {}
"""Of node 0, by port: one, as long as its process lives."""
_node_0_is_at: dict[tuple[str, int], int] = {}
"""What the other nodes heard last, by address and port of node 0."""


def start_point(launch: LaunchConfig, number: int) -> None:
    """On node 0: from here on the other nodes see that it is at run `number` of the sweep."""
    if launch.nnodes > 1 and launch.node_rank == 0 and launch.master_port is not None:
        beacon = _beacons.setdefault(launch.master_port, Beacon(launch.master_port))
        beacon.number = number
        beacon.light()


@contextmanager
def training(launch: LaunchConfig) -> Iterator[None]:
    """In here node 0's port is torchrun's."""
    beacon = _beacons.get(launch.master_port or 0)
    if beacon is None:
        yield
        return
    beacon.put_out()
    try:
        yield
    finally:
        beacon.trained = beacon.number
        beacon.light()


@contextmanager
def dismissed_afterwards() -> Iterator[None]:
    """On node 0, around a sweep: nodes that wait for a run that was completed before, at its end, are told so."""
    try:
        yield
    except SystemExit:
        _dismiss()
        raise
    _dismiss()


def _dismiss() -> None:
    for beacon in _beacons.values():
        waited_for = beacon.trained != beacon.number
        beacon.number = sys.maxsize
        if waited_for:
            time.sleep(_FAREWELL_SECONDS)


def join(launch: LaunchConfig, run: str, environment: dict[str, str]) -> bool:
    """On another node than 0: wait until node 0 trains `run`, NUMBER:NAME. False: it is past it. Raises UserError."""
    address, port = launch.master_addr or "", launch.master_port or 0
    if _node_0_is_at.get((address, port), 0) > int(run.partition(":")[0]):
        return False
    command = [sys.executable, "-m", "harness.workers.meet", address, str(port), run, str(launch.join_seconds)]
    asked = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if asked.returncode not in (0, PASSED_OVER):
        raise UserError((asked.stdout or asked.stderr or "launch: asking node 0 failed").splitlines()[-1:])
    _node_0_is_at[address, port] = int(asked.stdout)
    return asked.returncode == 0
