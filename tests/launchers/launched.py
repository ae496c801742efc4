"""Sweeps that are launched elsewhere: two arms on NPUs by stand-in, and what they leave."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.runs.folder import SweepFolder
from harness.runs.record import Outcome, Record
from tests.devices.ascend.stand_in import StandInNpuSmi
from tests.running import SHORT, record_in

WORDS = "an npu-smi that shows the memory of the training process on the host"
TINY_RUN = (*SHORT, "device=ascend", f'device.stand_in="{WORDS}"', "training.max_steps=2", "dataset.train_samples=64")
VISIBLE = "ASCEND_RT_VISIBLE_DEVICES"


class NotStartedError(Exception):
    """A scheduler does not start on this machine; the message says why."""


@contextmanager
def ray_nodes(env: Mapping[str, str], *listed: str) -> Iterator[str]:
    """The address of a Ray cluster with a node for each list of NPUs; it ends with the body. Raises NotStartedError."""
    program = [sys.executable, str(Path(__file__).parent / "ray_nodes.py"), *listed]
    # Tasks begin in the nodes' folder, which is not that of a sweep.
    with subprocess.Popen(program, cwd="/", env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nodes:
        assert nodes.stdout is not None
        address = nodes.stdout.readline().strip()
        if not address:
            raise NotStartedError("Ray does not start nodes on this machine; its own words are above")
        yield address
        nodes.communicate("\n", timeout=60)


def four_npus(folder: Path) -> StandInNpuSmi:
    npu_smi = StandInNpuSmi(folder)
    npu_smi.follow(chips=4)
    return npu_smi


def completed(home: Path, sweep: str) -> list[Record]:
    """The records of a sweep, all completed, in the order of their names."""
    records = [record_in(run.path) for run in SweepFolder(home / "outputs" / sweep).runs()]
    assert {record.status for record in records} == {Outcome.COMPLETED}
    return records


def chips_of(records: list[Record]) -> list[str]:
    return [record.environment.variables[VISIBLE] for record in records]
