"""Where nodes meet: node 0 says which run of the sweep it trains, and the others join that one or none.

Each node goes through the sweep by itself. One that is late, or whose records are not node 0's, would train its next
run together with another of node 0's, and nothing would fail: adapters of LoRA and of QLoRA have the same shapes.
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from harness import in_child
from harness.beacon import BUSY
from harness.launch import PASSED_OVER

if TYPE_CHECKING:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

_KEY = "harness/run"
_ANSWER_SECONDS = 10
_BUSY_SECONDS = 0.5
"""A store says nothing before it is asked."""


def announce(address: str, port: int, run: str) -> TCPStore:
    """Say that `run`, NUMBER:NAME, is trained, in the store that torchrun opens in this process at `port`.

    What is returned is to be kept as long as others may ask."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore(address, port, is_master=True, wait_for_workers=False, multi_tenant=True)
    store.set(_KEY, run)
    return store


def meet(address: str, port: int, run: str, seconds: float) -> bool:
    """Wait until node 0 trains `run`. False: it is past it.

    Raises TimeoutError after `seconds` without an answer, and ValueError where node 0's run is another one."""
    number, _, name = run.partition(":")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        announced = _announced(address, port)
        if announced is not None:
            deadline = time.monotonic() + seconds
        if announced:
            theirs, _, trained = announced.partition(":")
            if int(theirs) > int(number):
                return False
            if int(theirs) == int(number):
                if trained != name:
                    raise ValueError(
                        f"launch.node_rank: node 0 trains {trained}, this node would train {name} (sweep, arm, seed, "
                        "hash of the rows); give both the same command and the same files"
                    )
                return True
        time.sleep(0.5)
    raise TimeoutError(
        f"launch.master_addr={address}: node 0 does not answer at port {port} within {seconds:g} s; start it there "
        "with launch.node_rank=0, and see that the port is not filtered"
    )


def _announced(address: str, port: int) -> str | None:
    """What node 0 trains; empty: it is there, and nothing trains; None: it does not answer."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    try:
        with socket.create_connection((address, port), _ANSWER_SECONDS) as connection, suppress(TimeoutError):
            connection.settimeout(_BUSY_SECONDS)
            if connection.recv(len(BUSY)) == BUSY:
                return ""
        wait = timedelta(seconds=_ANSWER_SECONDS)
        return str(TCPStore(address, port, is_master=False, wait_for_workers=False, timeout=wait).get(_KEY), "ascii")
    except (OSError, RuntimeError):  # Nobody listens, or not yet, or no more.
        return None


def main(address: str, port: str, run: str, seconds: str) -> None:
    in_child.die_with_parent()
    try:
        if not meet(address, int(port), run, float(seconds)):
            sys.exit(PASSED_OVER)
    except (TimeoutError, ValueError) as error:
        print(error)
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
