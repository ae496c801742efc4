"""Waits for processes that are not this one's children, and that nobody may reap."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil


def is_dead(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


def wait_until_dead(process: psutil.Process, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_dead(process):
        assert time.monotonic() < deadline, f"{process} lives on"
        time.sleep(0.02)


def wait_until_gone(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        wait_until_dead(psutil.Process(pid))
