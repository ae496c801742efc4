"""A driver and a clock for tests of who asks when: nothing runs, and no time passes by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.devices.npu_smi import InfoTable, read_info
from harness.devices.reading import SensorError
from tests.devices.ascend.tables import Card, hbm_table


@dataclass
class Clock:
    """In place of the module `time`."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_700_000_000 + self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


@dataclass
class StandInDriver:
    """A query whose answer and duration the test sets. Several sensors may hold it, as several runs use one driver."""

    clock: Clock
    seconds: float = 0.25
    error: str | None = None
    name: str = "npu-smi"
    source: str = "npu-smi"
    asked: list[float] = field(default_factory=list)
    table: str = field(default_factory=lambda: hbm_table([Card(0)]))
    meanwhile: Callable[[], None] = lambda: None
    """What happens while it is asked."""

    def ask(self, lock: int) -> InfoTable:
        self.asked.append(self.clock.now)
        self.meanwhile()
        self.clock.now += self.seconds
        if self.error is not None:
            raise SensorError(self.error)
        return read_info(self.table)
