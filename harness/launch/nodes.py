"""Several machines, one sweep: node 0 leads, the others train with it what it trains, and nothing else."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.base.errors import UserError
from harness.config.schema import LaunchConfig
from harness.launch.beacon import Beacon
from harness.processes import start
from harness.processes.jobs import MeetJob, Met

_FAREWELL_SECONDS = 3.0


class Nodes:
    """What the machines of a sweep know of each other, for as long as the sweep goes on."""

    def __init__(self) -> None:
        self._beacons: dict[int, Beacon] = {}
        """Of node 0, by port."""
        self._node_0_is_at: dict[tuple[str, int], int] = {}
        """What the other nodes heard last, by address and port of node 0."""

    def start_run(self, launch: LaunchConfig, number: int) -> None:
        """On node 0: show the other nodes from here on that it is at run `number` of the sweep."""
        if launch.nnodes > 1 and launch.node_rank == 0 and launch.master_port is not None:
            beacon = self._beacons.setdefault(launch.master_port, Beacon(launch.master_port))
            beacon.number = number
            beacon.light()

    @contextmanager
    def training(self, launch: LaunchConfig) -> Iterator[None]:
        """Leave node 0's port to torchrun while the body runs."""
        beacon = self._beacons.get(launch.master_port or 0)
        if beacon is None:
            yield
            return
        beacon.put_out()
        try:
            yield
        finally:
            beacon.trained = beacon.number
            beacon.light()

    def join(self, launch: LaunchConfig, run: str, environment: Mapping[str, str]) -> bool:
        """On another node than 0: wait until node 0 trains `run`, NUMBER:NAME. False: it is past it.

        Raises UserError where node 0 gives no sign of life or trains something else under that number."""
        address, port, number = launch.master_addr or "", launch.master_port or 0, int(run.partition(":")[0])
        if self._node_0_is_at.get((address, port), 0) > number:
            return False
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / "answer.json"
            job = MeetJob(address=address, port=port, run=run, patience_seconds=launch.join_seconds, answer=answer)
            asked = start.run_to_end(job, environment)
            met = Met.model_validate_json(answer.read_bytes()) if answer.exists() else Met()
        if met.node_0_is_at is None:
            last = (asked.stderr.splitlines() or ["it said nothing"])[-1]
            raise UserError(met.problem or f"launch: node 0 could not be asked: {last}")
        self._node_0_is_at[address, port] = met.node_0_is_at
        return met.node_0_is_at == number

    def dismiss(self) -> None:
        """On node 0, after its sweep: tell nodes that still wait for a run that it is past all of them."""
        for beacon in self._beacons.values():
            has_waiting_nodes = beacon.trained != beacon.number
            beacon.number = sys.maxsize
            if has_waiting_nodes:
                time.sleep(_FAREWELL_SECONDS)
