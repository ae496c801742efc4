"""The table of `npu-smi info`, in the four layouts that drivers from 20.2 to 26 print.

HBM cards (910, 910B), A3 (two dies a card, `Phy-ID`), 310 and 310P and 310B (`Device`, no HBM), 950 (`NPU ID`, no
chips). Widths, ids and the process table differ between drivers of one layout, so nothing is cut by column: cells are
what stands between two `|`, and a chip is the two rows between two rules.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.devices.npu_smi.reading import NpuProcess, NpuReading

_ABSENT = {"", "NA", "N/A", "-"}
_COLUMN = re.compile(r"NPU Util\(%\)|\S+")
_VALUE = re.compile(r"(?P<used>[^\s/]+)\s*/\s*(?P<total>[^\s/]+)|(?P<scalar>[^\s/]+)")
_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_ID = re.compile(r"[0-9]{1,9}", re.ASCII)
_ID_AND_NAME = re.compile(r" ?([0-9]{1,9})(?:\s+(.*?))?\s*", re.ASCII)
"""The id stands at the cell's edge. What stands further right is a name, and `310` is one."""
_UPPER = {"Power(W)", "Temp(C)", "Hugepages-Usage(page)", "Hugepages"}
_LOWER = {"AICore(%)", "NPU Util(%)", "Memory-Usage(MB)", "HBM-Usage(MB)"}
_PROCESS = {"Process id", "Process name", "Process memory(MB)"}
_MOST_PROCESSES = 8
"""npu-smi shows no more for a chip and does not say so: MAX_CHIP_PROCESS_NUM in its source (hicann/driver)."""
_NO_PROCESSES = re.compile(r"No running processes found in NPU ([0-9]{1,9})", re.ASCII)
_REMARK = re.compile(r"\[WARNING\][^|]*")
"""Below the table, where the driver's installation is in doubt."""


class IncompleteTableWarning(UserWarning):
    """A part of npu-smi's output could not be read; its message says which."""


@dataclass(frozen=True)
class InfoTable:
    """What `npu-smi info` shows, as far as it can be read."""

    readings: list[NpuReading]
    problems: list[str]
    """What is there and could not be read, one sentence each."""


def parse_info(text: str) -> list[NpuReading]:
    """The chips that the output of `npu-smi info` shows whole, in its order.

    Never raises: what is garbled, cut off or mixed with another output is left out, with an IncompleteTableWarning."""
    table = read_info(text)
    for problem in table.problems:
        warnings.warn(problem, IncompleteTableWarning, stacklevel=2)
    return table.readings


def read_info(text: str) -> InfoTable:
    """parse_info, with its warnings as data: for threads, where Python's warnings are not safe to catch."""
    reader = _Reader()
    for block in _blocks(text):
        reader.take(block)
    return reader.finish()


@dataclass
class _Block:
    """The rows between two rules."""

    rows: list[list[str]] = field(default_factory=list)
    """Cells with their spaces: a value stands below its column's name."""
    broken: list[str] = field(default_factory=list)
    """Lines that are no whole row."""
    closed: bool = False
    """A rule follows."""


def _blocks(text: str) -> Iterator[_Block]:
    block = _Block()
    for line in text.splitlines():
        stripped = line.strip()
        if re.fullmatch(r"\+[-=+]+\+", stripped):
            block.closed = True
            yield block
            block = _Block()
        elif len(stripped) > 1 and stripped.startswith("|") and stripped.endswith("|"):
            block.rows.append(stripped[1:-1].split("|"))
        elif stripped and stripped != "..." and not _REMARK.fullmatch(stripped):
            block.broken.append(stripped)
    yield block


@dataclass(frozen=True)
class _Columns:
    """The names in a header's last cell, with the offsets at which they stand."""

    names: list[str]
    offsets: list[int]

    @classmethod
    def of(cls, cell: str) -> _Columns:
        found = list(_COLUMN.finditer(cell))
        return cls([match.group() for match in found], [match.start() for match in found])

    def values(self, cell: str) -> dict[str, tuple[str, ...]]:
        """Each column's text; one that is blank is left out. Raises ValueError where it is unclear whose a value is."""
        if re.sub(_VALUE, "", cell).strip():
            raise ValueError
        found = list(_VALUE.finditer(cell))
        texts = [(m["scalar"],) if m["scalar"] is not None else (m["used"], m["total"]) for m in found]
        if [len(text) for text in texts] == [_width(name) for name in self.names]:
            return dict(zip(self.names, texts, strict=True))
        # Something is blank. A value that stands exactly below a name of its kind is that column's.
        if len(found) > len(self.names):
            raise ValueError
        names = dict(zip(self.offsets, self.names, strict=True))
        values: dict[str, tuple[str, ...]] = {}
        for match, text in zip(found, texts, strict=True):
            name = names.get(match.start())
            if name is None or _width(name) != len(text):
                raise ValueError
            values[name] = text
        return values


def _width(name: str) -> int:
    return 2 if "Usage" in name or name.startswith("Hugepages") else 1


class _Reader:
    def __init__(self) -> None:
        self._readings: list[NpuReading] = []
        self._problems: list[str] = []
        self._first: _Columns | None = None
        self._second: _Columns | None = None
        self._unknown_below: bool = False
        """Whether the second line of the header has a column whose name says nothing to us."""
        self._second_id: str | None = None
        """What the second number of a chip's second row is: phy_id, logic_id or nothing."""
        self._cells: list[int] = []
        """How many cells a chip's rows have."""
        self._process_columns: list[str] | None = None
        self._processes: list[tuple[int, int | None, NpuProcess]] = []
        self._idle: set[int] = set()
        self._process_table_whole = True
        self._beginnings = {"version": 0, "header": 0}

    def take(self, block: _Block) -> None:
        versions = [row[0].strip().startswith("npu-smi") for row in block.rows]
        rows = block.rows[1:] if versions[:1] == [True] else block.rows
        self._beginnings["version"] += sum(versions)
        self._beginnings["header"] += sum(map(_is_heading, rows))
        for line in block.broken:
            self._problems.append(f"not a row of the table: {line[:80]!r}")
        if not rows:
            return
        if not block.closed:
            self._problems.append("the output ends inside its table")
        if self._is_header(rows):
            return
        if all(len(row) == 1 for row in rows):
            self._take_notices(rows)
        elif self._process_columns is not None:
            self._take_processes(rows, whole=block.closed and not block.broken)
        else:
            self._take_chip(rows, whole=not block.broken)

    def finish(self) -> InfoTable:
        if max(self._beginnings.values()) > 1:
            # The two rows of a chip may be from two of them, and nothing in a row tells.
            return InfoTable([], [*self._problems, "several outputs of npu-smi in one: none of them is used"])
        counts = Counter((reading.npu_id, reading.chip_id) for reading in self._readings)
        twice = {key for key, count in counts.items() if count > 1}
        for npu_id, chip_id in sorted(twice, key=str):
            self._problems.append(f"NPU {npu_id} chip {chip_id} stands there more than once: none of them is used")
        readings = [reading for reading in self._readings if (reading.npu_id, reading.chip_id) not in twice]
        for reading in readings:
            self._add_processes(reading)
        shown = {(reading.npu_id, reading.chip_id) for reading in readings}
        for npu_id, chip_id in dict.fromkeys((npu_id, chip_id) for npu_id, chip_id, _ in self._processes):
            if (npu_id, chip_id) not in shown:
                self._problems.append(f"processes of NPU {npu_id} chip {chip_id}, which cannot be read")
        return InfoTable(readings, self._problems)

    def _add_processes(self, reading: NpuReading) -> None:
        place = reading.npu_id, reading.chip_id
        found = [process for npu_id, chip_id, process in self._processes if (npu_id, chip_id) == place]
        counts = Counter(process.pid for process in found if process.pid is not None)
        twice = {pid for pid, count in counts.items() if count > 1}
        for pid in sorted(twice):
            self._problems.append(f"process {pid} stands there more than once: none of them is used")
        listed = {npu_id for npu_id, _, _ in self._processes} | self._idle
        whole = self._process_table_whole and not twice and len(found) != _MOST_PROCESSES
        reading.processes = [process for process in found if process.pid not in twice]
        reading.processes_listed = whole and reading.npu_id in listed

    def _is_header(self, rows: list[list[str]]) -> bool:
        names = [" ".join(cell.split()) for cell in rows[0]]
        if names[0].startswith("NPU") and set(names) >= _PROCESS and len(rows) == 1:
            self._process_columns = names
            self._tell_unknown(names[1:], _PROCESS | {"Process id in container"})
            return True
        if not _is_heading(rows[0]) or len(rows) != 2 or len(rows[1]) != len(rows[0]):
            return False
        self._process_columns = None
        self._cells = [len(rows[0]), len(rows[1])]
        self._first, self._second = _Columns.of(rows[0][-1]), _Columns.of(rows[1][-1])
        self._tell_unknown(self._first.names, _UPPER)
        self._unknown_below = self._tell_unknown(self._second.names, _LOWER)
        second = rows[1][0].split()
        self._second_id = {"Device": "logic_id", "Phy-ID": "phy_id"}.get(second[1]) if len(second) > 1 else None
        return True

    def _tell_unknown(self, names: list[str], known: set[str]) -> bool:
        unknown = [name for name in names if name not in known]
        for name in unknown:
            self._problems.append(f"a column that this version does not know: {name[:80]!r}")
        return bool(unknown)

    def _take_notices(self, rows: list[list[str]]) -> None:
        for row in rows:
            found = _NO_PROCESSES.fullmatch(row[0].strip())
            if found:
                self._idle.add(int(found[1]))
            else:
                self._process_table_whole = False
                self._problems.append(f"not a row of the table: {row[0].strip()[:80]!r}")

    def _take_chip(self, rows: list[list[str]], whole: bool) -> None:
        shown = " / ".join("|".join(row).strip()[:60] for row in rows[:2])
        if self._first is None or self._second is None:
            self._problems.append(f"a row without a header above it: {shown!r}")
            return
        if not whole or [len(row) for row in rows] != self._cells or not all(map(_is_plain, rows)):
            self._problems.append(f"not the two whole rows that a chip has: {shown!r}")
            return
        try:
            self._readings.append(self._chip(rows[0], rows[1], self._first, self._second))
        except ValueError:
            self._problems.append(f"a chip whose values cannot be told apart: {shown!r}")

    def _chip(self, first: list[str], second: list[str], upper: _Columns, lower: _Columns) -> NpuReading:
        numbers: dict[str, int | None]
        if len(first) == 4:
            npu_id, name, health = _id(first[0]), first[1].strip(), first[2].strip()
            if second[0].strip() or second[1].strip():
                raise ValueError
            numbers = {}
        else:
            place = _ID_AND_NAME.fullmatch(first[0])
            if place is None:
                raise ValueError
            npu_id, name, health = int(place[1]), place[2] or "", first[1].strip()
            numbers = self._chip_ids(second[0])
        above, below = upper.values(first[-1]), lower.values(second[-1])
        used, total = _memory(below, lower.names, self._unknown_below)
        utilization = below.get("AICore(%)") or below.get("NPU Util(%)") or ("",)
        return NpuReading(
            npu_id=npu_id,
            chip_id=numbers.get("chip_id"),
            phy_id=numbers.get("phy_id"),
            logic_id=numbers.get("logic_id"),
            name=None if name in _ABSENT else name,
            health=None if health in _ABSENT else health,
            power_watts=_number(above.get("Power(W)", ("",))[0]),
            temperature_celsius=_number(above.get("Temp(C)", ("",))[0]),
            utilization_percent=_number(utilization[0]),
            memory_used_mib=used,
            memory_total_mib=total,
        )

    def _chip_ids(self, cell: str) -> dict[str, int | None]:
        words = cell.split()
        if len(words) != (1 if self._second_id is None else 2):
            raise ValueError
        numbers: dict[str, int | None] = {"chip_id": _id(words[0])}
        if self._second_id is not None:
            numbers[self._second_id] = None if words[1] in _ABSENT else _id(words[1])
        return numbers

    def _take_processes(self, rows: list[list[str]], whole: bool) -> None:
        assert self._process_columns is not None
        self._process_table_whole &= whole
        for row in rows:
            if len(row) == 1:
                self._take_notices([row])
                continue
            try:
                self._processes.append(_process(row, self._process_columns))
            except ValueError:
                self._process_table_whole = False
                self._problems.append(f"a process that cannot be read: {'|'.join(row).strip()[:80]!r}")


def _process(row: list[str], columns: list[str]) -> tuple[int, int | None, NpuProcess]:
    """NPU id, chip id (None where the table has none) and the process."""
    if len(row) != len(columns) or not all(cell.isprintable() for cell in row):
        raise ValueError
    cells = dict(zip(columns, (cell.strip() for cell in row), strict=True))
    place = row[0].split()
    if len(place) != len(columns[0].replace("NPU ID", "NPU").split()):
        raise ValueError
    name = cells["Process name"]
    pid, inside = cells["Process id"], cells.get("Process id in container", "")
    return (
        _id(place[0]),
        _id(place[1]) if len(place) > 1 else None,
        NpuProcess(
            pid=None if pid in _ABSENT else _id(pid),
            name=None if name in _ABSENT else name,
            memory_mib=_number(cells["Process memory(MB)"]),
            pid_in_container=None if inside in _ABSENT else _id(inside),
        ),
    )


def _memory(values: dict[str, tuple[str, ...]], names: list[str], unknown: bool) -> tuple[float | None, float | None]:
    """Used and total. `unknown`: one of the columns may be the HBM's, so that DDR must not pass for it."""
    hbm, ddr = (
        tuple(_number(text) for text in values.get(name, ("", ""))) for name in ("HBM-Usage(MB)", "Memory-Usage(MB)")
    )
    if "HBM-Usage(MB)" in names and hbm[1] != 0:
        used, total = hbm
    else:
        used, total = (None, None) if unknown else ddr
    return used, total


def _is_heading(row: list[str]) -> bool:
    """The first line of the chips' header."""
    return row[0].strip().startswith("NPU") and any(cell.strip() == "Health" for cell in row)


def _is_plain(row: list[str]) -> bool:
    """npu-smi writes nothing else there: a name that is not plain was damaged."""
    return all(cell.isascii() and cell.isprintable() for cell in row)


def _number(text: str) -> float | None:
    if text in _ABSENT:
        return None
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)


def _id(text: str) -> int:
    stripped = text.strip()
    if not _ID.fullmatch(stripped):
        raise ValueError(text)
    return int(stripped)
