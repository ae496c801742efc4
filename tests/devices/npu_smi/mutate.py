"""Inputs that no driver prints, and what holds of a reading whatever it was read from.

Pure Python's `random`, not hypothesis: `benchmarks/fuzz_npu_smi.py` makes a million of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise
from random import Random

from harness.devices.npu_smi import NpuReading, parse_error, parse_mapping, read_info
from tests.devices.npu_smi.examples import EXAMPLES
from tests.devices.npu_smi.tables import render, render_mapping

WORDS = [
    "NA",
    "-",
    "N/A",
    "0",
    "7",
    "65536",
    "1e9",
    "0x1f",
    "-5",
    "+3",
    "3.",
    ".5",
    "nan",
    "inf",
    "1_000",
    "٣",
    "\uff14",
]
WORDS += ["9" * 30, "/", "|", "||", "+==+", "+--+", "\n", "\r", "\t", "\x00", "\u2028", "\ufffd", "é", " " * 12]
WORDS += ["Health", "NPU", "Chip", "Device", "Phy-ID", "Process id", "HBM-Usage(MB)", "npu-smi", "[WARNING]", "..."]
WORDS += ["No running processes found in NPU 0", "ret is -8005", "NPU ID  Chip ID  Chip Logic ID  Chip Name\n"]
ALPHABET = "|||+--==//  \n\n0123456789.NAPUChipHlt()%é\u2028"


def an_input(seed: int) -> str:
    """The same text for the same seed, always."""
    random = Random(seed)
    if random.random() < 0.05:
        return "".join(random.choices(ALPHABET, k=random.randrange(300)))
    text = random.choice(_originals())
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        text = random.choice(_MUTATIONS)(random, text)
    return text


@cache
def _originals() -> tuple[str, ...]:
    chips = parse_mapping("NPU ID  Chip ID  Chip Logic ID  Chip Name\n12  0  3  Ascend 910B\n13  0  4  Ascend 910B\n")
    return (*(render(*example) for example in EXAMPLES.values()), render_mapping(chips, besides=["Mcu"]))


def _cut(random: Random, text: str) -> str:
    return text[: random.randint(0, len(text))]


def _insert(random: Random, text: str) -> str:
    place = random.randint(0, len(text))
    return text[:place] + random.choice(WORDS) + text[place:]


def _overwrite(random: Random, text: str) -> str:
    place, word = random.randint(0, len(text)), random.choice(WORDS)
    return text[:place] + word + text[place + len(word) :]


def _delete(random: Random, text: str) -> str:
    place = random.randint(0, len(text))
    return text[:place] + text[place + random.choice((1, 1, 5, 40, 200)) :]


def _swap_number(random: Random, text: str) -> str:
    numbers = list(re.finditer(r"[0-9.]+", text))
    if not numbers:
        return text
    match = random.choice(numbers)
    return text[: match.start()] + random.choice(WORDS) + text[match.end() :]


def _blank(random: Random, text: str) -> str:
    place, length = random.randint(0, len(text)), random.choice((1, 4, 12, 50))
    return text[:place] + re.sub(r"[^\n]", " ", text[place : place + length]) + text[place + length :]


def _move_line(random: Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    if not lines:
        return text
    line = random.choice(lines) if random.random() < 0.5 else lines.pop(random.randrange(len(lines)))
    lines.insert(random.randint(0, len(lines)), line)
    return "".join(lines)


def _drop_line(random: Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    del lines[random.randint(0, len(lines)) :][:1]
    return "".join(lines)


def _mix(random: Random, text: str) -> str:
    queues = [text.splitlines(keepends=True), random.choice(_originals()).splitlines(keepends=True)]
    queues[1] = queues[1][random.randint(0, len(queues[1])) :]
    lines = []
    while queues[0] and queues[1]:
        lines.append(random.choice(queues).pop(0))
    return "".join([*lines, *queues[0], *queues[1]])


def _join(random: Random, text: str) -> str:
    other = random.choice(_originals())
    return text[: random.randint(0, len(text))] + other[random.randint(0, len(other)) :]


_MUTATIONS: tuple[Callable[[Random, str], str], ...] = (
    _cut,
    _insert,
    _overwrite,
    _delete,
    _swap_number,
    _blank,
    _move_line,
    _drop_line,
    _mix,
    _join,
)


def violations(text: str) -> tuple[int, list[str]]:
    """How many readings a text has, and what is wrong with them."""
    try:
        table = read_info(text)
        chips = parse_mapping(text)
        error = parse_error(text)
    except Exception as failure:
        return 0, [f"{type(failure).__name__}: {failure}"]
    found = [problem for reading in table.readings for problem in _of_reading(reading, text)]
    if not table.problems and (left := _left_out(text, table.readings)):
        found.append(f"{left} rows left out without a word")
    places = [(reading.npu_id, reading.chip_id) for reading in table.readings]
    if len(set(places)) < len(places):
        found.append("a chip twice")
    for chip in chips:
        if not any(_holds(line, (chip.npu_id, chip.chip_id, chip.logic_id, chip.phy_id)) for line in text.split("\n")):
            found.append(f"no line has what is said of {chip}")
    if error is not None and error.message not in text:
        found.append(f"no line says {error.message!r}")
    return len(table.readings), found


def _left_out(text: str, readings: Iterable[NpuReading]) -> int:
    """How many rows are neither a chip's nor a process's nor what every table has."""
    rows = iter(line for line in _lines(text) if not re.fullmatch(r"\+[-=+]+\+", line))
    others = 0
    for row in rows:
        if re.match(r"\|\s*NPU.*\|\s*Health\s*\|", row):
            next(rows, None)
        elif not re.match(r"\|\s*(npu-smi|NPU|No running processes found in NPU [0-9]+\s)", row):
            others += 1
    return others - sum(2 + len(reading.processes) for reading in readings)


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line not in {"", "..."} and not re.fullmatch(r"\[WARNING\][^|]*", line)]


def _of_reading(reading: NpuReading, text: str) -> Iterable[str]:
    """A chip is told in two rows, one below the other, and a process in one."""
    rows = _lines(text)
    upper = (reading.npu_id, reading.power_watts, reading.temperature_celsius)
    used, total = reading.memory_used_mib, reading.memory_total_mib
    lower = (reading.chip_id, reading.phy_id, reading.logic_id, reading.utilization_percent, used, total)
    words = [word for word in (reading.name, reading.health) if word]
    if not any(
        _holds(one, upper) and all(word in one for word in words) and _holds(two, lower) for one, two in pairwise(rows)
    ):
        yield f"no two rows have what is said of {reading}"
    pids = [process.pid for process in reading.processes if process.pid is not None]
    if len(set(pids)) < len(pids):
        yield f"a process twice: {reading}"
    for process in reading.processes:
        told = (reading.npu_id, reading.chip_id, process.pid, process.memory_mib, process.pid_in_container)
        if not any(_holds(row, told) and (process.name or "") in row for row in rows):
            yield f"no row has what is said of {process} on {reading}"


def _holds(line: str, numbers: Iterable[float | None]) -> bool:
    """Whether each number stands in a line of its own, with nothing else in the same word."""
    wanted = [number for number in numbers if number is not None]
    return set(wanted) <= _numbers(line)


def _numbers(line: str) -> set[float]:
    words = re.split(r"[\s|/]+", line)
    return {float(word) for word in words if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", word)}
