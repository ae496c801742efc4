"""The child processes of a run: where they report, what they see of the environment, who watches them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from harness.base import redaction as secrets
from harness.cli.display import Display
from harness.config.schema import Config
from harness.devices.device import Device
from harness.devices.sampler import Sampler
from harness.plan.spec import Plan
from harness.processes.child import Child, Ended
from harness.runs.events import Event, EventReader


class Children:
    """The child processes that report to one folder's events.jsonl, one after another."""

    def __init__(self, it: Plan, folder: Path, display: Display, sampler: Sampler | None = None) -> None:
        self._it = it
        self._folder = folder
        self._events = EventReader(folder / "events.jsonl")
        self._display = display
        self._sampler = sampler

    def run(self, command: list[str], log: str, offline: bool, handle: Callable[[Event], None] | None = None) -> Ended:
        """Run a child to its end; its output goes to logs/`log`.log. Events go to `handle`, else to the display."""
        around = environment(self._it.config, self._it.device, offline)
        child = Child(command, self._folder / "logs" / f"{log}.log", around)
        if self._sampler is not None:
            self._sampler.watch(child.pid)
        try:
            return child.follow(self._events, handle or self._display.event)
        finally:
            if self._sampler is not None:
                self._sampler.watch(None)


def environment(config: Config, device: Device, offline: bool) -> dict[str, str]:
    """A child's whole environment. `offline`: it needs no hub, which a machine without network would wait for."""
    hub = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} if offline else {}
    return secrets.for_child(os.environ) | settings(config, device) | hub


def settings(config: Config, device: Device) -> dict[str, str]:
    """What the harness adds to a child's environment; it stands in command.sh too."""
    chosen = {"TOKENIZERS_PARALLELISM": "false", **device.environment()}
    if config.model.hub == "modelscope":
        chosen["USE_MODELSCOPE_HUB"] = "1"
    if config.device.threads is not None:
        chosen["OMP_NUM_THREADS"] = str(config.device.threads)
    return chosen
