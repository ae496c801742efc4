"""The pages of files that are part of a process's resident memory, and that a fork does not inherit."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PRESENT, _OF_FILE = 1 << 63, 1 << 61
"""Bits of an entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst of Linux)."""


def touched_of_files() -> list[tuple[int, int]]:
    """Return the pages of files, libraries above all, that this process has touched: their address and their number.

    Raises OSError where Linux does not tell."""
    found = []
    with Path("/proc/self/pagemap").open("rb", buffering=0) as pagemap:
        for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            span, permissions, _, _, inode = line.split()[:5]
            if inode == "0" or permissions[0] != "r":
                continue
            start, end = (int(address, 16) for address in span.split("-"))
            entries = np.frombuffer(
                os.pread(pagemap.fileno(), 8 * (end - start) // _PAGE_BYTES, 8 * start // _PAGE_BYTES), np.uint64
            )
            touched = np.flatnonzero((entries & _PRESENT != 0) & (entries & _OF_FILE != 0))
            runs = np.split(touched, np.flatnonzero(np.diff(touched) > 1) + 1)
            found += [(start + int(run[0]) * _PAGE_BYTES, len(run)) for run in runs if len(run)]
    return found


def touch(pages: list[tuple[int, int]]) -> None:
    """Read a byte of each page. A fork does not inherit those of files, and would seem to be smaller than it is."""
    for address, number in pages:
        mapped = memoryview((ctypes.c_char * (number * _PAGE_BYTES)).from_address(address)).cast("B")
        np.frombuffer(mapped, np.uint8)[::_PAGE_BYTES].max()
