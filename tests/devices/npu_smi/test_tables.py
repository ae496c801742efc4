from __future__ import annotations

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.devices.npu_smi import NpuChip, NpuProcess, NpuReading, parse_info, parse_mapping, read_info
from tests.devices.npu_smi.tables import Kind, Layout, render, render_mapping
from tests.devices.stand_ins import unhurried

KINDS: tuple[Kind, ...] = ("hbm", "a3", "device", "card")
NPU_IDS = st.one_of(st.integers(0, 15), st.sampled_from([24, 215, 2944, 32768]), st.integers(0, 999_999))
CHIP_NAMES = st.sampled_from(["310", "910B4-1", "Ascend950PR"]) | st.from_regex(
    r"[A-Za-z0-9][A-Za-z0-9-]{0,11}( [a-z]{1,4})?", fullmatch=True
).filter(lambda name: name != "NA")
PROCESS_NAMES = (
    st.text("abcXYZ019_.:-/ []%", min_size=1, max_size=15).map(str.strip).filter(lambda name: name not in {"", "-"})
)
MEBIBYTES = st.integers(0, 999_999).map(float)


@st.composite
def layouts(draw: st.DrawFn, kind: Kind) -> Layout:
    """Any that a driver might print, and some that none does."""
    return Layout(
        kind=kind,
        version=draw(st.sampled_from(["20.2.0", "23.0.rc3.3", "24.1.rc1.b030", "26.1.0"])),
        hugepages=draw(st.sampled_from(["Hugepages-Usage(page)", "Hugepages", ""])),
        absent=draw(st.sampled_from(["NA", "-", ""])),
        memory_in_ddr=kind != "device" and draw(st.booleans()),
        ddr=draw(st.sampled_from([(0, 0), (2382, 15038), (15038, 15038)])),
        wider=draw(st.integers(0, 12)),
        process_table=draw(st.booleans()),
        container_column=draw(st.booleans()),
        remark=draw(st.booleans()),
    )


@st.composite
def chips(draw: st.DrawFn, layout: Layout) -> list[NpuReading]:
    dies = {"hbm": 1, "card": 1, "a3": 2, "device": draw(st.integers(1, 4))}[layout.kind]
    npu_ids = draw(st.lists(NPU_IDS, min_size=1, max_size=4, unique=True))
    return [
        draw(readings(layout, npu_id, die, die + position * dies))
        for position, npu_id in enumerate(npu_ids)
        for die in range(dies)
    ]


@st.composite
def readings(draw: st.DrawFn, layout: Layout, npu_id: int, die: int, number: int) -> NpuReading:
    total = draw(st.none() | st.integers(1, 999_999).map(float))
    used = draw(MEBIBYTES) if total is not None else None
    if layout.absent and draw(st.booleans()):
        used = None
    return NpuReading(
        npu_id=npu_id,
        chip_id=None if layout.kind == "card" else die,
        phy_id=number if layout.kind == "a3" else None,
        logic_id=number if layout.kind == "device" else None,
        name=draw(st.none() | CHIP_NAMES),
        health=draw(st.sampled_from(["OK", "Warning", "Alarm", "Critical", "UNKNOWN", None])),
        power_watts=draw(st.none() | st.integers(0, 9999).map(lambda tenths: tenths / 10)),
        temperature_celsius=draw(st.none() | st.integers(-40, 125).map(float)),
        utilization_percent=draw(st.none() | st.integers(0, 100).map(float)),
        memory_used_mib=used,
        memory_total_mib=total,
        processes=draw(st.lists(processes(layout), max_size=7, unique_by=pid_of)) if layout.process_table else [],
        processes_listed=layout.process_table,
    )


@st.composite
def processes(draw: st.DrawFn, layout: Layout) -> NpuProcess:
    return NpuProcess(
        pid=draw(st.none() | st.integers(1, 4_194_304)),
        name=draw(st.none() | PROCESS_NAMES),
        memory_mib=draw(st.none() | MEBIBYTES),
        pid_in_container=draw(st.none() | st.integers(1, 4_194_304)) if layout.container_column else None,
    )


def pid_of(process: NpuProcess) -> int | None:
    return process.pid


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(unhurried, max_examples=60)
def test_what_a_table_shows_is_what_is_read(kind: Kind, data: st.DataObject) -> None:
    layout = data.draw(layouts(kind))
    shown = data.draw(chips(layout))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_info(render(shown, layout)) == shown


def one(**values: object) -> NpuReading:
    plain = {
        "npu_id": 0,
        "chip_id": 0,
        "name": "910B3",
        "health": "OK",
        "power_watts": 93.5,
        "temperature_celsius": 41.0,
        "utilization_percent": 7.0,
        "memory_used_mib": 52675.0,
        "memory_total_mib": 65536.0,
    }
    return NpuReading.model_validate(plain | values)


def test_a_rendered_table_looks_as_the_drivers_own() -> None:
    """Of the shape of a 910B on driver 24."""
    lines = render([one()], Layout(process_table=False)).splitlines()
    assert lines[0] == "+" + "-" * 96 + "+"
    assert lines[5:] == [
        "+===========================+===============+====================================================+",
        "| 0     910B3               | OK            | 93.5        41                0    / 0             |",
        "| 0                         | 0000:00:00.0  | 7           0    / 0          52675/ 65536         |",
        "+===========================+===============+====================================================+",
    ]


def test_a_card_without_hbm_shows_its_ddr() -> None:
    shown = one(memory_used_mib=2382.0, memory_total_mib=15038.0)
    (read,) = parse_info(render([shown], Layout(memory_in_ddr=True)))
    assert (read.memory_used_mib, read.memory_total_mib) == (2382, 15038)


def test_ddr_does_not_stand_in_for_hbm_that_is_not_told() -> None:
    shown = one(memory_used_mib=None, memory_total_mib=None)
    (read,) = parse_info(render([shown], Layout(ddr=(2382, 15038))))
    assert (read.memory_used_mib, read.memory_total_mib) == (None, None)


def test_ddr_does_not_stand_in_for_a_column_with_a_new_name() -> None:
    text = render([one()], Layout(ddr=(2382, 15038))).replace("HBM-Usage(MB)", "HBN-Usage(MB)")
    table = read_info(text)
    assert [(read.memory_used_mib, read.memory_total_mib) for read in table.readings] == [(None, None)]
    assert table.problems == ["a column that this version does not know: 'HBN-Usage(MB)'"]


def test_an_npu_that_the_process_table_leaves_out_may_have_processes() -> None:
    """In a container only its own NPU is listed."""
    listed = [NpuProcess(pid=4711, name="python", memory_mib=49000)]
    shown = [one(npu_id=2, processes=listed, processes_listed=True), one(npu_id=3)]
    assert parse_info(render(shown)) == shown


def test_eight_processes_may_be_the_first_of_more() -> None:
    listed = [NpuProcess(pid=pid, name="python", memory_mib=600) for pid in range(100, 108)]
    (read,) = parse_info(render([one(processes=listed, processes_listed=True)]))
    assert read.processes == listed
    assert not read.processes_listed


def test_a_process_that_stands_twice_is_not_counted_twice() -> None:
    listed = [NpuProcess(pid=pid, name="python", memory_mib=600) for pid in (100, 101, 101)]
    table = read_info(render([one(processes=listed, processes_listed=True)]))
    assert [process.pid for process in table.readings[0].processes] == [100]
    assert not table.readings[0].processes_listed
    assert table.problems


def test_a_chip_that_stands_twice_is_not_read() -> None:
    table = read_info(render([one(npu_id=4), one(npu_id=5), one(npu_id=4)]))
    assert [reading.npu_id for reading in table.readings] == [5]
    assert table.problems


def test_a_remark_below_the_table_is_not_a_part_that_could_not_be_read() -> None:
    text = render([one()], Layout(process_table=False, remark=True))
    assert "[WARNING]" in text
    assert read_info(text).problems == []


@st.composite
def mapped(draw: st.DrawFn, kind: Kind) -> list[NpuChip]:
    npu_ids = draw(st.lists(NPU_IDS, min_size=1, max_size=4, unique=True))
    dies = 1 if kind == "card" else draw(st.integers(1, 4))
    return [
        NpuChip(
            npu_id=npu_id,
            chip_id=die,
            logic_id=None if kind == "card" else position * dies + die,
            phy_id=draw(st.integers(0, 63)) if kind in {"a3", "card"} else None,
            name=draw(st.sampled_from(["Ascend 910B", "Ascend910", "MiniD", "310"])),
        )
        for position, npu_id in enumerate(npu_ids)
        for die in range(dies)
    ]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@unhurried
def test_what_a_mapping_shows_is_what_is_read(kind: Kind, data: st.DataObject) -> None:
    shown = data.draw(mapped(kind))
    besides = [] if kind == "card" else data.draw(st.sampled_from([[], ["Mcu"], ["Mcu", "3559"]]))
    assert parse_mapping(render_mapping(shown, kind, besides, data.draw(st.sampled_from(["", "\t", "    "])))) == shown
