"""Where nodes meet: node 0 says which run of the sweep it trains, and the others join that one or none.

Each node goes through the sweep by itself. One that is late, or whose records are not node 0's, would train its next
run together with another of node 0's, and nothing would fail: adapters of LoRA and of QLoRA have the same shapes.
"""

from __future__ import annotations

import socket
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from harness.launch import beacon
from harness.launch.nodes import PASSED_OVER
from harness.workers import lifecycle as in_child

if TYPE_CHECKING:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

_KEY = "harness/run"
_ANSWER_SECONDS = 10


class OtherRunError(Exception):
    """The nodes were given different things to do; the message says which."""


def announce(address: str, port: int, run: str) -> TCPStore:
    """Say that `run`, NUMBER:NAME, is trained, in the store that torchrun opens in this process at `port`.

    What is returned is to be kept as long as others may ask."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore(address, port, is_master=True, wait_for_workers=False, multi_tenant=True)
    store.set(_KEY, run)
    return store


def meet(address: str, port: int, run: str, seconds: float) -> int:
    """Wait until node 0 trains `run` or is past it; returns the number that it is at.

    Raises TimeoutError after `seconds` without a sign of life, OtherRunError where node 0's run of this number is
    another one, and socket.gaierror where `address` is none."""
    number, _, name = run.partition(":")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        told = _told(address, port)
        if told is not None:
            deadline = time.monotonic() + seconds
            at, trained = told
            if at > int(number):
                return at
            if at == int(number) and trained is not None:
                if trained != name:
                    raise OtherRunError(
                        f"launch.node_rank: node 0 trains {trained}, this node would train {name} (sweep, arm, seed, "
                        "hash of settings and rows); give both the same command and the same files"
                    )
                return at
        time.sleep(0.5)
    raise TimeoutError(
        f"launch.master_addr={address}: node 0 gives no sign of life at port {port} for {seconds:g} s; where its sweep "
        "is done, nothing is left to do; else start it there with launch.node_rank=0, and see that the port is not "
        "filtered"
    )


def _told(address: str, port: int) -> tuple[int, str | None] | None:
    """The number of the run that node 0 is at, and its name while it trains it; None: no sign of life."""
    try:
        at = beacon.ask(address, port, _ANSWER_SECONDS)
        if at is not None:
            return at, None
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        wait = timedelta(seconds=_ANSWER_SECONDS)
        announced = TCPStore(address, port, is_master=False, wait_for_workers=False, timeout=wait).get(_KEY).decode()
    except socket.gaierror:
        raise
    except (OSError, RuntimeError):  # Nobody listens, or not yet, or no more.
        return None
    number, _, name = announced.partition(":")
    return int(number), name


def main(address: str, port: str, run: str, seconds: str) -> None:
    in_child.die_with_parent()
    try:
        at = meet(address, int(port), run, float(seconds))
    except socket.gaierror as error:
        print(f"launch.master_addr={address}: {error.strerror}; give the address of node 0")
    except (TimeoutError, OtherRunError) as error:
        print(error)
    else:
        print(at)
        sys.exit(0 if at == int(run.partition(":")[0]) else PASSED_OVER)
    sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
