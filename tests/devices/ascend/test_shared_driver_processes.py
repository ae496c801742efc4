"""Several runs on one node as they are: processes of their own, one of which may be killed at any moment."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
import pytest

from harness.devices.ascend import shared_driver
from harness.devices.ascend.query import NpuSmiQuery
from harness.devices.ascend.shared_driver import SharedDriver
from harness.devices.reading import SensorError
from tests.devices.ascend.stand_in import StandInNpuSmi
from tests.devices.ascend.tables import Card, hbm_table
from tests.devices.stand_ins import child, wait_until

INTERVAL = 0.3


@contextmanager
def readers(count: int, folder: Path, *options: object, interval: float = INTERVAL) -> Iterator[list[Popen[str]]]:
    """Processes that are ready to read and begin together."""
    command = [sys.executable, "-m", "tests.devices.ascend.reader", str(folder), str(interval), *map(str, options)]
    with ExitStack() as stack:
        processes = [stack.enter_context(child(*command)) for _ in range(count)]
        for process in processes:
            assert line_of(process) == "ready"
        for process in processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        yield processes


def line_of(process: Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def answers_of(process: Popen[str], count: int) -> list[dict[str, Any]]:
    """On a busy machine there may be reads without one in between."""
    answers: list[dict[str, Any]] = []
    while len(answers) < count:
        told = json.loads(line_of(process))
        answers += [told] if "asked" in told else []
    return answers


def test_eight_processes_make_the_calls_of_one_and_never_two_at_a_time(npu_smi: StandInNpuSmi, tmp_path: Path) -> None:
    npu_smi.show(hbm_table([Card(0)]))
    with readers(8, tmp_path / "node", 6) as processes:
        answers = [answers_of(process, 6) for process in processes]
    calls = npu_smi.calls()
    for earlier, later in pairwise(calls):
        assert earlier.ended is not None
        assert earlier.ended <= later.started
    assert len({answer["asked"] for its in answers for answer in its}) == len(calls), "each was somebody's answer"
    for earlier, later in pairwise(sorted({answer["asked"] for its in answers for answer in its})):
        assert later - earlier >= INTERVAL
    for its in answers:
        assert all(earlier["asked"] < later["asked"] for earlier, later in pairwise(its)), "no answer comes twice"
        assert all(answer["asked"] > answer["began"] - INTERVAL for answer in its), "none is older than the interval"


def test_a_reader_that_is_killed_while_it_asks_blocks_nobody(npu_smi: StandInNpuSmi, tmp_path: Path) -> None:
    npu_smi.show(hbm_table([Card(0)]))
    with readers(1, tmp_path / "node", 1, "--holding") as (holder,):
        assert line_of(holder) == "holding"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert SharedDriver(NpuSmiQuery(), INTERVAL, tmp_path / "node").read().readings


def test_beside_an_npu_smi_that_hangs_there_is_no_second_one_and_reading_goes_on_when_it_ends(
    npu_smi: StandInNpuSmi, tmp_path: Path
) -> None:
    npu_smi.behave("unkillable")
    for seconds in (0.5, 2, 8, 32):  # It needs a moment before it cannot be killed.
        folder = tmp_path / f"node-{seconds}"
        with pytest.raises(SensorError, match="no answer within"):
            SharedDriver(NpuSmiQuery(seconds), INTERVAL, folder).read()
        calls = npu_smi.calls()
        if calls and calls[-1].children:
            break
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_driver, "TIMEOUT_SECONDS", 0.2)
        for _ in range(2):
            with pytest.raises(SensorError, match="another call of npu-smi has not ended yet"):
                SharedDriver(NpuSmiQuery(), INTERVAL, folder).read()
    assert len(npu_smi.calls()) == len(calls)
    npu_smi.show(hbm_table([Card(0)]))
    run = SharedDriver(NpuSmiQuery(), INTERVAL, folder)
    wait_until(lambda: is_answered(run))


def test_an_npu_smi_that_hangs_is_ended_though_the_run_that_called_it_was_killed(
    npu_smi: StandInNpuSmi, tmp_path: Path
) -> None:
    npu_smi.behave("hang")
    with readers(1, tmp_path / "node", 1, "--timeout", 1) as (reader,):
        wait_until(lambda: len(npu_smi.calls()) == 1)
        reader.send_signal(signal.SIGKILL)
        reader.wait()
    (call,) = npu_smi.calls()
    wait_until(lambda: not psutil.pid_exists(call.pid) or psutil.Process(call.pid).status() == psutil.STATUS_ZOMBIE)
    npu_smi.show(hbm_table([Card(0)]))
    assert SharedDriver(NpuSmiQuery(), INTERVAL, tmp_path / "node").read().readings


def test_on_a_full_disk_everybody_asks_and_is_answered(npu_smi: StandInNpuSmi, tmp_path: Path) -> None:
    npu_smi.show(hbm_table([Card(npu) for npu in range(16)]))
    # More than the stand-in writes about its calls, less than an answer takes.
    with readers(2, tmp_path / "node", 1, "--file-bytes", 1000) as processes:
        assert [len(answers_of(process, 1)) for process in processes] == [1, 1]
    assert len(npu_smi.calls()) == 2
    assert [file.name for file in (tmp_path / "node").iterdir()] == ["lock"], "nothing half-written is left"


def is_answered(run: SharedDriver) -> bool:
    try:
        return bool(run.read().readings)
    except SensorError:
        return False
