"""From what a run left in its folder to its record."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from harness.devices.journal import read_readings
from harness.devices.reading import Reading
from harness.plan import machine as environment
from harness.plan.spec import Plan
from harness.processes.child import Ended
from harness.processes.symptoms import Diagnosis
from harness.runs.events import Event, Evidence, RowsTokenized, TrainingFinished, TrainingLoss, ValidationLoss, read
from harness.runs.measurements import energy, memory_peaks
from harness.runs.record import Outcome, Record, Reply, Sampling, Score, Tracking, Training


@dataclass
class Progress:
    """What a run has brought about so far; it becomes the record, however the run ends."""

    started: float = field(default_factory=time.time)
    outcome: Outcome = Outcome.COMPLETED
    reason: str | None = None
    ended: float | None = None
    base_weights: str | None = None
    log_tail: list[str] = field(default_factory=list)
    diagnosis: Diagnosis | None = None
    score: Score | None = None
    replies: list[Reply] = field(default_factory=list)
    baselines: list[Reading] = field(default_factory=list)
    sampling: Sampling | None = None
    tracking: Tracking | None = None

    def end(self, ended: Ended, stage: str = "") -> None:
        self.outcome, self.reason = ended.outcome, f"{stage}{ended.reason}"
        self.log_tail, self.diagnosis = ended.log_tail, ended.diagnosis

    def fail(self, reason: str, outcome: Outcome = Outcome.FAILED) -> None:
        self.outcome, self.reason = outcome, reason


def record_of(it: Plan, progress: Progress) -> Record:
    """The record of a run as it ended, before the base and the merged model are scored."""
    events = read(it.folder / "events.jsonl")
    readings = read_readings(it.folder / "readings.jsonl")
    evidence = [event for event in events if isinstance(event, Evidence)]
    rows = [event for event in events if isinstance(event, RowsTokenized)]
    return Record(
        status=progress.outcome,
        reason=progress.reason,
        sweep=it.config.sweep,
        arm=it.arm,
        seed=it.config.seed,
        baseline=it.config.baseline,
        identity=it.identity,
        device=it.device.kind,
        stand_in=it.device.stand_in,
        command=it.command,
        config=it.resolved(),
        environment=environment.describe(it.device),
        started_at=datetime.fromtimestamp(progress.started, UTC),
        wall_seconds=(progress.ended or time.time()) - progress.started,
        base_weights=progress.base_weights,
        rows=rows[-1] if rows else None,
        memory=memory_peaks(readings, events, progress.baselines),
        evidence=evidence[-1] if evidence else None,
        training=_training(it, events),
        score=progress.score,
        replies=progress.replies,
        sampling=progress.sampling,
        energy=energy(readings),
        tracking=progress.tracking,
        log_tail=progress.log_tail,
        diagnosis=progress.diagnosis,
    )


def _training(it: Plan, events: list[Event]) -> Training | None:
    """What the training came to; None if it did not come to its end."""
    finished = [event for event in events if isinstance(event, TrainingFinished)]
    if not finished:
        return None
    end = finished[-1]
    losses = [event.loss for event in events if isinstance(event, TrainingLoss)]
    validation = [event.loss for event in events if isinstance(event, ValidationLoss)]
    weights = [
        file.stat().st_size for file in (it.folder / "adapter").glob("*") if file.suffix in (".safetensors", ".bin")
    ]
    return Training(
        train_seconds=end.train_seconds,
        validation_seconds=end.validation_seconds,
        steps=end.steps,
        tokens=end.tokens,
        tokens_per_second=end.tokens / end.train_seconds,
        train_loss=losses[-1] if losses else None,
        validation_loss=validation[-1] if validation else None,
        adapter_mib=sum(weights) / 2**20 if weights else None,
    )
