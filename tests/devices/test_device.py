from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pynvml
import pytest

from harness.devices import cgroup, cpu
from harness.devices.device import DeviceError, DeviceRequest, choose
from tests.devices.stand_ins import StandInNvml, a_gpu


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)


def test_auto_takes_a_gpu_where_there_is_one(nvml: StandInNvml) -> None:
    device = choose("auto", DeviceRequest())
    assert (device.kind, device.chips, device.product) == ("cuda", (0,), "NVIDIA Example 0")
    assert (device.total_memory_mib, device.supports_bf16) == (81920, True)
    assert [sensor.name for sensor in device.sensors(1.0)] == ["nvml", "psutil"]
    assert nvml.open == 0


@pytest.mark.usefixtures("no_driver")
def test_auto_takes_the_processor_where_there_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "memory_limit_bytes", lambda: None)
    device = choose("auto", DeviceRequest())
    assert (device.kind, device.chips) == ("cpu", ())
    assert device.total_memory_mib == psutil.virtual_memory().total / 2**20
    monkeypatch.setattr(cgroup, "memory_limit_bytes", lambda: 3 * 2**30)
    assert cpu.find(DeviceRequest()).total_memory_mib == 3 * 2**10, "a container's limit"
    assert device.product
    assert [sensor.name for sensor in device.sensors(1.0)] == ["psutil"]


def test_auto_takes_the_processor_where_a_scheduler_gave_no_gpu(
    nvml: StandInNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert choose("auto", DeviceRequest()).kind == "cpu"
    with pytest.raises(DeviceError, match=r"device.name=cuda.*CUDA_VISIBLE_DEVICES"):
        choose("cuda", DeviceRequest())


def test_auto_does_not_fall_back_in_silence_from_a_broken_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    with pytest.raises(DeviceError, match=r"device.name: .*use device.name=cpu"):
        choose("auto", DeviceRequest())


@pytest.mark.usefixtures("no_driver")
def test_a_gpu_that_is_wanted_but_missing_is_refused_with_the_fix() -> None:
    with pytest.raises(DeviceError, match=r"device.name=cuda: no NVIDIA GPU .*use device.name=cpu"):
        choose("cuda", DeviceRequest())


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize("kind", ["auto", "cpu"])
def test_chips_of_a_processor_are_refused(kind: str) -> None:
    with pytest.raises(DeviceError, match=r"device.chips=\[0\].*set device.chips=null"):
        choose(kind, DeviceRequest([0]))


@pytest.mark.parametrize("chips", [[2], [0, 2], [-1], []])
def test_chips_that_do_not_exist_are_refused_with_those_that_do(nvml: StandInNvml, chips: list[int]) -> None:
    with pytest.raises(DeviceError, match=r"device.chips=.*0 \(NVIDIA Example 0\), 1 \(NVIDIA Example 1\)"):
        choose("cuda", DeviceRequest(chips))


def test_an_unknown_kind_is_refused_with_those_that_exist() -> None:
    with pytest.raises(DeviceError, match=r"device.name=tpu.*auto, cpu, cuda, ascend"):
        choose("tpu", DeviceRequest())


@pytest.mark.parametrize(
    ("listed", "chips", "given"),
    [(None, None, "0"), (None, [1, 0], "0,1"), ("1", [0], "1"), ("GPU-1aaa,GPU-0aaa", [0], "GPU-1aaa")],
)
def test_the_child_gets_its_chips_out_of_what_the_scheduler_gave(
    nvml: StandInNvml, monkeypatch: pytest.MonkeyPatch, listed: str | None, chips: list[int] | None, given: str
) -> None:
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    environment = choose("cuda", DeviceRequest(chips)).environment()
    assert environment == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": given}


@pytest.mark.parametrize(
    ("listed", "keys"),
    [
        (None, ["GPU-0aaa-bbbb", "GPU-1aaa-bbbb"]),
        ("1,0", ["GPU-1aaa-bbbb", "GPU-0aaa-bbbb"]),
        ("GPU-1aaa", ["GPU-1aaa-bbbb"]),
        ("MIG-1234", ["MIG-1234"]),
    ],
)
def test_a_chip_has_one_key_whatever_a_scheduler_calls_it(
    nvml: StandInNvml, monkeypatch: pytest.MonkeyPatch, listed: str | None, keys: list[str]
) -> None:
    nvml.instances["MIG-1234"] = a_gpu(0) | {"uuid": "not to be asked for"}
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert [chip.key for chip in choose("cuda", DeviceRequest()).visible] == keys


def test_whichever_is_free_is_one_of_those_with_the_name_of_the_first(nvml: StandInNvml) -> None:
    assert [chip.logic_id for chip in choose("cuda", DeviceRequest(count=1)).visible] == [0]
    nvml.gpus[1]["name"] = nvml.gpus[0]["name"]
    device = choose("cuda", DeviceRequest(count=2))
    assert ([chip.logic_id for chip in device.visible], device.chips) == ([0, 1], (0, 1))


def test_two_chips_are_one_device(nvml: StandInNvml) -> None:
    nvml.gpus[1]["capability"] = (7, 5)
    device = choose("cuda", DeviceRequest([0, 1]))
    assert device.product == "NVIDIA Example 0 + NVIDIA Example 1"
    assert device.total_memory_mib == 2 * 81920
    assert device.supports_bf16 is False


def test_what_the_driver_does_not_tell_of_a_device_is_none(nvml: StandInNvml) -> None:
    del nvml.gpus[0]["memory"], nvml.gpus[0]["capability"]
    device = choose("cuda", DeviceRequest())
    assert (device.total_memory_mib, device.supports_bf16) == (None, None)


def test_a_child_on_the_processor_sees_neither_gpu_nor_npu() -> None:
    assert choose("cpu", DeviceRequest()).environment() == {
        "CUDA_VISIBLE_DEVICES": "",
        "ASCEND_RT_VISIBLE_DEVICES": "-1",
    }


def test_a_processor_without_a_model_name_is_named_after_its_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Example 9000\n")
    assert cpu._product(cpuinfo) == "Example 9000"
    cpuinfo.write_text("processor\t: 0\nCPU part\t: 0xd0c\n")
    monkeypatch.setattr(cpu, "platform", SimpleNamespace(processor=lambda: "", machine=lambda: "aarch64"))
    assert cpu._product(cpuinfo) == "aarch64"
    assert cpu._product(tmp_path / "missing") == "aarch64"


def test_a_gpu_has_a_driver_to_ask_and_a_processor_none(nvml: StandInNvml) -> None:
    nvml.gpus[1]["vbios"] = "of the second"
    gpu = choose("cuda", DeviceRequest([1]))
    assert gpu.tell is not None
    assert (gpu.tell().runtimes["VBIOS"], gpu.tell().chips.keys()) == ("of the second", {1})
    assert choose("cpu", DeviceRequest()).tell is None


def test_choosing_a_device_imports_no_torch() -> None:
    code = (
        "import sys; from harness.devices import device, sampler;"
        "device.choose('auto', device.DeviceRequest()); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
