"""Sweeps that are launched elsewhere: two arms on NPUs by stand-in, and what they leave."""

from __future__ import annotations

from pathlib import Path

from harness.runs.folder import SweepFolder
from harness.runs.record import Outcome, Record
from tests.devices.ascend.stand_in import StandInNpuSmi
from tests.running import SHORT, record_in

WORDS = "an npu-smi that shows the memory of the training process on the host"
TINY_RUN = (*SHORT, "device=ascend", f'device.stand_in="{WORDS}"', "training.max_steps=2", "dataset.train_samples=64")
VISIBLE = "ASCEND_RT_VISIBLE_DEVICES"


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
