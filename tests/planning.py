"""Specs as the harness makes them of a command line."""

from __future__ import annotations

from pathlib import Path

from harness.devices.device import Device
from harness.execution.prepare import prepare
from harness.plan import device as devices
from harness.plan.planner import Planner
from harness.plan.spec import RunSpec


def specs_of(*overrides: str, multirun: bool = True) -> list[RunSpec]:
    return prepare(overrides, multirun, Planner(Path.cwd())).specs


def spec_of(*overrides: str, device: Device | None = None, number: int = 0) -> RunSpec:
    """One run; on `device` in place of what is asked for, where one is given."""
    planner = Planner(Path.cwd())
    (spec,) = prepare(overrides, False, planner).specs
    described = spec.device if device is None else devices.describe(device)
    return planner.spec(spec.config, tuple(overrides), described, number)
