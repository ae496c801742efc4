"""Waits for processes that are not this one's children and that nobody may reap, and looks at those that are killed."""

from __future__ import annotations

import os
import time
from contextlib import suppress

import psutil
import pytest


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


def killed_leaders(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of each process group that is killed from now on, how its leader is then; it must not have been reaped."""
    leaders: list[str] = []
    killpg = os.killpg

    def kill(group: int, number: int) -> None:
        leaders.append(psutil.Process(group).status())
        killpg(group, number)

    monkeypatch.setattr(os, "killpg", kill)
    return leaders
