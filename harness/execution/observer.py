"""What a display hears while runs go on. The terminal's own is in harness.cli; a test or a queue may bring another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.devices.sampler import Sampler
from harness.runs.events import Event
from harness.runs.folder import SweepFolder
from harness.runs.record import Record, Reply, Score

if TYPE_CHECKING:
    from harness.execution.outlook import Outlook
    from harness.memory.forecast import ArmForecast


@dataclass(frozen=True)
class RunLabel:
    """Which run a line is about."""

    name: str
    """Arm and seed."""
    number: int
    """Its place in the sweep, from 1."""


@dataclass(frozen=True)
class RunStarted:
    """A run that begins, as a display shows it."""

    label: RunLabel
    product: str
    """The chip's or the processor's name."""
    precision: str
    folder: Path


class Observer(Protocol):
    """Told of everything that a user may want to see. Must not raise: a display costs no run."""

    def note(self, text: str) -> None:
        """Something worth knowing."""

    def warn(self, text: str) -> None:
        """Something that may be wrong."""

    def announced(self, outlook: Outlook) -> None:
        """A sweep is about to start, or to be planned."""

    def foreseen(self, arms: Sequence[ArmForecast], is_dry: bool) -> None:
        """What memory the arms of a sweep will need; `is_dry`: nothing will be trained."""

    def planned(self, label: RunLabel, file: Path) -> None:
        """A dry run has written `file` and trains nothing."""

    def skipped(self, label: RunLabel, why: str) -> None:
        """A run was not needed."""

    def run_started(self, run: RunStarted) -> None:
        """A run begins; what follows is about it, until it has finished."""

    def watch(self, sampler: Sampler) -> None:
        """The memory of the run that is under way."""

    def event(self, event: Event) -> None:
        """A worker of the run has reported."""

    def run_finished(self, record: Record) -> None:
        """The run has ended, in whatever way."""

    def target_answered(self, who: str, score: Score | None, replies: Sequence[Reply]) -> None:
        """A target was scored or prompted beside the run itself."""

    def sweep_finished(self, records: Sequence[Record], verdict: Sequence[str], report: Path | None) -> None:
        """All runs have ended, and the report is written."""

    def launched(self, sweeps: Sequence[SweepFolder], free_chips: Callable[[], tuple[int, int] | None]) -> None:
        """Runs go on in other processes, perhaps on other machines; these write what they would say into
        SweepFolder.lines. May be called again. `free_chips`: of how many; None: nobody counts them."""

    def close(self) -> None:
        """Give the terminal back."""
