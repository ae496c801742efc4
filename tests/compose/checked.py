"""Command lines with all their mistakes, as the harness tells them on a machine with a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.base.errors import UserError
from harness.compose import checks
from harness.compose.points import Point, points
from harness.config.schema import Config
from harness.data.sources import SourceReader
from harness.devices.device import Device, DeviceRequest, choose

CPU: Device = choose("cpu", DeviceRequest())


def all_points(*overrides: str, multirun: bool = False, device: Device | None = CPU) -> list[Point]:
    sources = SourceReader(Path.cwd())
    return points(overrides, multirun, lambda config: checks.check(config, device, sources))


def only(*overrides: str, **arguments: Any) -> Config:
    (point,) = all_points(*overrides, **arguments)
    return point.config


def mistakes(*overrides: str, **arguments: Any) -> list[str]:
    with pytest.raises(UserError) as raised:
        all_points(*overrides, **arguments)
    return raised.value.mistakes
