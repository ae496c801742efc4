"""The table of `npu-smi info -m`: which chip has which number."""

from __future__ import annotations

import re
from dataclasses import dataclass

_IDS = ("NPU ID", "Slot ID", "Chip ID", "Chip Logic ID", "Chip Phy-ID")


@dataclass(frozen=True)
class NpuChip:
    """One line of `npu-smi info -m`."""

    npu_id: int
    chip_id: int
    logic_id: int | None
    """As torch and ASCEND_RT_VISIBLE_DEVICES count. None: a 950's table has no such column."""
    phy_id: int | None
    """As /dev/davinciN counts. None: most tables have no such column."""
    name: str


def parse_mapping(text: str) -> list[NpuChip]:
    """The chips in the output of `npu-smi info -m`; a card's MCU and CPU, which have no logic id, are left out.

    Lines that are no whole row are left out. Never raises."""
    columns: list[str] = []
    chips = []
    for line in text.split("\n"):
        if line.split()[:2] == ["NPU", "ID"]:
            columns = [name for name in re.split(r"\s{2,}", line.strip()) if name]
            continue
        cells = line.split(maxsplit=max(0, len(columns) - 1))
        if len(cells) != len(columns) or not columns or not (line.isascii() and line.strip().isprintable()):
            continue
        row = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
        ids = {name: row.get(name, "-") for name in _IDS}
        numbers = {name: int(value) for name, value in ids.items() if re.fullmatch("[0-9]{1,9}", value, re.ASCII)}
        unread = [value for name, value in ids.items() if name not in numbers and value not in {"-", "NA"}]
        # An MCU and a CPU ("3559") stand in the table as chips do, with `-` for this number.
        number = "Chip Logic ID" if "Chip Logic ID" in columns else "Chip Phy-ID"
        if unread or not {"NPU ID", "Chip ID", number} <= set(numbers) or "Chip Name" not in row:
            continue
        chips.append(
            NpuChip(
                npu_id=numbers["NPU ID"],
                chip_id=numbers["Chip ID"],
                logic_id=numbers.get("Chip Logic ID"),
                phy_id=numbers.get("Chip Phy-ID"),
                name=row["Chip Name"],
            )
        )
    return chips
