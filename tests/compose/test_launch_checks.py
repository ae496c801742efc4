"""A launch that cannot work is refused before anything starts."""

from __future__ import annotations

import re
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from harness.compose.checks import launch_mistakes
from harness.config.schema import LaunchConfig
from tests.compose.checked import CPU, mistakes, only

TWO_GPUS: Any = SimpleNamespace(torch_device="cuda", chips=(0, 1), product="made for tests", supports_bf16=True)


@pytest.mark.parametrize(
    ("config", "device", "refused"),
    [
        (LaunchConfig("ray"), CPU, "launch.name=ray: must be one of single, cards, nodes"),
        (LaunchConfig("cards", nproc=0), CPU, "launch.nproc=0: must be greater than 0"),
        (LaunchConfig("nodes", nnodes=2, node_rank=2, master_port=1), CPU, "launch.node_rank=2: .* it is 0 to 1"),
        (LaunchConfig("single", nproc=2), CPU, "launch.nproc: launch=single is one process"),
        (LaunchConfig("single"), TWO_GPUS, r"device.chips=\[0, 1\]: .* use launch=cards"),
        (LaunchConfig("cards", nproc=3), TWO_GPUS, r"launch.nproc=3: .* has 2 chips"),
        (LaunchConfig("cards", nnodes=2, master_port=1), CPU, "launch.nnodes=2: launch=cards is one machine"),
        (LaunchConfig("nodes", nnodes=2), CPU, "launch.master_port: a value is needed"),
        (LaunchConfig("nodes", nnodes=2), CPU, "launch.master_addr: a value is needed"),
        (LaunchConfig("nodes", nnodes=2, node_rank=1, master_port=70000), CPU, "launch.master_port=70000: must be 1"),
    ],
)
def test_a_launch_that_cannot_work_is_refused_with_what_would(config: LaunchConfig, device: Any, refused: str) -> None:
    found = list(launch_mistakes(config, device))
    assert any(re.search(refused, mistake) for mistake in found), found


def test_a_launch_that_can_work_is_not_refused() -> None:
    for config in (LaunchConfig("cards"), LaunchConfig("cards", nproc=2), LaunchConfig("nodes", nproc=2)):
        assert list(launch_mistakes(config, TWO_GPUS)) == []


def test_chips_and_ports_of_a_machine_that_was_not_looked_at_are_left_out() -> None:
    with socket.create_server(("", 0)) as listener:
        taken = listener.getsockname()[1]
        only("launch=cards", "launch.nproc=2", "device.chips=[0,1,2]", f"launch.master_port={taken}", device=None)
        refused = mistakes("launch=cards", "launch.nproc=2", f"launch.master_port={taken}")
    assert refused == [f"launch.master_port={taken}: Address already in use; choose another, the same on every node"]
    assert mistakes("launch=single", "launch.nproc=2", device=None) == list(
        launch_mistakes(LaunchConfig("single", nproc=2), None)
    )
