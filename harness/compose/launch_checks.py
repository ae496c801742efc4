"""What keeps a launch from working, as far as it shows before it is tried."""

from __future__ import annotations

from collections.abc import Iterator

from harness.base import ports
from harness.config.schema import LaunchConfig
from harness.devices.device import Device

LAUNCHES = ("single", "cards", "nodes")


def launch_mistakes(launch: LaunchConfig, device: Device | None) -> Iterator[str]:
    """Yield what is wrong with `launch` on `device`: `key: what; what would be right`.

    Without a device, what concerns its chips and the ports of its machine is left out."""
    if launch.name not in LAUNCHES:
        yield f"launch.name={launch.name}: must be one of {', '.join(LAUNCHES)}"
        return
    for key, value in {"nproc": launch.nproc, "nnodes": launch.nnodes, "join_seconds": launch.join_seconds}.items():
        if value is not None and value <= 0:
            yield f"launch.{key}={value}: must be greater than 0"
    if not 0 <= launch.node_rank < max(1, launch.nnodes):
        yield f"launch.node_rank={launch.node_rank}: with launch.nnodes={launch.nnodes} it is 0 to {launch.nnodes - 1}"
    if launch.name == "single" and (launch.nproc or 1) * launch.nnodes > 1:
        yield "launch.nproc: launch=single is one process; use launch=cards, or launch=nodes for several machines"
    if launch.name == "cards" and launch.nnodes > 1:
        yield f"launch.nnodes={launch.nnodes}: launch=cards is one machine; use launch=nodes"
    if device is not None:
        yield from _chips(launch, device)
    yield from _port(launch, this_machine=device is not None)


def _chips(launch: LaunchConfig, device: Device) -> Iterator[str]:
    chips = list(device.chips)
    if launch.name == "single" and len(chips) > 1 and device.torch_device != "cpu":
        yield (
            f"device.chips={chips}: launch=single trains on one chip; "
            "name one, or use launch=cards for one process a chip"
        )
    if launch.nproc is not None and chips and launch.nproc != len(chips):
        yield (
            f"launch.nproc={launch.nproc}: device.chips={chips} has {len(chips)} chips; "
            "each process needs one of its own, so leave launch.nproc out"
        )


def _port(launch: LaunchConfig, this_machine: bool) -> Iterator[str]:
    if launch.master_port is not None and not 0 < launch.master_port < 65536:
        yield f"launch.master_port={launch.master_port}: must be 1 to 65535"
        return
    if launch.nnodes > 1 and launch.master_addr is None:
        yield "launch.master_addr: a value is needed, the address of node 0 as the other nodes reach it"
    if launch.nnodes > 1 and launch.master_port is None:
        yield "launch.master_port: a value is needed, the same on every node (29500, say)"
    listens = this_machine and launch.name != "single" and launch.node_rank == 0
    if listens and launch.master_port is not None and (error := ports.refusal(launch.master_port)):
        yield f"launch.master_port={launch.master_port}: {error.strerror}; choose another, the same on every node"
