"""The workers of a run: where they report, what they see of the environment, who watches them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.config.schema import Config
from harness.devices.device import Device
from harness.devices.sampler import Sampler
from harness.execution.observer import Observer
from harness.processes import standby
from harness.processes.child import Child, Ended
from harness.processes.environment import worker_environment
from harness.runs.events import Event, EventReader


class Session:
    """Workers that report to one events.jsonl, one after another, while one sampler watches."""

    def __init__(self, config: Config, device: Device, events: Path, observer: Observer, sampler: Sampler) -> None:
        self.device = device
        self.events = events
        self.observer = observer
        self._config = config
        self._reader = EventReader(events)
        self._sampler = sampler

    def run(self, command: list[str], log: Path, offline: bool, handle: Callable[[Event], None] | None = None) -> Ended:
        """Run a worker to its end; its output goes to `log`, its events to `handle`, else to the observer.

        `offline`: it needs no hub, which a machine without network would wait for."""
        environment = worker_environment(self._config, self.device, offline)
        start_ready = standby.for_command(command, self.device.kind)
        child = Child(command, log, environment, self.device.held, start_ready=start_ready)
        try:
            self._sampler.watch(child.pid)
            return child.follow(self._reader, handle or self.observer.event)
        except BaseException:
            child.stop()  # Also where a Ctrl-C comes before anybody follows it.
            raise
        finally:
            self._sampler.watch(None)
