"""From what a run left in its folder to its record."""

from __future__ import annotations

import errno
import os
import shutil
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from harness.base.redaction import redact
from harness.devices.reading import Reading
from harness.plan import files, machine
from harness.plan.spec import RunSpec
from harness.processes.child import Ended
from harness.processes.symptoms import diagnose
from harness.runs import kept
from harness.runs.divergence import divergence_of
from harness.runs.events import (
    AdapterChecked,
    ComputeDtypeMeasured,
    Event,
    Evidence,
    FirstStep,
    LibrariesImported,
    RowsTokenized,
    RowsTrained,
    TrainingFinished,
    TrainingLoss,
    ValidationLoss,
)
from harness.runs.forecasted import Forecast
from harness.runs.measurements import energy, memory_peaks, read, sharing
from harness.runs.record import (
    Diagnosis,
    KeptFile,
    Lease,
    Neighbour,
    Outcome,
    Record,
    Reply,
    Sampling,
    Score,
    Tracking,
    Training,
)
from harness.runs.status import read_holder
from harness.runs.timing import phase_seconds, step_time

_TAIL_LINES = 20
_FULL_BYTES = 2**20
E = TypeVar("E", bound=BaseModel)


@dataclass
class Progress:
    """What a run has brought about so far; it becomes the record, however the run ends."""

    started: float = field(default_factory=time.time)
    outcome: Outcome = Outcome.COMPLETED
    reason: str | None = None
    attempt: int = 1
    transient: bool = False
    ended: float | None = None
    forecast: Forecast | None = None
    base_weights: str | None = None
    trained_weights: str | None = None
    log_tail: list[str] = field(default_factory=list)
    diagnosis: Diagnosis | None = None
    score: Score | None = None
    replies: list[Reply] = field(default_factory=list)
    look: machine.Look | None = None
    baselines: list[Reading] = field(default_factory=list)
    sampling: Sampling | None = None
    tracking: Tracking | None = None
    neighbours: list[Neighbour] | None = None

    def end(self, ended: Ended, stage: str = "") -> None:
        """Take in how a worker ended that did not complete. `stage` stands before its reason."""
        self.outcome, self.reason = ended.outcome, f"{stage}{ended.reason}"
        self.log_tail, self.diagnosis, self.transient = ended.log_tail, ended.diagnosis, ended.transient

    def fail(self, reason: str, outcome: Outcome = Outcome.FAILED) -> None:
        """Take in why the run cannot go on."""
        self.outcome, self.reason = outcome, redact(reason)

    def fail_with(self, error: BaseException) -> None:
        """Take in an exception that nobody foresaw, with where it came from."""
        if isinstance(error, OSError) and error.filename:
            self.fail(f"{error.filename}: {error.strerror}")  # Of a file that says all.
            return
        self.fail(f"{type(error).__name__}: {error}")
        self.log_tail = redact("".join(traceback.format_exception(error))).splitlines()[-_TAIL_LINES:]


def build_record(spec: RunSpec, progress: Progress, is_hashed: bool = True) -> Record:
    """Return the record of a run as it ended, before the base and the merged model are scored.

    `is_hashed`: what it left is hashed and put on the disk."""
    measured = read(spec.folder)
    losses = [event for event in measured.events if isinstance(event, TrainingLoss)]
    validation = [event for event in measured.events if isinstance(event, ValidationLoss)]
    divergence = divergence_of(losses, validation)
    dtype = _last(measured.events, ComputeDtypeMeasured)
    imported = _last(measured.events, LibrariesImported)
    ended = progress.ended or time.time()
    left = _left(spec, progress) if is_hashed else None
    _blame_full_disk(spec, progress)
    return Record(
        status=progress.outcome,
        reason=progress.reason,
        sweep=spec.config.sweep,
        arm=spec.arm,
        seed=spec.config.seed,
        baseline=spec.config.baseline,
        identity=spec.identity,
        identity_parts=spec.parts,
        device=spec.device.kind,
        stand_in=spec.device.stand_in,
        command=spec.command,
        config=spec.resolved(),
        environment=machine.describe(spec.device, progress.look),
        before=None if progress.look is None else progress.look.before(),
        sharing=sharing(measured.readings, measured.events),
        neighbours=progress.neighbours,
        lease=_lease(spec),
        started_at=datetime.fromtimestamp(progress.started, UTC),
        position=spec.position,
        attempt=progress.attempt,
        transient=progress.transient,
        wall_seconds=ended - progress.started,
        phase_seconds=phase_seconds(measured.events, ended),
        base_weights=progress.base_weights,
        trained_weights=progress.trained_weights,
        drawn=spec.drawn,
        rows=_last(measured.events, RowsTokenized),
        trained=_last(measured.events, RowsTrained),
        forecast=progress.forecast,
        memory=memory_peaks(measured.readings, measured.events, progress.baselines),
        runtime_mib=None if imported is None else imported.resident_mib,
        evidence=_last(measured.events, Evidence),
        first_step=_last(measured.events, FirstStep),
        adapter_check=_last(measured.events, AdapterChecked),
        compute_dtype=None if dtype is None else dtype.dtype,
        training=_training(files.trained(spec).adapter, measured.events, losses, validation),
        diverged=None if divergence is None and len(losses) < 2 else divergence is not None,
        divergence=divergence,
        score=progress.score,
        replies=progress.replies,
        sampling=progress.sampling,
        energy=energy(measured.readings, spec.config.device.interval_seconds, progress.baselines),
        tracking=progress.tracking,
        files=left,
        unread_lines=measured.unread_lines,
        log_tail=progress.log_tail,
        diagnosis=progress.diagnosis,
    )


def _lease(spec: RunSpec) -> Lease | None:
    holder = read_holder(spec.folder.holder)
    if holder is None or not holder.chips:
        return None
    return Lease(chips=holder.chips, since=holder.since, until=datetime.now(UTC))


def _left(spec: RunSpec, progress: Progress) -> dict[str, KeptFile] | None:
    """Return the files that the run left, on the disk by now; a run that could not put them there has failed."""
    try:
        return kept.training(spec.folder) | kept.answers(spec.folder, spec.folder.evaluation)
    except OSError as error:
        if progress.outcome is Outcome.COMPLETED:
            progress.fail(f"what it left cannot be put on the disk: {error}")
        return None


def _blame_full_disk(spec: RunSpec, progress: Progress) -> None:
    """Say what a worker cannot say whose events and log found no room."""
    try:
        free = shutil.disk_usage(spec.folder.path).free
    except OSError:
        return
    if progress.outcome is Outcome.FAILED and progress.diagnosis is None and free < _FULL_BYTES:
        progress.reason = f"{progress.reason}; {free:,} bytes are free on the disk of {spec.folder.path}"
        progress.diagnosis = diagnose(f"OSError: {OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))}")


def _last(events: Sequence[Event], kind: type[E]) -> E | None:
    return next((event for event in reversed(events) if isinstance(event, kind)), None)


def _training(
    adapter: Path, events: Sequence[Event], losses: Sequence[TrainingLoss], validation: Sequence[ValidationLoss]
) -> Training | None:
    """What the training came to; None if it did not come to its end."""
    end = _last(events, TrainingFinished)
    if end is None:
        return None
    pace = step_time(events)
    weights = [file.stat().st_size for file in adapter.glob("*") if file.suffix in (".safetensors", ".bin")]
    kept = end.steps if end.kept_step is None else end.kept_step
    train_losses = [event.loss for event in losses if event.step <= kept]
    validation_losses = [event.loss for event in validation if event.step <= kept]
    return Training(
        train_seconds=end.train_seconds,
        validation_seconds=end.validation_seconds,
        steps=end.steps,
        tokens=end.tokens,
        tokens_per_second=end.tokens / end.train_seconds,
        step_seconds=None if pace is None else pace.step_seconds,
        warmup_steps=None if pace is None else pace.warmup_steps,
        warmup_seconds=None if pace is None else pace.warmup_seconds,
        kept_step=end.kept_step,
        train_loss=train_losses[-1] if train_losses else None,
        validation_loss=validation_losses[-1] if validation_losses else None,
        adapter_mib=sum(weights) / 2**20 if weights else None,
    )
