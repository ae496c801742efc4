from __future__ import annotations

import os
import re

import psutil
import pytest

from harness.devices.ascend.query import NpuSmiQuery, npu_smi
from harness.devices.reading import SensorError
from tests.devices.ascend.stand_in import Call, StandInNpuSmi
from tests.devices.ascend.tables import Card, Held, hbm_table
from tests.devices.stand_ins import wait_until

NO_LOCK = os.open(os.devnull, os.O_RDONLY)


def gone(pid: int) -> bool:
    """Ended; perhaps its parent has not asked how."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def time_out(stand_in: StandInNpuSmi, children: int = 0) -> tuple[SensorError, Call]:
    """Ask with a time limit that leaves the stand-in the time to begin, and no more than that."""
    for seconds in (0.3, 1, 4, 16):
        with pytest.raises(SensorError) as caught:
            npu_smi(["info"], timeout_seconds=seconds)
        if stand_in.calls() and len(stand_in.calls()[-1].children) == children:
            break
    return caught.value, stand_in.calls()[-1]


def test_npu_smi_is_asked_in_english(npu_smi: StandInNpuSmi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    npu_smi.show(hbm_table([Card(0)]))
    NpuSmiQuery().ask(NO_LOCK)
    (call,) = npu_smi.calls()
    assert (call.arguments, call.lc_all) == (["info"], "C")


def test_a_table_is_read_whatever_the_exit_status(npu_smi: StandInNpuSmi) -> None:
    npu_smi.show(hbm_table([Card(0, used=4567), Card(1)], [Held(0, 77, 1200)]))
    npu_smi.behave("show", status=3)
    table = NpuSmiQuery().ask(NO_LOCK)
    assert [(chip.npu_id, chip.memory_used_mib) for chip in table.readings] == [(0, 4567), (1, 3300)]
    assert [process.pid for process in table.readings[0].processes] == [77]
    assert table.problems == []


@pytest.mark.parametrize("mode", ["hang", "hang_with_child"])
def test_one_that_hangs_and_heeds_no_sigterm_is_ended_with_all_that_it_started(
    npu_smi: StandInNpuSmi, mode: str
) -> None:
    npu_smi.behave(mode)
    error, call = time_out(npu_smi, children=int(mode == "hang_with_child"))
    assert re.search(r"npu-smi info: no answer within [\d.]+ s", str(error))
    wait_until(lambda: gone(call.pid))
    for child in call.children:
        wait_until(lambda child=child: gone(child))


def test_what_an_npu_smi_that_ended_left_behind_is_ended_too(npu_smi: StandInNpuSmi) -> None:
    npu_smi.behave("leave_child")
    error, call = time_out(npu_smi, children=1)
    assert "no answer within" in str(error)
    wait_until(lambda: gone(call.children[0]))


def test_output_without_end_is_cut_off(npu_smi: StandInNpuSmi) -> None:
    npu_smi.behave("endless")
    with pytest.raises(SensorError, match="npu-smi info: its output does not end"):
        NpuSmiQuery().ask(NO_LOCK)
    wait_until(lambda: gone(npu_smi.calls()[-1].pid))


def test_a_slow_answer_is_waited_for(npu_smi: StandInNpuSmi) -> None:
    npu_smi.show(hbm_table([Card(0)]))
    npu_smi.behave("slow", seconds=0.3)
    assert len(NpuSmiQuery().ask(NO_LOCK).readings) == 1


def test_an_npu_smi_that_vanished_is_a_sensor_error(npu_smi: StandInNpuSmi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(npu_smi.bin))
    npu_smi.vanish()
    with pytest.raises(SensorError, match="npu-smi cannot be started: it is not on the PATH"):
        NpuSmiQuery().ask(NO_LOCK)


def test_an_npu_smi_that_cannot_be_started_is_a_sensor_error(npu_smi: StandInNpuSmi) -> None:
    (npu_smi.bin / "npu-smi").write_text("#!/no/such/interpreter\n")
    with pytest.raises(SensorError, match=r"npu-smi.*No such file"):
        NpuSmiQuery().ask(NO_LOCK)


def test_an_error_that_is_printed_with_status_0_names_cause_and_fix(npu_smi: StandInNpuSmi) -> None:
    npu_smi.show("some library failed. (ret=4)\ndcmi module initialize failed. ret is -8005\n")
    with pytest.raises(SensorError, match=r"ret is -8005: .*upgraded without a reboot.*; reboot after"):
        NpuSmiQuery().ask(NO_LOCK)


@pytest.mark.parametrize(
    ("output", "shown"),
    [("", "nothing at all"), ("\n  Segmentation fault\n", "Segmentation fault"), (b"\xff\xfe", "�")],
)
def test_what_is_no_table_is_quoted(npu_smi: StandInNpuSmi, output: str | bytes, shown: str) -> None:
    npu_smi.show(output)
    with pytest.raises(SensorError, match=f"printed no chip but '{shown}"):
        NpuSmiQuery().ask(NO_LOCK)


def test_bytes_of_no_encoding_cost_their_line_and_not_the_table(npu_smi: StandInNpuSmi) -> None:
    npu_smi.show(b"\xc0\xaf\xff driver says hello\n" + hbm_table([Card(0)]).encode())
    table = NpuSmiQuery().ask(NO_LOCK)
    assert len(table.readings) == 1
    assert len(table.problems) == 1
