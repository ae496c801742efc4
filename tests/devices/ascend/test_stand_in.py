"""The stand-in for npu-smi that a sweep on the CPU is watched through."""

from __future__ import annotations

import sys

import psutil
import pytest

from harness.devices.ascend.device import find
from harness.devices.request import DeviceRequest
from tests.devices.ascend.follow import BASELINE_MIB
from tests.devices.ascend.stand_in import StandInNpuSmi
from tests.devices.stand_ins import HOUR, child


@pytest.mark.parametrize("module", ["harness.workers.train", "harness.workers.evaluate"])
def test_the_memory_of_a_child_of_the_harness_is_shown_on_the_chips_that_it_was_given(
    npu_smi: StandInNpuSmi, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    npu_smi.follow(chips=4)
    given = find(DeviceRequest(chips=[1, 3], stand_in="npu-smi"))
    (sensor, _), (other, _) = given.sensors(HOUR), find(DeviceRequest(chips=[0])).sensors(HOUR)
    assert [reading.device_used_mib for reading in sensor.read(frozenset())] == [BASELINE_MIB] * 2
    for name, value in given.environment().items():
        monkeypatch.setenv(name, value)
    with child(sys.executable, "-c", "held = b'x' * 2**26; print(flush=True); input()", module) as process:
        assert process.stdout
        process.stdout.readline()
        rss_mib = psutil.Process(process.pid).memory_info().rss // 2**20
        readings = sensor.read(frozenset({process.pid}))
        (elsewhere,) = other.read(frozenset({process.pid}))
    assert rss_mib > 64
    for reading in readings:
        assert reading.process_mib == pytest.approx(rss_mib / 2, abs=2)
        assert reading.device_used_mib == BASELINE_MIB + reading.process_mib
        assert reading.utilization_percent
        assert reading.power_watts
        assert reading.power_watts > 90
    assert (elsewhere.device_used_mib, elsewhere.process_mib) == (BASELINE_MIB, None)


def test_calls_tell_when_they_began_and_ended(npu_smi: StandInNpuSmi) -> None:
    npu_smi.follow()
    find(DeviceRequest())
    info, mapping = npu_smi.calls()
    assert (info.arguments, mapping.arguments) == (["info"], ["info", "-m"])
    assert info.ended is not None
    assert info.started < info.ended < mapping.started
