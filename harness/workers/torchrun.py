"""torchrun that dies with the harness, and its processes with it. Of several nodes, node 0 says which run it trains."""

from __future__ import annotations

from harness.processes.jobs import TorchrunJob
from harness.workers import lifecycle, meet


def main(job: TorchrunJob) -> None:
    """Start a process for each chip of this machine and wait for them. Raises what torchrun raises where one fails."""
    lifecycle.be_parent()
    from torch.distributed import run

    if job.announce is not None:
        launch = run.parse_args(job.arguments)  # type: ignore[no-untyped-call]
        # Kept until the end: others may ask as long as this process lives.
        store = meet.announce(launch.master_addr, int(launch.master_port), job.announce)  # noqa: F841
    run.main(job.arguments)


if __name__ == "__main__":
    main(lifecycle.begin(TorchrunJob))
