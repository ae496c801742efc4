"""A display that keeps what it heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.devices.sampler import Sampler
from harness.execution.observer import RunLabel, RunStarted
from harness.execution.outlook import Outlook
from harness.memory.forecast import ArmForecast
from harness.runs.events import Event
from harness.runs.folder import SweepFolder
from harness.runs.record import Record, Reply, Score


@dataclass
class Watching:
    """Makes itself for any number of runs."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    outlooks: list[Outlook] = field(default_factory=list)
    planned_runs: list[RunLabel] = field(default_factory=list)
    skipped_runs: list[RunLabel] = field(default_factory=list)
    finished: list[Record] = field(default_factory=list)
    forecasts: list[ArmForecast] = field(default_factory=list)

    def __call__(self, total: int, lines: Path | None = None) -> Watching:
        return self

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def announced(self, outlook: Outlook) -> None:
        assert not self.planned_runs + self.skipped_runs, "it was said too late"
        assert not self.finished, "it was said too late"
        self.outlooks.append(outlook)

    def foreseen(self, arms: Sequence[ArmForecast], is_dry: bool) -> None:
        self.forecasts.extend(arms)

    def planned(self, label: RunLabel, file: Path) -> None:
        self.planned_runs.append(label)

    def skipped(self, label: RunLabel, why: str) -> None:
        self.skipped_runs.append(label)

    def run_started(self, run: RunStarted) -> None:
        pass

    def watch(self, sampler: Sampler) -> None:
        pass

    def event(self, event: Event) -> None:
        pass

    def run_finished(self, record: Record) -> None:
        self.finished.append(record)

    def target_answered(self, who: str, score: Score | None, replies: Sequence[Reply]) -> None:
        pass

    def sweep_finished(self, records: Sequence[Record], verdict: Sequence[str], report: Path | None) -> None:
        pass

    def launched(self, sweeps: Sequence[SweepFolder], free_chips: Callable[[], tuple[int, int] | None]) -> None:
        pass

    def close(self) -> None:
        pass
