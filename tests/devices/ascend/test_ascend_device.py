from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.devices.ascend import device
from harness.devices.ascend.device import VISIBLE, find, visible_ids
from harness.devices.ascend.query import NpuSmiQuery
from harness.devices.ascend.sensor import ChipAddress, NpuSensor
from harness.devices.ascend.shared_driver import SharedDriver
from harness.devices.device import choose
from harness.devices.request import AbsentError, Device, DeviceError, DeviceRequest
from tests.devices.ascend.stand_in import StandInNpuSmi
from tests.devices.ascend.tables import Card, a3_table, ddr_table, hbm_table, mapping

EIGHT = [Card(npu) for npu in range(8)]
A3 = [Card(npu, chip, "Ascend910") for npu in range(8) for chip in range(2)]


def show(npu_smi: StandInNpuSmi, cards: Sequence[Card]) -> None:
    npu_smi.show(hbm_table(cards), mapping(cards))


def addresses(found: Device) -> tuple[ChipAddress, ...]:
    sensor = found.sensors(1.0)[0]
    assert isinstance(sensor, NpuSensor)
    return sensor.addresses


def test_without_a_wish_the_first_chip_is_taken(npu_smi: StandInNpuSmi) -> None:
    show(npu_smi, EIGHT)
    found = find(DeviceRequest())
    assert (found.kind, found.torch_device, found.chips, found.environment()[VISIBLE]) == ("ascend", "npu", (0,), "0")
    assert (found.product, found.total_memory_mib, found.supports_bf16) == ("Ascend 910B3", 65536, True)
    assert found.environment() == {"ASCEND_RT_VISIBLE_DEVICES": "0"}
    assert [sensor.name for sensor in found.sensors(1.0)] == ["npu-smi", "psutil"]
    assert [call.arguments for call in npu_smi.calls()] == [["info"], ["info", "-m"]]


def test_chips_are_given_ascending_which_is_the_one_order_that_the_runtime_takes(npu_smi: StandInNpuSmi) -> None:
    show(npu_smi, EIGHT)
    found = find(DeviceRequest(chips=[7, 0, 3, 0]))
    assert (found.chips, found.environment()[VISIBLE], found.total_memory_mib) == ((0, 3, 7), "0,3,7", 3 * 65536)
    assert addresses(found) == (ChipAddress(0, 0, 0), ChipAddress(3, 3, 0), ChipAddress(7, 7, 0))


def test_logic_ids_are_those_of_the_mapping_and_not_the_order_of_the_table(npu_smi: StandInNpuSmi) -> None:
    show(npu_smi, [Card(npu, logic=7 - npu) for npu in range(8)])
    assert addresses(find(DeviceRequest(chips=[0, 1]))) == (ChipAddress(0, 7, 0), ChipAddress(1, 6, 0))


def test_a_chip_of_an_a3_is_a_die(npu_smi: StandInNpuSmi) -> None:
    npu_smi.show(a3_table(A3), mapping(A3, phy_ids=True))
    found = find(DeviceRequest(chips=range(16)))
    assert found.environment()[VISIBLE] == "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"
    assert addresses(found)[3] == ChipAddress(3, 1, 1)
    assert (found.product, found.total_memory_mib) == ("Ascend910", 16 * 65536)


def test_a_310p_has_large_npu_ids_and_its_logic_ids_in_the_table(npu_smi: StandInNpuSmi) -> None:
    cards = [Card(npu, chip, "310P3", 0, 0, 1400, 44278, "NA") for npu in (24, 32768) for chip in range(2)]
    npu_smi.show(ddr_table(cards))
    found = find(DeviceRequest(chips=[1, 2]))
    assert (addresses(found), found.environment()[VISIBLE]) == (
        (ChipAddress(1, 24, 1), ChipAddress(2, 32768, 0)),
        "1,2",
    )
    assert (found.product, found.total_memory_mib, found.supports_bf16) == ("Ascend 310P3", 2 * 44278, False)


@pytest.mark.parametrize("logic", [0, 6])
def test_in_a_container_with_npu_6_alone_it_is_chip_0(npu_smi: StandInNpuSmi, logic: int) -> None:
    show(npu_smi, [Card(6, logic=logic)])
    found = find(DeviceRequest())
    assert (found.chips, found.environment()[VISIBLE], addresses(found)) == ((0,), "0", (ChipAddress(0, 6, 0),))


def test_a_driver_without_the_mapping_is_taken_by_the_order_of_its_table(npu_smi: StandInNpuSmi) -> None:
    npu_smi.show(hbm_table([Card(12), Card(13)]))
    assert addresses(find(DeviceRequest(chips=[1]))) == (ChipAddress(1, 13, 0),)


def test_within_what_a_scheduler_left_visible_chips_count_from_0(
    npu_smi: StandInNpuSmi, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(npu_smi, EIGHT)
    monkeypatch.setenv(VISIBLE, "5,2")
    found = find(DeviceRequest(chips=[0, 1]))
    assert (found.chips, found.environment()[VISIBLE]) == ((0, 1), "2,5")
    assert addresses(found) == (ChipAddress(0, 2, 0), ChipAddress(1, 5, 0))
    with pytest.raises(DeviceError, match=r"device.chips=\[2\]: the chips visible here are 0 \(910B3\), 1 \(910B3\);"):
        find(DeviceRequest(chips=[2]))


@pytest.mark.parametrize(
    ("listed", "ids"),
    [
        (None, [0, 1, 2, 3]),
        ("3,1", [1, 3]),
        ("1, 2,3", [1]),
        (" 1", []),
        ("0,4,1", [0]),
        ("0,-1,1", [0]),
        ("2,2,1", [1, 2]),
        ("", []),
        ("0,,1", [0]),
        ("\N{ARABIC-INDIC DIGIT ONE}", []),
        ("9" * 5000, []),
    ],
)
def test_the_list_of_a_scheduler_is_read_as_the_runtime_reads_it(listed: str | None, ids: list[int]) -> None:
    assert visible_ids(listed, 4) == ids


def test_a_scheduler_that_left_no_chip_is_told_of_with_the_fix(
    npu_smi: StandInNpuSmi, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(npu_smi, EIGHT)
    monkeypatch.setenv(VISIBLE, "8")
    with pytest.raises(DeviceError, match=rf"{VISIBLE}=8 leaves none of 8 NPUs visible; unset it, or .*0 to 7"):
        find(DeviceRequest())


@pytest.mark.parametrize("chips", [[8], [-1], [0, 99], []])
def test_chips_that_are_not_here_are_refused_with_those_that_are(npu_smi: StandInNpuSmi, chips: list[int]) -> None:
    show(npu_smi, EIGHT[:2])
    with pytest.raises(
        DeviceError, match=re.escape(f"device.chips={chips}: the chips visible here are 0 (910B3), 1 (")
    ):
        find(DeviceRequest(chips=chips))


def test_without_npu_smi_there_is_no_npu(npu_smi: StandInNpuSmi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(npu_smi.bin))
    npu_smi.vanish()
    with pytest.raises(AbsentError, match=r"device.name=ascend: there is no npu-smi here; install .*, or mount"):
        find(DeviceRequest())


@pytest.mark.parametrize("name", ["ascend", "auto"])
def test_a_broken_driver_is_refused_with_cause_and_fix_and_no_processor_is_taken_instead(
    npu_smi: StandInNpuSmi, name: str
) -> None:
    npu_smi.show("dcmi module initialize failed. ret is -8005\n")
    with pytest.raises(
        DeviceError, match=r"-8005: .*upgraded without a reboot.*; reboot after.*harness doctor"
    ) as caught:
        choose(name, DeviceRequest())
    assert not isinstance(caught.value, AbsentError)
    show(npu_smi, EIGHT)
    assert choose(name, DeviceRequest()).kind == "ascend", "what failed is asked again"


def test_a_table_with_a_chip_that_cannot_be_read_is_refused_for_the_ids_of_the_others_would_be_wrong(
    npu_smi: StandInNpuSmi,
) -> None:
    npu_smi.show(hbm_table([Card(npu, used=3300 + npu) for npu in range(8)]).replace("3302/", "33##/"), mapping(EIGHT))
    with pytest.raises(DeviceError, match=r"does not show NPU 2 chip 0 \(.*910B3"):
        find(DeviceRequest(chips=[3]))


def test_chips_are_not_looked_for_while_another_run_asks_the_driver(
    npu_smi: StandInNpuSmi, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(npu_smi, EIGHT)
    monkeypatch.setattr(device, "_PATIENCE_SECONDS", 0.1)
    with (
        SharedDriver(NpuSmiQuery(), 1.0).alone(1.0),
        pytest.raises(DeviceError, match=r"another call .* has not ended yet"),
    ):
        find(DeviceRequest())
    assert npu_smi.calls() == []
    assert find(DeviceRequest()).chips == (0,)
    assert [call.holds_lock for call in npu_smi.calls()] == [True, True], "should it hang, no other run asks"


def test_chips_are_looked_for_once_however_many_runs_a_process_does(npu_smi: StandInNpuSmi) -> None:
    show(npu_smi, EIGHT)
    assert addresses(find(DeviceRequest(chips=[1]))) != addresses(find(DeviceRequest(chips=[2])))
    assert len(npu_smi.calls()) == 2


def test_whether_a_product_computes_in_bf16(npu_smi: StandInNpuSmi) -> None:
    without = ["310", "310P3", "310B4", "910A", "910ProA", "910ProB", "910PremiumA"]
    having = ["910B1", "910B2C", "910B3", "910B4", "910B4-1", "Ascend910", "Ascend950PR"]
    unknown = ["920", "NA"]
    show(npu_smi, [Card(npu, name=name) for npu, name in enumerate([*without, *having, *unknown])])
    told = [find(DeviceRequest(chips=[npu])).supports_bf16 for npu in range(len(without) + len(having) + len(unknown))]
    assert told == [False] * len(without) + [True] * len(having) + [None] * len(unknown)


def test_a_card_of_the_first_generation_that_calls_itself_910b_is_known_by_its_memory(npu_smi: StandInNpuSmi) -> None:
    first = Card(0, name="910B", used=0, total=32768, ddr_used=1979, ddr_total=15039)
    show(npu_smi, [first, Card(1, name="910B"), Card(2, name="910B4", total=32768)])
    assert [find(DeviceRequest(chips=[npu])).supports_bf16 for npu in range(3)] == [False, True, True]


@pytest.mark.parametrize(("names", "supported"), [(["910B3", "910A"], False), (["910B3", "920"], None)])
def test_chips_of_several_products_compute_in_bf16_if_all_do(
    npu_smi: StandInNpuSmi, names: list[str], supported: bool | None
) -> None:
    show(npu_smi, [Card(npu, name=name) for npu, name in enumerate(names)])
    found = find(DeviceRequest(chips=[0, 1]))
    assert found.supports_bf16 is supported
    assert found.product == f"Ascend {min(names)} + Ascend {max(names)}"


def test_memory_that_one_chip_does_not_tell_is_no_smaller_sum(npu_smi: StandInNpuSmi) -> None:
    text = hbm_table(EIGHT[:2]).replace("3300/ 65536", "NA  / NA   ", 1)
    npu_smi.show(text, mapping(EIGHT[:2]))
    assert find(DeviceRequest(chips=[1])).total_memory_mib == 65536
    assert find(DeviceRequest(chips=[0, 1])).total_memory_mib is None


def test_a_stand_in_trains_on_the_processor(npu_smi: StandInNpuSmi) -> None:
    show(npu_smi, EIGHT)
    found = find(DeviceRequest(chips=[3], stand_in="npu-smi"))
    assert (found.kind, found.torch_device, found.stand_in) == ("ascend", "cpu", "npu-smi")
    assert found.environment() == {"ASCEND_RT_VISIBLE_DEVICES": "3", "CUDA_VISIBLE_DEVICES": ""}


def test_the_library_is_asked_where_that_is_wished(npu_smi: StandInNpuSmi) -> None:
    show(npu_smi, EIGHT)
    assert [sensor.name for sensor in find(DeviceRequest(sensor="dcmi")).sensors(1.0)] == ["dcmi", "psutil"]
    with pytest.raises(DeviceError, match=r"device.sensor=nvml: unknown; use one of auto, npu-smi, dcmi"):
        find(DeviceRequest(sensor="nvml"))


def test_a_folder_that_cannot_be_shared_is_named(npu_smi: StandInNpuSmi, tmp_path: Path) -> None:
    show(npu_smi, EIGHT)
    SharedDriver(NpuSmiQuery(), 1.0).read()
    (folder,) = tmp_path.glob("harness-npu-*")
    folder.rename(tmp_path / "elsewhere")
    folder.touch()
    with pytest.raises(DeviceError, match=rf"{folder}: File exists; set TMPDIR"):
        find(DeviceRequest())


def test_runs_that_start_together_ask_once_what_is_here(npu_smi: StandInNpuSmi) -> None:
    show(npu_smi, EIGHT)
    for _ in range(8):
        device._chips.cache_clear()  # As in another process.
        find(DeviceRequest())
    assert [call.arguments for call in npu_smi.calls()] == [["info"], ["info", "-m"]]


def test_what_another_npu_smi_said_is_not_taken_for_this_one(npu_smi: StandInNpuSmi, tmp_path: Path) -> None:
    show(npu_smi, EIGHT)
    find(DeviceRequest(chips=[7]))
    device._chips.cache_clear()
    other = StandInNpuSmi(tmp_path / "other")
    show(other, EIGHT[:2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", other.environment()["PATH"])
        with pytest.raises(DeviceError, match=r"device.chips=\[7\]"):
            find(DeviceRequest(chips=[7]))
