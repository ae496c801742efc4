"""How far the runs of a sweep are, as their folders tell."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from harness.base.files import content, opened, write_atomically
from harness.base.locks import flock_at_once
from harness.devices.reading import Quantity, Reading, total_mib
from harness.runs import store
from harness.runs.events import (
    Event,
    EventReader,
    Phase,
    PhaseStarted,
    TrainingLoss,
    TrainingStarted,
    TrainingStep,
)
from harness.runs.folder import RunFolder, SweepFolder, is_run_name
from harness.runs.record import Outcome, Record

_TAIL_BYTES = 16384
SHOWN = (Quantity.DEVICE, Quantity.PROCESS, Quantity.HOST)
"""Which memory is shown: the first that was measured."""


class Holder(BaseModel):
    """Who is at a run, and what it has of the machine."""

    model_config = ConfigDict(frozen=True)

    run: str
    """Arm and seed."""
    sweep: str
    """Its folder."""
    user: str
    host: str
    pid: int
    since: AwareDatetime
    chips: list[str] = []
    """What they are called on the machine; none on a CPU whose shares nobody parts."""

    def __str__(self) -> str:
        return f"{self.run} of {self.sweep} ({self.user}, pid {self.pid}, since {self.since.astimezone():%H:%M:%S})"


class State(StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    OUT_OF_MEMORY = "out of memory"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    UNSUPPORTED = "unsupported"
    CUT_SHORT = "cut short"
    """Who was at it is gone without a word."""
    DAMAGED = "damaged record"


_STATES = {
    Outcome.COMPLETED: State.COMPLETED,
    Outcome.OUT_OF_MEMORY: State.OUT_OF_MEMORY,
    Outcome.FAILED: State.FAILED,
    Outcome.INTERRUPTED: State.INTERRUPTED,
    Outcome.UNSUPPORTED: State.UNSUPPORTED,
}


@dataclass(frozen=True)
class RunStatus:
    """One run now. None: not known yet, or not any more."""

    name: str
    """Arm and seed."""
    state: State
    holder: Holder | None = None
    phase: Phase | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    memory_mib: float | None = None
    """Now, or at the peak of a run that has ended."""
    seconds: float | None = None
    """So far, or in all."""
    reason: str | None = None
    """Why it is not completed."""

    @property
    def share(self) -> float:
        """Of its steps, how many it has taken."""
        return min(1.0, (self.step or 0) / self.steps) if self.steps else 0.0


@dataclass(frozen=True)
class SweepStatus:
    """All runs of a sweep, in its order."""

    runs: Sequence[RunStatus]

    def of(self, *states: State) -> list[RunStatus]:
        """Return the runs in these states."""
        return [run for run in self.runs if run.state in states]

    @property
    def seconds_left(self) -> float | None:
        """As long as the runs that were completed took; None where none was."""
        took = [run.seconds for run in self.of(State.COMPLETED) if run.seconds is not None]
        running = self.of(State.RUNNING)
        open_runs = len(self.of(State.QUEUED)) + sum(1 - run.share for run in running)
        return sum(took) / len(took) * open_runs / max(1, len(running)) if took else None


class _Plan(BaseModel):
    """The runs of the last command for a sweep: the names of their folders, in its order."""

    runs: list[str]


def plan(folder: SweepFolder, runs: Sequence[RunFolder]) -> None:
    """Write down which runs a sweep is to have. Raises OSError."""
    write_atomically(folder.plan, _Plan(runs=[run.name for run in runs]).model_dump_json() + "\n")


class Watch:
    """Looks at a sweep again and again; what was read is not read anew."""

    def __init__(self, folder: SweepFolder) -> None:
        self._folder = folder
        self._runs: dict[str, _Run] = {}

    def look(self) -> SweepStatus:
        """Return how far the runs are now."""
        return SweepStatus([self._run(run).look() for run in self._planned()])

    def _run(self, folder: RunFolder) -> _Run:
        return self._runs.setdefault(folder.name, _Run(folder))

    def _planned(self) -> Iterator[RunFolder]:
        try:
            names = _Plan.model_validate_json(content(self._folder.plan)).runs
        except (OSError, ValidationError):
            names = []
        # As a folder is named, once each: whoever writes such a file by hand makes up no run.
        names = [name for name in dict.fromkeys(names) if is_run_name(name)]
        yield from (self._folder.run(name) for name in names)
        yield from (run for run in self._folder.runs() if run.name not in names)


class _Run:
    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._name = folder.name.rpartition("-")[0]
        self._begin((None, None))

    def _begin(self, attempt: tuple[int | None, int | None]) -> None:
        self._attempt = attempt
        self._ended: RunStatus | None = None
        self._events = EventReader(self._folder.events)
        self._seen: dict[type[Event], Event] = {}

    def look(self) -> RunStatus:
        # Another attempt has other files, and one that is scored again another record.
        attempt = _inode(self._folder.path), _inode(self._folder.record)
        if attempt != self._attempt:
            self._begin(attempt)
        # One that failed may be scored again, by whoever holds its lock.
        if self._ended is not None and (self._ended.state is State.COMPLETED or not is_held(self._folder.lock)):
            return self._ended
        try:
            now = self._now()
        except OSError as error:
            return RunStatus(self._name, State.DAMAGED, reason=f"{error.filename}: {error.strerror}")
        self._ended = None if now.state in (State.QUEUED, State.RUNNING, State.CUT_SHORT) else now
        return now

    def _now(self) -> RunStatus:
        folder = self._folder
        has_holder = is_held(folder.lock)
        try:
            record = store.load(folder)
        except store.DamagedRecordError as error:
            return RunStatus(self._name, State.DAMAGED, reason=str(error))
        if record is not None and not (has_holder and record.status is not Outcome.COMPLETED):
            return RunStatus(
                self._name,
                _STATES[record.status],
                loss=record.training.train_loss if record.training else None,
                memory_mib=_peak_mib(record),
                seconds=record.wall_seconds,
                reason=record.reason,
            )
        if not folder.holder.exists():
            return RunStatus(self._name, State.QUEUED)
        holder = read_holder(folder.holder)
        self._seen |= {type(event): event for event in self._events.new()}
        started, step = self._seen.get(TrainingStarted), self._seen.get(TrainingStep)
        loss, phase = self._seen.get(TrainingLoss), self._seen.get(PhaseStarted)
        # A run that was cut short went on until it last said something; and clocks of two machines differ.
        until = time.time() if has_holder else max((event.time for event in self._seen.values()), default=None)
        return RunStatus(
            self._name,
            State.RUNNING if has_holder else State.CUT_SHORT,
            holder=holder,
            phase=phase.phase if isinstance(phase, PhaseStarted) else None,
            steps=started.total_steps if isinstance(started, TrainingStarted) else None,
            step=step.step if isinstance(step, TrainingStep) else None,
            loss=loss.loss if isinstance(loss, TrainingLoss) else None,
            memory_mib=_memory_mib(folder.readings),
            seconds=max(0.0, until - holder.since.timestamp()) if holder is not None and until is not None else None,
        )


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock, on this machine or, where the file system tells, on another."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not flock_at_once(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def read_holder(file: Path) -> Holder | None:
    """Return who a file names; None where it names nobody."""
    try:
        return Holder.model_validate_json(content(file))
    except (OSError, ValidationError):
        return None


def _memory_mib(readings: Path) -> float | None:
    """As the last lines of the readings tell."""
    try:
        with opened(readings) as file:
            file.seek(max(0, readings.stat().st_size - _TAIL_BYTES))
            lines = file.read().splitlines()[1:]
    except OSError:
        return None
    latest: dict[tuple[str, int | None], Reading] = {}
    for line in lines:
        try:
            reading = _READING.validate_json(line)
        except ValidationError:
            continue
        latest[reading.sensor, reading.chip] = reading
    found = (total_mib(list(latest.values()), quantity) for quantity in SHOWN)
    return next((mib for mib in found if mib is not None), None)


def _peak_mib(record: Record) -> float | None:
    peaks = {quantity: [peak.peak_mib for peak in record.memory if peak.quantity is quantity] for quantity in SHOWN}
    return next((max(several) for several in peaks.values() if several), None)


_READING = TypeAdapter(Reading)
