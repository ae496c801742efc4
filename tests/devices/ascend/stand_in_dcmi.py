"""A libdcmi.so for machines without NPUs."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.devices.ascend.tables import Card, Held

_SOURCE = Path(__file__).with_name("libdcmi.c")
UNSUPPORTED = -8255
MIB = 2**20


def compile_library(folder: Path, *options: str) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler for the library that stands in for the driver's")
    library = folder / "libdcmi.so"
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", *options, "-o", str(library), str(_SOURCE)]
    subprocess.run(command, check=True)
    return library


class StandInDcmi:
    """One copy of the library, with chips of its own."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.path = str(shutil.copy(library, folder / "libdcmi.so"))
        self._library = ctypes.CDLL(self.path)

    def show(self, cards: Sequence[Card], held: Sequence[Held] = ()) -> None:
        """What the tables of npu-smi would show of these."""
        library = self._library
        for position, card in enumerate(cards):
            place = card.npu, card.chip
            logic = position if card.logic is None else card.logic
            try:
                deciwatts = round(float(card.power) * 10)
            except ValueError:
                deciwatts = -1
            library.stand_in_chip(*place, logic, card.name.encode(), deciwatts, card.celsius, card.percent)
            memory = (card.used, card.total, card.ddr_total - card.ddr_used, card.ddr_total)
            library.stand_in_memory(*place, *map(ctypes.c_ulonglong, memory))
        for process in held:
            size = ctypes.c_ulong(process.mib * MIB)
            library.stand_in_process(process.npu, process.chip, process.pid, size)

    def refuse(self, function: str, code: int) -> None:
        """0: answer again."""
        self._library.stand_in_refuse(function.encode(), code)

    @property
    def inits(self) -> int:
        return ctypes.c_int.in_dll(self._library, "stand_in_inits").value
