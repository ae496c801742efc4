"""torchrun that dies with the harness, and its processes with it. Of several nodes, node 0 says which run it trains."""

from __future__ import annotations

import importlib
import os
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path

from harness.processes.jobs import TorchrunJob
from harness.workers import lifecycle, meet


def main(job: TorchrunJob) -> None:
    """Start a process for each chip of this machine and wait for them. Raises what torchrun raises where one fails."""
    lifecycle.be_parent()
    pass_on_leases()
    from torch.distributed import run

    if job.announce is not None:
        launch = run.parse_args(job.arguments)  # type: ignore[no-untyped-call]
        # Kept until the end: others may ask as long as this process lives.
        store = meet.announce(launch.master_addr, int(launch.master_port), job.announce)  # noqa: F841
    run.main(job.arguments)


def pass_on_leases() -> None:
    """Have the ranks inherit what this process did: torch closes it, and a chip is leased until all are gone."""
    inherited = []
    for descriptor in [int(link.name) for link in Path("/dev/fd").iterdir()]:
        with suppress(OSError):  # Of the listing itself.
            if descriptor > 2 and os.get_inheritable(descriptor):
                inherited.append(descriptor)
    handler = importlib.import_module("torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler")
    handler.Popen = partial(subprocess.Popen, pass_fds=inherited)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(lifecycle.begin(TorchrunJob))
