"""Cards whose memory is what the harness's children hold on the host: npu-smi for a sweep on a machine without NPUs."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import psutil

from tests.devices.ascend import tables
from tests.devices.ascend.tables import Card, Held

BASELINE_MIB = 3300
_CHILDREN = ("train", "evaluate")


def mapping(chips: int) -> str:
    return tables.mapping([Card(npu) for npu in range(chips)])


def info(chips: int, folder: Path) -> str:
    """`folder`: of the stand-in, as it is on the PATH of the children that are meant."""
    held = _held(chips, str(folder))
    cards = []
    for npu in range(chips):
        used = BASELINE_MIB + sum(process.mib for process in held if process.npu == npu)
        swing = math.sin(time.time() + npu)
        percent = round(75 + 20 * swing) if used > BASELINE_MIB else 0
        power = f"{92 + 2 * swing + 2.2 * percent:.1f}"
        cards.append(Card(npu, used=used, percent=percent, power=power, celsius=38 + percent // 4))
    return tables.hbm_table(cards, held)


def _held(chips: int, folder: str) -> list[Held]:
    """Every child on the chips that ASCEND_RT_VISIBLE_DEVICES gives it, an equal share on each."""
    held = []
    for process in psutil.process_iter():
        try:
            # One that was on standby has its name alone, as the fork of a server has.
            if not any(name == process.name() or f"harness.workers.{name}" in process.cmdline() for name in _CHILDREN):
                continue
            environment = process.environ()
            its = environment.get("ASCEND_RT_VISIBLE_DEVICES", "0").split(",")
            mib = process.memory_info().rss // 2**20
        except psutil.Error:  # It ended.
            continue
        if folder not in environment.get("PATH", "").split(os.pathsep):
            continue  # It is watched through another stand-in, or none.
        npus = [int(npu) for npu in its if npu.isdecimal() and int(npu) < chips]
        held += [Held(npu, process.pid, mib // len(npus)) for npu in npus]
    return held
