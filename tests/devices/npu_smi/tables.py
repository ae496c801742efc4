"""`npu-smi info` and `npu-smi info -m` as a driver would print them, for chips that a test makes up.

The spacing follows the `printf` formats of npu-smi (hicann/driver). Needs nothing but the standard library and the
harness's own types, so that an npu-smi of a test can be made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from harness.devices.npu_smi import NpuChip, NpuProcess, NpuReading

Kind = Literal["hbm", "a3", "device", "card"]
"""910 and 910B; two dies a card, with Phy-ID; 310, 310P and 310B, with Device; 950, without chips."""
REMARK = (
    "[WARNING]The driver package may not be completely installed, "
    "which may cause function abnormal. Please reinstall it."
)


@dataclass(frozen=True)
class Layout:
    kind: Kind = "hbm"
    version: str = "24.1.0"
    hugepages: str = "Hugepages-Usage(page)"
    """The column's name; empty where a driver has none (20 and 21)."""
    absent: str = "NA"
    """What stands where there is no value: `NA`, `-` or nothing."""
    memory_in_ddr: bool = False
    """Of a card with an HBM column: that it has none, and shows what it has as DDR."""
    ddr: tuple[int, int] = (0, 0)
    """Used and total DDR of a card that has HBM, as first-generation 910s have both."""
    wider: int = 0
    """Spaces more in each column, as from driver 26 on."""
    process_table: bool = True
    container_column: bool = False
    remark: bool = False
    """A line of npu-smi's own below the table."""

    @property
    def _id_width(self) -> int:
        return 7 if self.kind == "device" else 5

    @property
    def _starts(self) -> tuple[int, int, int]:
        """Where the three columns of the last cell begin."""
        first = 13 if self.kind == "device" else 12
        return 0, first + self.wider, first + 18 + 2 * self.wider

    @property
    def _widths(self) -> list[int]:
        widths = {"device": [29, 15, 52], "card": [6, 16, 13, 51]}.get(self.kind, [25, 13, 50])
        return [*widths[:-1], widths[-1] + 3 * self.wider]

    @property
    def _process_widths(self) -> list[int]:
        total = sum(self._widths) + 3 * (len(self._widths) - 1)
        widths = [25, 13, 18, 21] if self.container_column else [25, 13, 24]
        return [*widths, total - sum(widths) - 3 * len(widths)]


def render(readings: Sequence[NpuReading], layout: Layout | None = None) -> str:
    """The output of `npu-smi info`. Chips of one NPU stand next to each other."""
    layout = layout or Layout()
    widths = layout._widths
    lines = [_rule([sum(widths) + 3 * (len(widths) - 1)], "-")]
    lines += [_row([sum(widths) + 3 * (len(widths) - 1)], [f"npu-smi {layout.version:<24} Version: {layout.version}"])]
    lines += [_rule(widths, "-"), *_header(layout), _rule(widths, "=")]
    for _, dies in groupby(readings, key=lambda reading: reading.npu_id):
        lines += _card(list(dies), layout)
    if layout.process_table:
        lines += _process_table(readings, layout)
    if layout.remark:
        lines.append(REMARK)
    return "".join(f"{line}\n" for line in lines)


def render_mapping(
    chips: Sequence[NpuChip], kind: Kind = "hbm", besides: Sequence[str] = (), indent: str = "\t"
) -> str:
    """The output of `npu-smi info -m`. `besides`: what a card has that is no chip, such as `Mcu`."""
    columns = {
        "a3": ["NPU ID", "Chip ID", "Chip Logic ID", "Chip Phy-ID", "Chip Name"],
        "card": ["NPU ID", "Slot ID", "Chip ID", "Chip Phy-ID", "Chip Name"],
    }.get(kind, ["NPU ID", "Chip ID", "Chip Logic ID", "Chip Name"])
    rows = [columns]
    for npu_id, on_card in groupby(chips, key=lambda chip: chip.npu_id):
        together = list(on_card)
        for chip in together:
            numbers = {"NPU ID": npu_id, "Slot ID": npu_id, "Chip ID": chip.chip_id}
            numbers |= {"Chip Logic ID": chip.logic_id, "Chip Phy-ID": chip.phy_id}
            rows.append([*(_number(numbers[column], "-") for column in columns[:-1]), chip.name])
        for number, name in enumerate(besides, len(together)):
            rows.append([str(npu_id), str(number), *["-"] * (len(columns) - 3), name])
    return "".join(f"{indent}{' '.join(f'{cell:<30}' for cell in row)}\n" for row in rows)


def _header(layout: Layout) -> list[str]:
    util = "NPU Util(%)" if layout.kind == "card" else "AICore(%)"
    upper = _place(layout, ["Power(W)", "Temp(C)", layout.hugepages])
    lower = _place(layout, [util, "Memory-Usage(MB)", "" if layout.kind == "device" else "HBM-Usage(MB)"])
    if layout.kind == "card":
        return [
            _row(layout._widths, ["NPU ID", "Name", "Health", upper]),
            _row(layout._widths, ["", "", "Bus-Id", lower]),
        ]
    second = {"a3": "Phy-ID", "device": "Device"}.get(layout.kind, "")
    width = layout._id_width
    return [
        _row(layout._widths, [f"{'NPU':<{width}} Name", "Health", upper]),
        _row(layout._widths, [f"{'Chip':<{width}} {second}", "Bus-Id", lower]),
    ]


def _card(dies: list[NpuReading], layout: Layout) -> list[str]:
    widths = layout._widths
    between = _rule(widths if layout.kind == "device" else [sum(widths) + 3 * (len(widths) - 1)], "-")
    lines: list[str] = []
    for die in dies:
        lines += [between] if lines else []
        lines += _chip(die, layout)
    return [*lines, _rule(widths, "=")]


def _chip(reading: NpuReading, layout: Layout) -> list[str]:
    absent, width = layout.absent, layout._id_width
    name, health = reading.name or absent, reading.health or absent
    memory = _pair(reading.memory_used_mib, reading.memory_total_mib, layout)
    if layout.kind == "device":
        memories = [memory, ""]
    elif layout.memory_in_ddr:
        memories = [memory, _pair(0, 0, layout)]
    else:
        memories = [_pair(*layout.ddr, layout), memory]
    power = absent if reading.power_watts is None else f"{reading.power_watts:.1f}"
    hugepages = _pair(0, 0, layout) if layout.hugepages else ""
    upper = _place(layout, [power, _number(reading.temperature_celsius, absent), hugepages])
    lower = _place(layout, [_number(reading.utilization_percent, absent), *memories])
    bus = "NA" if layout.kind == "device" else f"0000:{reading.npu_id % 256:02X}:00.0"
    if layout.kind == "card":
        return [
            _row(layout._widths, [str(reading.npu_id), name, health, upper]),
            _row(layout._widths, ["", "", bus, lower]),
        ]
    second = {"a3": reading.phy_id, "device": reading.logic_id}.get(layout.kind)
    ids = f"{reading.chip_id:<{width}}" + ("" if layout.kind == "hbm" else f" {_number(second, absent)}")
    return [
        _row(layout._widths, [f"{reading.npu_id:<{width}} {name}", health, upper]),
        _row(layout._widths, [ids, bus, lower]),
    ]


def _process_table(readings: Sequence[NpuReading], layout: Layout) -> list[str]:
    widths, rule = layout._process_widths, _rule(layout._widths, "=")
    names = ["NPU ID" if layout.kind == "card" else "NPU     Chip", "Process id", "Process name", "Process memory(MB)"]
    names += ["Process id in container"] if layout.container_column else []
    lines = [_rule(layout._widths, "-"), _row(widths, names), rule]
    for npu_id, dies in groupby(readings, key=lambda reading: reading.npu_id):
        listed = [die for die in dies if die.processes_listed]
        rows = [_row(widths, _process(die, process, layout)) for die in listed for process in die.processes]
        notice = f"No running processes found in NPU {npu_id:<7}"
        rows = rows or [_row([sum(widths) + 3 * (len(widths) - 1)], [notice])]
        lines += [*rows, rule] if listed else []
    return lines


def _process(reading: NpuReading, process: NpuProcess, layout: Layout) -> list[str]:
    place = str(reading.npu_id) if layout.kind == "card" else f"{reading.npu_id:<7} {reading.chip_id}"
    numbers = [process.pid, process.memory_mib, process.pid_in_container]
    pid, memory, inside = (_number(number, layout.absent) for number in numbers)
    return [place, pid, process.name or layout.absent, memory, *([inside] if layout.container_column else [])]


def _pair(used: float | None, total: float | None, layout: Layout) -> str:
    if used is None and total is None and not layout.absent:
        return ""
    # With five digits the space before the stroke is gone: `52675/ 65536`.
    return f"{_number(used, 'NA'):<{6 if layout.kind == 'card' else 5}}/ {_number(total, 'NA')}"


def _number(value: float | None, absent: str) -> str:
    if value is None:
        return absent
    return str(int(value)) if value == int(value) else str(value)


def _place(layout: Layout, texts: list[str]) -> str:
    line = ""
    for text, start in zip(texts, layout._starts, strict=True):
        line = f"{line:<{start}}"
        line += text if not line or line.endswith(" ") else f" {text}"
    return line.rstrip()


def _row(widths: list[int], cells: list[str]) -> str:
    # The header of older drivers leaves no space before the last `|`.
    return "|" + "|".join(f" {cell:<{width + 1}}" for cell, width in zip(cells, widths, strict=True)) + "|"


def _rule(widths: list[int], line: str) -> str:
    return "+" + "+".join(line * (width + 2) for width in widths) + "+"
