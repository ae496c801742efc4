"""The ports that a training over several chips and the dashboard listen on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psutil

from harness.base.ports import refusal
from harness.doctor.finding import Finding, ok, warning
from harness.doctor.machine import Machine

_TORCHRUN = 29500


def ports(machine: Machine) -> Iterator[Finding]:
    """Look whether the ports that a run or the dashboard would listen on are free."""
    named = machine.environment.get("MASTER_PORT", "")
    training = int(named) if named.isdecimal() else _TORCHRUN
    uses = {
        training: ("torchrun, for a run over several chips", "MASTER_PORT={free} before the command"),
        machine.dashboard_port: ("harness watch", "harness watch --port {free}"),
    }
    taken = {port: use for port, use in uses.items() if refusal(port)}
    for port, (use, instead) in taken.items():
        free = next((other for other in range(port + 1, 65536) if not refusal(other)), port)
        yield warning(
            "ports",
            f"{port} ({use}) is taken{_by_whom(port)}",
            f"end that process, or {instead.format(free=free)}",
        )
    if not taken:
        yield ok("ports", " and ".join(f"{port} ({use})" for port, (use, _) in uses.items()) + " are free")


def _by_whom(port: int) -> str:
    # Of other users' processes the system tells nothing.
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
