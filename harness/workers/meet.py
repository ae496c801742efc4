"""Waits on another node than 0 until node 0 trains a run, or is past it: the nodes train each run together or not.

Each node goes through the sweep by itself. One that is late, or whose records are not node 0's, would train its next
run together with another of node 0's, and nothing would fail: adapters of LoRA and of QLoRA have the same shapes.
"""

from __future__ import annotations

import socket
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from harness.base.files import write_atomically
from harness.launch import beacon
from harness.processes.jobs import MeetJob, Met
from harness.workers import lifecycle

if TYPE_CHECKING:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

_KEY = "harness/run"
_ANSWER_SECONDS = 10


def announce(address: str, port: int, run: str) -> TCPStore:
    """Say that `run`, NUMBER:NAME, is trained, in the store that torchrun opens in this process at `port`.

    What is returned is to be kept as long as others may ask."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore(address, port, is_master=True, wait_for_workers=False, multi_tenant=True)
    store.set(_KEY, run)
    return store


def meet(job: MeetJob) -> Met:
    """Wait until node 0 trains the job's run or is past it, and return the number that node 0 is at.

    Or why that does not help: it gives no sign of life for too long, or its run of this number is another one. Raises
    socket.gaierror where the job's address is none."""
    number, _, name = job.run.partition(":")
    deadline = time.monotonic() + job.patience_seconds
    while time.monotonic() < deadline:
        sign = _sign_of_life(job.address, job.port)
        if sign is not None:
            deadline = time.monotonic() + job.patience_seconds
            at, trained = sign
            if at == int(number) and trained not in (None, name):
                return Met(
                    problem=f"launch.node_rank: node 0 trains {trained}, this node would train {name} (sweep, arm, "
                    "seed, hash of settings and rows); give both the same command and the same files"
                )
            if at > int(number) or (at == int(number) and trained is not None):
                return Met(node_0_is_at=at)
        time.sleep(0.5)
    return Met(
        problem=f"launch.master_addr={job.address}: node 0 gives no sign of life at port {job.port} for "
        f"{job.patience_seconds:g} s; where its sweep is done, nothing is left to do; else start it there with "
        "launch.node_rank=0, and see that the port is not filtered"
    )


def _sign_of_life(address: str, port: int) -> tuple[int, str | None] | None:
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


def main(job: MeetJob) -> None:
    """Write what came of the job to its answer. Raises OSError."""
    try:
        met = meet(job)
    except socket.gaierror as error:
        met = Met(problem=f"launch.master_addr={job.address}: {error.strerror}; give the address of node 0")
    write_atomically(job.answer, met.model_dump_json() + "\n")


if __name__ == "__main__":
    main(lifecycle.begin(MeetJob))
