"""What the record of a run says of the machine that it ran on, and of the state in which it found it."""

from __future__ import annotations

import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.config.schema import Config
from harness.devices import cpu, host, host_state
from harness.devices.device import Device, DeviceRequest, choose
from harness.devices.host_state import HostState
from harness.devices.nvml import NvmlSensor
from harness.devices.reading import Reading
from harness.devices.told import Told
from harness.plan import device as devices
from harness.plan import machine
from harness.plan.machine import DECISIVE, OTHERS, Look, describe
from harness.runs.record import ChipBefore, Environment, MachineBefore
from tests.devices.conftest import nvml as nvml  # a fixture
from tests.devices.stand_ins import StandInNvml, gpu_process, wait_until

STRANGER = 2**22 + 1
"""Above every pid that Linux gives."""
QUIET = HostState(
    cpu_busy_percent=3.0,
    load_average=0.5,
    busy_processes=0,
    available_mib=64_000.0,
    cpu_mhz=2800.0,
    cpu_temperature_celsius=50.0,
)


@pytest.fixture(autouse=True)
def a_quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it really does is tested where it is read."""
    monkeypatch.setattr(host_state, "look", lambda: QUIET)
    monkeypatch.setattr(host, "sees_all_processes", lambda: True)


def looked(device: Device, baselines: list[Reading] | None = None) -> Look:
    if baselines is None:
        with closing(NvmlSensor(device.chips)) as sensor:
            baselines = sensor.read(frozenset())
    look = Look(Config(), device, baselines)
    wait_until(lambda: not look._asking.is_alive())
    return look


def test_a_run_finds_a_hot_and_throttled_gpu_that_a_stranger_holds(nvml: StandInNvml) -> None:
    nvml.gpus[1] |= {
        "celsius": 93,
        "mhz": 600,
        "limit_milliwatts": 350_000,
        "compute": [gpu_process(STRANGER, 9000)],
        "memory": SimpleNamespace(used=9000 * 2**20, total=80 * 2**30),
        "utilization": SimpleNamespace(gpu=99),
        "ecc": [0, 0],
    }
    before = looked(choose("cuda", DeviceRequest([0, 1]))).before()
    cool, hot = before.chips
    assert hot == ChipBefore(
        chip=1,
        used_mib=9000,
        utilization_percent=99,
        temperature_celsius=93,
        power_watts=250.5,
        power_limit_watts=350,
        clock_mhz=600,
        max_clock_mhz=1980,
        memory_clock_mhz=2619,
        ecc=False,
        other_processes=1,
    )
    assert (cool.chip, cool.temperature_celsius, cool.other_processes, cool.ecc) == (0, 61, 0, True)


def test_a_run_finds_the_host_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_state, "look", lambda: replace(QUIET, cpu_busy_percent=88.0, busy_processes=2))
    before = looked(choose("cpu", DeviceRequest()), []).before()
    assert before == MachineBefore(
        chips=[],
        cpu_busy_percent=88,
        load_average=0.5,
        busy_processes=2,
        available_mib=64_000,
        cpu_mhz=2800,
        cpu_temperature_celsius=50,
    )


def test_a_driver_that_tells_nothing_leaves_everything_open_and_the_run_goes_on(
    nvml: StandInNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = choose("cuda", DeviceRequest([0]))
    nvml.gpus[0] = {}
    nvml.system = {}
    monkeypatch.setattr(host_state, "look", lambda: HostState(None, None, None, None, None, None))
    look = looked(device)
    assert look.before() == MachineBefore(chips=[ChipBefore(chip=0)])
    environment = describe(devices.describe(device), look)
    assert (environment.driver, environment.runtimes) == (None, {})


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), OSError("gone")])
def test_a_driver_that_breaks_costs_its_answers_and_a_sensor_that_failed_its_readings(
    nvml: StandInNvml, failure: Exception
) -> None:
    def broken() -> Told:
        raise failure

    device = replace(choose("cuda", DeviceRequest([0])), tell=broken)
    look = looked(device, baselines=[])
    assert (look.before().chips, look.told) == ([ChipBefore(chip=0)], Told())


def test_a_driver_that_hangs_holds_up_no_run(nvml: StandInNvml) -> None:
    released = threading.Event()

    def hangs() -> Told:
        released.wait()
        return Told(driver="at last")

    look = Look(Config(), replace(choose("cuda", DeviceRequest([0])), tell=hangs), [])
    assert (look.told, look.before().chips) == (Told(), [ChipBefore(chip=0)])
    released.set()
    wait_until(lambda: look.told.driver == "at last")


def test_the_environment_says_what_the_driver_told_and_what_the_workers_got(
    nvml: StandInNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    device = choose("cuda", DeviceRequest([1]))
    environment = describe(devices.describe(device), looked(device))
    assert (environment.driver, environment.runtimes["CUDA of the driver"]) == ("550.54.15", "12.4")
    assert environment.variables.items() >= {"NVIDIA_TF32_OVERRIDE": "0", "CUDA_VISIBLE_DEVICES": "1"}.items()
    assert environment.device == "NVIDIA Example 1"


def test_a_run_that_did_not_come_to_look_has_an_environment_all_the_same() -> None:
    environment = describe(devices.describe(cpu.find(DeviceRequest())))
    assert (environment.driver, environment.runtimes, environment.variables) == (None, {}, {})
    assert environment.versions.keys() >= {"python", "torch", "tokenizers", "safetensors", "datasets"}
    assert environment.host == describe(devices.describe(cpu.find(DeviceRequest()))).host
    assert Environment.model_validate_json(environment.model_dump_json()) == environment


def test_limits_of_the_container_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = devices.describe(cpu.find(DeviceRequest()))
    monkeypatch.setattr(machine.cgroup, "cpu_quota", lambda: 1.5)
    monkeypatch.setattr(machine.cgroup, "memory_limit_bytes", lambda: 6 * 2**30)
    assert (describe(spec).cpu_quota, describe(spec).memory_limit_mib) == (1.5, 6144)
    monkeypatch.setattr(machine.cgroup, "cpu_quota", lambda: None)
    monkeypatch.setattr(machine.cgroup, "memory_limit_bytes", lambda: None)
    assert (describe(spec).cpu_quota, describe(spec).memory_limit_mib) == (None, None)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


def test_two_machines_of_one_name_are_told_apart_and_named_nowhere(
    etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.node", lambda: "node17")
    without = machine._host(tmp_path)
    (etc / "machine-id").write_text("3d12\n")
    one = machine._host(tmp_path)
    (etc / "machine-id").write_text("77aa\n")
    other = machine._host(tmp_path)
    monkeypatch.setattr("platform.node", lambda: "node18")
    renamed = machine._host(tmp_path)
    assert len({without, one, other, renamed}) == 4
    assert all(len(name) == 8 and int(name, 16) >= 0 for name in (without, one, other, renamed))
    assert "node18" not in describe(devices.describe(cpu.find(DeviceRequest()))).model_dump_json()


def test_nvidias_packages_are_found_by_their_folders(tmp_path: Path) -> None:
    for name in ("nvidia_cublas_cu12-12.4.5.8", "nvidia_nccl_cu12-2.21.5", "numpy-2.0", "nvidia_cublas_cu12"):
        (tmp_path / f"{name}.dist-info").mkdir()
    found = machine._cuda_libraries([str(tmp_path), str(tmp_path / "nothing")])
    assert found == {"nvidia-cublas-cu12": "12.4.5.8", "nvidia-nccl-cu12": "2.21.5"}


def test_what_decides_a_result_and_what_does_not_are_kept_apart() -> None:
    assert not set(DECISIVE) & set(OTHERS)
    assert len(set(OTHERS)) == len(OTHERS)


def test_the_state_of_a_real_machine_fits_into_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    before = looked(choose("cpu", DeviceRequest()), []).before()
    assert MachineBefore.model_validate_json(before.model_dump_json()) == before
    if sys.platform == "linux":
        assert before.cpu_busy_percent is not None
        assert before.available_mib
