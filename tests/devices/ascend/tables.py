"""What npu-smi would print for invented cards, in three layouts. The parsers' own tests know them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """One chip, in the words of the table."""

    npu: int
    chip: int = 0
    name: str = "910B3"
    used: int = 3300
    total: int = 65536
    ddr_used: int = 0
    ddr_total: int = 0
    power: str = "95.5"
    celsius: int = 41
    percent: int = 0
    logic: int | None = None
    """For the tables that print it; None: its position."""


@dataclass(frozen=True)
class Held:
    """A row of the process table."""

    npu: int
    pid: int
    mib: int
    chip: int = 0
    inside: str | None = None
    """Of drivers from 26 on: the pid in the container."""


def hbm_table(cards: Sequence[Card], held: Sequence[Held] | None = ()) -> str:
    """910 and 910B. `held` None: a driver without a process table."""
    return _table("Chip", "   Memory-Usage(MB)  HBM-Usage(MB)", cards, [str(card.chip) for card in cards], held)


def a3_table(cards: Sequence[Card], held: Sequence[Held] | None = ()) -> str:
    """Two dies a card; the second prints `-` for its power."""
    ids = [f"{card.chip}     {_logic(position, card)}" for position, card in enumerate(cards)]
    return _table("Chip  Phy-ID", "   Memory-Usage(MB)  HBM-Usage(MB)", cards, ids, held)


def ddr_table(cards: Sequence[Card], held: Sequence[Held] | None = ()) -> str:
    """310P: no HBM, and the logic id in the table."""
    ids = [f"{card.chip}       {_logic(position, card)}" for position, card in enumerate(cards)]
    return _table("Chip    Device", "   Memory-Usage(MB)", cards, ids, held)


def mapping(cards: Sequence[Card], phy_ids: bool = False) -> str:
    """`npu-smi info -m`, an MCU after each card."""
    names = ["NPU ID", "Chip ID", "Chip Logic ID", *(["Chip Phy-ID"] if phy_ids else []), "Chip Name"]
    rows = [names]
    for position, card in enumerate(cards):
        logic = str(_logic(position, card))
        rows.append([str(card.npu), str(card.chip), logic, *([logic] if phy_ids else []), f"Ascend {card.name}"])
        if position + 1 == len(cards) or cards[position + 1].npu != card.npu:
            rows.append([str(card.npu), str(card.chip + 1), "-", *(["-"] if phy_ids else []), "Mcu"])
    return "".join("".join(f"{cell:<31}" for cell in row).rstrip() + "\n" for row in rows)


def _logic(position: int, card: Card) -> int:
    return position if card.logic is None else card.logic


def _table(
    ids_name: str, memory_names: str, cards: Sequence[Card], ids: Sequence[str], held: Sequence[Held] | None
) -> str:
    rule, double = "+" + "-" * 100 + "+", "+" + "=" * 100 + "+"
    lines = [rule, f"|{' npu-smi 25.2.0   Version: 25.2.0':<100}|", rule]
    lines += [_row("NPU   Name", "Health", "Power(W)    Temp(C)           Hugepages-Usage(page)")]
    lines += [_row(ids_name, "Bus-Id", "AICore(%)" + memory_names), double]
    for card, its_ids in zip(cards, ids, strict=True):
        ddr, hbm = f"{card.ddr_used} / {card.ddr_total}", f"{card.used}/ {card.total}"
        memory = f"{ddr}          {hbm}" if "HBM" in memory_names else ddr
        lines.append(_row(f"{card.npu}     {card.name}", "OK", f"{card.power}       {card.celsius}    0    / 0"))
        lines.append(_row(its_ids, "0000:C1:00.0", f"{card.percent}           {memory}"))
        lines.append(double)
    if held is not None:
        lines += _processes(cards, held)
    return "\n".join(lines) + "\n"


def _processes(cards: Sequence[Card], held: Sequence[Held]) -> list[str]:
    rule, double = "+" + "-" * 100 + "+", "+" + "=" * 100 + "+"
    inside = any(process.inside is not None for process in held)
    names = ["NPU     Chip", "Process id", "Process name", "Process memory(MB)"]
    lines = [rule, _row(*names, *(["Process id in container"] if inside else [])), double]
    for npu in dict.fromkeys(card.npu for card in cards):
        mine = [process for process in held if process.npu == npu]
        if not mine:
            lines.append(f"|{f' No running processes found in NPU {npu}':<100}|")
        for process in mine:
            cells = [f"{process.npu}       {process.chip}", str(process.pid), "python", str(process.mib)]
            lines.append(_row(*cells, *([process.inside or "NA"] if inside else [])))
        lines.append(double)
    return lines


def _row(*cells: str) -> str:
    return "|" + "|".join(f" {cell:<24} " for cell in cells) + "|"
