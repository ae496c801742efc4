"""What is cut off, garbled or mixed is left out and told; what is read was there."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.devices.npu_smi import (
    IncompleteTableWarning,
    NpuProcess,
    NpuReading,
    parse_error,
    parse_info,
    parse_mapping,
    read_info,
)
from tests.devices.npu_smi.examples import EXAMPLES
from tests.devices.npu_smi.tables import Kind, Layout, render, render_mapping
from tests.devices.npu_smi.test_tables import KINDS, mapped
from tests.devices.stand_ins import unhurried

every_layout = pytest.mark.parametrize(("shown", "layout"), EXAMPLES.values(), ids=EXAMPLES.keys())
HEADER_LINES = 6
GARBAGE = [
    "é",
    "昇",
    "\x00",
    "\x1b[31m",
    "\ufffd",
    "٣",
    "\uff14",
    "²",
    "\u2028",
    "\u200b",
    "\u00a0",
    "\udcff",
    "\r",
    "\x0c",
]
OWN = {"processes", "processes_listed"}


def missing(shown: list[NpuReading], text: str, *, processes_whole: bool = True) -> list[NpuReading]:
    """The chips that were not read from `text`; what was read is compared with what was shown.

    A value may be None in place of a shown one only with a warning. `processes_whole`: the damage is none that takes
    rows out of the process table without a trace."""
    table = read_info(text)
    left = {(reading.npu_id, reading.chip_id): reading for reading in shown}
    for read in table.readings:
        original = left.pop((read.npu_id, read.chip_id))
        values = read.model_dump(exclude=OWN)
        expected = original.model_dump(exclude=OWN)
        unknown = {field for field, value in values.items() if value is None and expected[field] is not None}
        assert not unknown or table.problems
        assert {field: expected[field] for field in values.keys() - unknown} == {
            field: values[field] for field in values.keys() - unknown
        }
        assert all(stood(process, original.processes) for process in read.processes)
        if read.processes_listed and processes_whole:
            assert len(read.processes) == len(original.processes)
    return list(left.values())


def stood(process: NpuProcess, shown: list[NpuProcess]) -> bool:
    """A process's name is its own choice: one with other letters is a name too."""
    if process.name is None or process.name.isascii():
        return process in shown
    return process.pid in {one.pid for one in shown}


def told(text: str) -> bool:
    return bool(read_info(text).problems)


@every_layout
def test_a_cut_table_loses_the_chip_it_is_cut_in_and_says_so(shown: list[NpuReading], layout: Layout) -> None:
    text = render(shown, layout)
    lines = text.splitlines(keepends=True)
    starts = [sum(map(len, lines[: HEADER_LINES + 3 * number])) for number in range(len(shown) + 1)]
    for end in range(len(text)):
        cut = text[:end]
        lost = missing(shown, cut)
        begun = [reading for reading, start in zip(shown, starts, strict=False) if start < end]
        whole = [reading for reading, start in zip(shown, starts[1:], strict=True) if start <= end]
        assert not [reading for reading in whole if reading in lost]
        if [reading for reading in begun if reading in lost]:
            assert told(cut)


@every_layout
def test_a_cut_process_table_does_not_pass_for_a_whole_one(shown: list[NpuReading], layout: Layout) -> None:
    text = render(shown, layout)
    lines = text.splitlines(keepends=True)
    start = sum(map(len, lines[: HEADER_LINES + 3 * len(shown) + 3]))
    for end in range(start, len(text)):
        table = read_info(text[:end])
        assert [reading.npu_id for reading in table.readings] == [reading.npu_id for reading in shown]
        for read, original in zip(table.readings, shown, strict=True):
            assert read.processes == original.processes or not read.processes_listed
        if not text[:end].endswith(("=+\n", "=+")) and "[WARNING]" not in text[:end]:
            assert table.problems


@every_layout
def test_a_table_without_one_of_its_lines_has_no_chip_that_was_not_there(
    shown: list[NpuReading], layout: Layout
) -> None:
    lines = render(shown, layout).splitlines(keepends=True)
    for number in range(len(lines)):
        text = "".join(lines[:number] + lines[number + 1 :])
        if missing(shown, text, processes_whole=False):
            assert told(text)
        if lines[number].startswith("+"):
            lists = [reading.processes for reading in read_info(text).readings]
            assert lists == [reading.processes for reading in shown] or told(text)


@every_layout
def test_a_table_with_a_line_twice_has_no_chip_and_no_process_twice(shown: list[NpuReading], layout: Layout) -> None:
    lines = render(shown, layout).splitlines(keepends=True)
    for number in range(len(lines)):
        for place in range(number, len(lines)):
            text = "".join([*lines[:place], lines[number], *lines[place:]])
            if missing(shown, text):
                assert told(text)


@every_layout
def test_a_blank_cell_is_none_and_no_other_cell_takes_its_place(shown: list[NpuReading], layout: Layout) -> None:
    text = render(shown, layout)
    for match in [*re.finditer(r"[^|+\n]+", text), *re.finditer(r"[^|+\s]+", text)]:
        start, end = match.span()
        table = read_info(text[:start] + " " * (end - start) + text[end:])
        assert len(table.readings) == len(shown) or table.problems
        originals = {(reading.npu_id, reading.chip_id): reading.model_dump(exclude=OWN) for reading in shown}
        for read in table.readings:
            for field, value in originals[read.npu_id, read.chip_id].items():
                blanked = table.problems or _as_text(value) in match.group()
                assert getattr(read, field) == value or (getattr(read, field) is None and blanked)


def _as_text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@every_layout
@given(data=st.data())
@unhurried
def test_garbage_in_a_table_takes_values_away_and_changes_none(
    shown: list[NpuReading], layout: Layout, data: st.DataObject
) -> None:
    text = render(shown, layout)
    for start in data.draw(st.lists(st.integers(0, len(text)), min_size=1, max_size=3)):
        end = start + data.draw(st.integers(0, 4))
        text = text[:start] + data.draw(st.sampled_from(GARBAGE)) + text[end:]
    if missing(shown, text, processes_whole=False):
        assert told(text)


@every_layout
@given(data=st.data())
@unhurried
def test_broken_bytes_in_a_table_take_values_away_and_change_none(
    shown: list[NpuReading], layout: Layout, data: st.DataObject
) -> None:
    output = bytearray(render(shown, layout).encode())
    for place in data.draw(st.lists(st.integers(0, len(output) - 1), min_size=1, max_size=3)):
        output[place] |= 0x80
    text = output.decode(errors="replace")
    if missing(shown, text, processes_whole=False):
        assert told(text)


@pytest.mark.parametrize("other", EXAMPLES)
@pytest.mark.parametrize("name", EXAMPLES)
@given(turns=st.lists(st.booleans(), min_size=20, max_size=60))
@example(turns=[True, False] * 30)
@settings(unhurried, max_examples=10)
def test_of_two_mixed_tables_no_chip_is_half_the_one_and_half_the_other(
    name: str, other: str, turns: list[bool]
) -> None:
    queues = [render(*EXAMPLES[one]).splitlines() for one in (name, other)]
    mixed = [queues[turn].pop(0) for turn in turns if queues[turn]] + queues[0] + queues[1]
    table = read_info("\n".join(mixed))
    candidates = [*EXAMPLES[name][0], *EXAMPLES[other][0]]
    assert all(reading in candidates for reading in table.readings)
    assert table.problems


def test_two_outputs_one_after_the_other_are_not_one_node() -> None:
    texts = [render(*EXAMPLES[name]) for name in ("hbm", "card")]
    assert read_info("".join(texts)).readings == []


@every_layout
def test_each_thing_left_out_is_warned_of(shown: list[NpuReading], layout: Layout) -> None:
    text = render(shown, layout).replace("Warning", "|")
    with pytest.warns(IncompleteTableWarning) as caught:
        readings = parse_info(text)
    warned = [str(warning.message) for warning in caught]
    lost = [reading for reading in shown if reading.health == "Warning"]
    assert len(shown) - len(readings) == len(lost)
    assert sum("not the two whole rows" in message for message in warned) == len(lost)
    assert sum("processes of NPU" in message for message in warned) == sum(bool(one.processes) for one in lost)


@pytest.mark.parametrize(
    "text", ["", "\n", "|", "||", "+-+", "| |", "+", "\x00", "|npu-smi|", "| NPU | Health |\n| |\n"]
)
def test_scraps_of_a_table_hold_no_chip(text: str) -> None:
    assert read_info(text).readings == []


@given(text=st.text() | st.text("|+-=/ \n019NAPU.MB%()", max_size=200))
@example("| NPU | Process id | Process name |\n+-+\n| 0 | 1 | a |\n+-+")
@example("| NPU Chip | Process id | Process name | Process memory(MX) |\n+-+\n| 0 0 | 1 | a | 5 |\n+-+")
@unhurried
def test_no_text_makes_a_parser_fail(text: str) -> None:
    read_info(text)
    parse_mapping(text)
    parse_error(text)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@unhurried
def test_a_damaged_mapping_gives_no_chip_a_number_that_it_has_not(kind: Kind, data: st.DataObject) -> None:
    shown = data.draw(mapped(kind))
    text = render_mapping(shown, kind, [] if kind == "card" else ["Mcu", "3559"])
    known = {(chip.npu_id, chip.chip_id): (chip.logic_id, chip.phy_id) for chip in shown}
    end = data.draw(st.integers(0, len(text)))
    place = data.draw(st.integers(0, len(text)))
    lines = text.splitlines(keepends=True)
    dropped = data.draw(st.integers(0, len(lines) - 1))
    for damaged in (
        text[:end],
        text[:place] + data.draw(st.sampled_from(GARBAGE)) + text[place:],
        "".join(lines[:dropped] + lines[dropped + 1 :]),
    ):
        for chip in parse_mapping(damaged):
            logic_id, phy_id = known[chip.npu_id, chip.chip_id]
            assert chip.logic_id in {None, logic_id}
            assert chip.phy_id in {None, phy_id}


@pytest.mark.parametrize(
    "text",
    [
        "ret is -",
        "ret is 8005",
        "ret is -80²5",
        "ret is -12345678901",
        "dcmi module initialize failed",
        "NPU",
        "\udcff",
    ],
)
def test_half_an_error_is_not_taken_for_another(text: str) -> None:
    found = parse_error(text)
    assert found is None or (found.code is None and found.message == text)


def test_an_unknown_number_is_its_own_cause() -> None:
    found = parse_error("some words\ndcmi get something failed. ret is -8255.\n")
    assert found is not None
    assert (found.code, found.message) == (-8255, "dcmi get something failed. ret is -8255.")
    assert "-8255" in found.cause
