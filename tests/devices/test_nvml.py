from __future__ import annotations

import os
import sys
from contextlib import closing

import pynvml
import pytest

from harness.devices import host
from harness.devices.nvml import NoGpuError, NvmlSensor, opened, tell
from harness.devices.reading import Reading, SensorError
from harness.devices.told import ChipSettings, Told
from tests.devices.stand_ins import StandInNvml, a_gpu, child, gpu_process

OURS = frozenset({os.getpid()})
NO_PROCESS = 2**31 - 1


def read(chips: list[int], pids: frozenset[int]) -> list[Reading]:
    with closing(NvmlSensor(chips)) as sensor:
        return sensor.read(pids)


def test_everything_that_nvml_tells_stands_in_the_reading_in_its_unit(nvml: StandInNvml) -> None:
    nvml.gpus[1]["compute"] = [gpu_process(os.getpid(), 300), gpu_process(NO_PROCESS, 5000)]
    (reading,) = read([1], OURS)
    assert (reading.sensor, reading.chip) == ("nvml", 1)
    assert (reading.device_used_mib, reading.device_total_mib, reading.process_mib) == (2048, 81920, 300)
    assert (reading.power_watts, reading.temperature_celsius, reading.utilization_percent) == (250.5, 61, 37)


@pytest.mark.parametrize("refusal", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION])
def test_what_a_gpu_does_not_tell_is_none(nvml: StandInNvml, refusal: int) -> None:
    for key in ("memory", "utilization", "milliwatts", "celsius", "compute", "graphics"):
        nvml.gpus[0][key] = pynvml.NVMLError(refusal)
    (reading,) = read([0], OURS)
    told = reading.model_dump(exclude={"time"}, exclude_none=True)
    assert told == {"sensor": "nvml", "chip": 0}


def test_an_idle_gpu_reads_zero_percent_and_not_none(nvml: StandInNvml) -> None:
    nvml.gpus[0]["utilization"].gpu = 0
    nvml.gpus[0]["milliwatts"] = 0
    (reading,) = read([0], OURS)
    assert (reading.utilization_percent, reading.power_watts) == (0, 0)


@pytest.mark.parametrize(
    "listed",
    [
        [],
        [gpu_process(NO_PROCESS, 900)],
        [gpu_process(os.getpid(), None)],
        [gpu_process(os.getpid(), 0)],
    ],
    ids=["nobody", "pids of another namespace", "memory not available", "a driver that translates pids only"],
)
def test_memory_that_the_driver_does_not_put_down_to_the_run_is_none(nvml: StandInNvml, listed: list[object]) -> None:
    nvml.gpus[0]["compute"] = listed
    (reading,) = read([0], OURS)
    assert reading.process_mib is None


def test_a_descendant_counts_and_a_process_in_both_lists_counts_once(nvml: StandInNvml) -> None:
    with child(sys.executable, "-c", "input()") as process:
        both = gpu_process(process.pid, 400)
        nvml.gpus[0]["compute"] = [both, gpu_process(os.getpid(), 100)]
        nvml.gpus[0]["graphics"] = [both]
        (reading,) = read([0], OURS)
    assert reading.process_mib == 500


@pytest.fixture
def on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "sees_all_processes", lambda: True)


@pytest.mark.usefixtures("on_the_host")
def test_a_strangers_process_on_a_gpu_is_counted_and_neither_ours_nor_a_desktop(nvml: StandInNvml) -> None:
    nvml.gpus[0]["compute"] = [gpu_process(os.getpid(), 300), gpu_process(NO_PROCESS, 5000)]
    nvml.gpus[0]["graphics"] = [gpu_process(NO_PROCESS - 1, 80)]
    first, second = read([0, 1], OURS)
    assert (first.other_processes, second.other_processes) == (1, 0)
    first, _ = read([0, 1], frozenset())
    assert first.other_processes == 2, "before the run is started nobody is ours"


def test_in_a_container_that_lists_pids_of_the_host_nobody_knows_who_is_ours(
    nvml: StandInNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "sees_all_processes", lambda: False)
    nvml.gpus[0]["compute"] = [gpu_process(NO_PROCESS, 5000)]
    first, second = read([0, 1], OURS)
    assert (first.other_processes, second.other_processes) == (None, None)


def test_the_driver_tells_of_itself_and_how_it_has_set_the_runs_chips(nvml: StandInNvml) -> None:
    nvml.gpus[1] |= {"limit_milliwatts": 350_000, "mhz": 600, "ecc": [0, 1], "vbios": "96.00.74.00.11"}
    settings = ChipSettings(power_limit_watts=700, clock_mhz=345, max_clock_mhz=1980, memory_clock_mhz=2619, ecc=True)
    assert tell([0]) == Told(
        driver="550.54.15",
        runtimes={"CUDA of the driver": "12.4", "VBIOS": "96.00.68.00.01"},
        chips={0: settings},
    )
    both = tell([0, 1])
    assert both.runtimes["VBIOS"] == "96.00.68.00.01 + 96.00.74.00.11"
    throttled = both.chips[1]
    assert (throttled.power_limit_watts, throttled.clock_mhz, throttled.ecc) == (350, 600, False)
    assert nvml.open == 0


@pytest.mark.parametrize(
    "code", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_INVALID_ARGUMENT, pynvml.NVML_ERROR_NO_PERMISSION]
)
def test_a_driver_that_tells_nothing_of_a_gpu_leaves_it_open(nvml: StandInNvml, code: int) -> None:
    for key in ("limit_milliwatts", "mhz", "max_mhz", "memory_mhz", "ecc", "vbios"):
        nvml.gpus[0][key] = pynvml.NVMLError(code)
    assert tell([0]) == Told("550.54.15", {"CUDA of the driver": "12.4"}, {0: ChipSettings()})


def test_a_driver_that_tells_nothing_of_itself_leaves_it_open(nvml: StandInNvml) -> None:
    nvml.system = {}
    told = tell([0])
    assert (told.driver, told.runtimes) == (None, {"VBIOS": "96.00.68.00.01"})


def test_a_chip_that_is_gone_is_not_told_of(nvml: StandInNvml) -> None:
    assert tell([0, 7]).chips.keys() == {0}


def test_all_chips_of_a_round_have_the_same_time(nvml: StandInNvml) -> None:
    first, second = read([0, 1], frozenset())
    assert first.time == second.time


@pytest.mark.parametrize(
    ("listed", "uuids"),
    [
        ("1,0", ["GPU-1", "GPU-0"]),
        (" 1 ", ["GPU-1"]),
        ("0,7,1", ["GPU-0"]),
        ("0,-1,1", ["GPU-0"]),
        ("", []),
        ("NoDevFiles", []),
        ("GPU-1aaa-bbbb", ["GPU-1"]),
        ("GPU-1a,0", ["GPU-1", "GPU-0"]),
        ("GPU-", []),
    ],
)
def test_the_list_of_a_scheduler_is_read_as_cuda_reads_it(
    nvml: StandInNvml, monkeypatch: pytest.MonkeyPatch, listed: str, uuids: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    with opened() as gpus:
        assert [gpu.handle["uuid"][:5] for gpu in gpus] == uuids


def test_a_logic_id_counts_within_what_is_visible(nvml: StandInNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    (reading,) = read([0], frozenset())
    assert (reading.chip, reading.device_used_mib) == (0, 2048)


def test_a_mig_instance_is_read_by_its_uuid(nvml: StandInNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.instances["MIG-1234"] = {"memory": a_gpu(0)["memory"], "compute": [gpu_process(os.getpid(), 70)]}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1234")
    (reading,) = read([0], OURS)
    assert (reading.device_used_mib, reading.process_mib, reading.power_watts) == (1024, 70, None)


def test_a_mig_instance_that_is_not_there_is_named(nvml: StandInNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-gone")
    with pytest.raises(SensorError, match="MIG-gone"):
        read([0], frozenset())


def test_a_whole_gpu_that_is_divided_is_refused_with_the_fix(nvml: StandInNvml) -> None:
    nvml.gpus[0]["mig"] = [pynvml.NVML_DEVICE_MIG_ENABLE, pynvml.NVML_DEVICE_MIG_ENABLE]
    with pytest.raises(SensorError, match=r"MIG.*CUDA_VISIBLE_DEVICES.*nvidia-smi -L"):
        read([0], frozenset())


def test_a_lost_gpu_is_a_sensor_error(nvml: StandInNvml) -> None:
    with closing(NvmlSensor([0])) as sensor:
        sensor.read(frozenset())
        nvml.gpus[0]["memory"] = pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        with pytest.raises(SensorError, match="lost"):
            sensor.read(frozenset())


def test_a_chip_that_is_not_visible_is_a_sensor_error(nvml: StandInNvml) -> None:
    with pytest.raises(SensorError, match="2 GPUs are visible"):
        read([2], frozenset())


def test_closing_a_sensor_twice_closes_nvml_once(nvml: StandInNvml) -> None:
    sensor = NvmlSensor([0])
    sensor.read(frozenset())
    assert nvml.open == 1
    sensor.close()
    sensor.close()
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, NoGpuError),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, NoGpuError),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, SensorError),
    ],
)
def test_a_missing_driver_is_told_from_a_broken_one(
    monkeypatch: pytest.MonkeyPatch, code: int, error: type[SensorError]
) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(code)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    with pytest.raises(SensorError) as caught:
        read([0], frozenset())
    assert type(caught.value) is error
