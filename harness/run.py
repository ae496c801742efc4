"""A run from start to end. Read this file first."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from harness import environment, plan, record, secrets
from harness.child import Child, Ended, StopChild
from harness.config import Config
from harness.console import Display
from harness.devices.journal import read_readings
from harness.devices.memory import energy, memory_peaks
from harness.devices.reading import Reading
from harness.devices.sampler import Sampler
from harness.evaluation.job import SCORE, EvaluationJob
from harness.events import Event, EventReader, Evidence, TrainingFinished, TrainingLoss, ValidationLoss, read
from harness.models import random
from harness.plan import Plan
from harness.record import Outcome, Record, Sampling, Score, Tracking, Training
from harness.tracking.job import TrackingJob
from harness.tracking.tracker import Tracker
from harness.training.arguments import inference_arguments

SWANLOG = "swanlog"
"""In a sweep's folder: SwanLab's own files, which `harness watch` shows."""


def run(config: Config, overrides: tuple[str, ...], display: Display) -> Record | None:
    """Train and score one point, unless that was done before. Returns its record; None after a dry run.

    A run that fails, is killed or runs out of memory returns a record that says so. Ctrl-C leaves a record too, and
    goes on up as KeyboardInterrupt."""
    it = plan.make(config, overrides)
    it.sweep_folder.mkdir(parents=True, exist_ok=True)
    with FileLock(it.sweep_folder / f".{it.folder.name}.lock"):
        done = _completed(it, display)
        if done is not None and not config.dry_run:
            display.skipped(it)
            return done
        if done is None:
            _put_aside(it.folder, display)
            it.folder.mkdir()
            plan.write(it, _training_command(it), it.device.environment() | _threads(it))
        if config.dry_run:
            display.planned(it)
            return None
        if config.model.path is None:
            assert config.model.shape is not None
            display.note(f"random weights of {config.model.shape}: made once, kept in {random.cache_folder()}")
            random.materialize(config.model.shape, config.model.shapes[config.model.shape])
        base = _score_base(it, display)
        display.run_started(it)
        result = _attempt(it, base, display)
        display.run_finished(result)
        if result.status is Outcome.INTERRUPTED:
            raise KeyboardInterrupt
        return result


def _completed(it: Plan, display: Display) -> Record | None:
    try:
        found = record.load(it.folder)
    except record.DamagedRecordError as error:
        display.warn(f"damaged record, run again: {error}")
        return None
    return found if found is not None and found.status is Outcome.COMPLETED else None


def _put_aside(folder: Path, display: Display) -> None:
    """Keep what an earlier attempt left: nothing is overwritten."""
    if not folder.exists():
        return
    aside = folder.parent / "earlier" / f"{folder.name}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    aside.parent.mkdir(exist_ok=True)
    folder.rename(aside)
    if (aside / record.FILE_NAME).exists():
        display.note(f"the earlier attempt is kept in {aside}")


@dataclass
class _Progress:
    """What a run has brought about so far; it becomes the record, however the run ends."""

    started: float = field(default_factory=time.time)
    outcome: Outcome = Outcome.COMPLETED
    reason: str | None = None
    log_tail: list[str] = field(default_factory=list)
    score: Score | None = None
    baselines: list[Reading] = field(default_factory=list)
    sampling: Sampling | None = None
    tracking: Tracking | None = None

    def end(self, outcome: Outcome, reason: str | None, log_tail: list[str]) -> None:
        self.outcome, self.reason, self.log_tail = outcome, reason, log_tail


def _attempt(it: Plan, base: Score | None, display: Display) -> Record:
    progress = _Progress()
    with _watched(it, progress, display) as sampler:
        children = _Children(it, it.folder, display, sampler)
        trained = _train(it, children, display)
        if trained.outcome is not Outcome.COMPLETED:
            progress.end(trained.outcome, trained.reason, trained.log_tail)
        elif it.config.evaluation.benchmark:
            scored, progress.score = _score(it, it.folder / "evaluation", it.folder / "adapter", children)
            if scored.outcome is not Outcome.COMPLETED:
                progress.end(scored.outcome, f"evaluation: {scored.reason}", scored.log_tail)
    result = _record(it, progress, base)
    record.write(it.folder, result)
    return result


@contextmanager
def _watched(it: Plan, progress: _Progress, display: Display) -> Iterator[Sampler]:
    """Sample and track while the body runs, and take in what they saw however it ends."""
    interval_seconds = it.config.device.interval_seconds
    sampler = Sampler(it.device.sensors(), interval_seconds, it.folder / "readings.jsonl")
    sampler.start()
    tracker = Tracker(_tracking_job(it), it.folder / "logs" / "tracking.log")
    display.watch(sampler)
    try:
        yield sampler
    except KeyboardInterrupt:
        progress.end(Outcome.INTERRUPTED, "interrupted by the user", [])
    except OSError as error:
        progress.end(Outcome.FAILED, f"{type(error).__name__}: {error}", [])
    finally:
        progress.baselines, progress.sampling = _stop(sampler, interval_seconds)
        progress.tracking = tracker.finish()


def _stop(sampler: Sampler, interval_seconds: float) -> tuple[list[Reading], Sampling]:
    sampled = sampler.stop()
    return sampled.baselines, Sampling(
        interval_seconds=interval_seconds, readings=sampled.readings, gaps=sampled.gaps, errors=sampled.errors
    )


class _Children:
    """The child processes that report to one folder's events.jsonl, one after another."""

    def __init__(self, it: Plan, folder: Path, display: Display, sampler: Sampler | None = None) -> None:
        self._folder = folder
        self._events = EventReader(folder / "events.jsonl")
        self._display = display
        self._sampler = sampler
        self._environment = (
            secrets.for_child(os.environ)
            | _OFFLINE[Path(it.model_path).is_dir()]
            | it.device.environment()
            | _threads(it)
        )

    def run(self, command: list[str], log: str, handle: Callable[[Event], None] | None = None) -> Ended:
        child = Child(command, self._folder / "logs" / f"{log}.log", self._environment)
        if self._sampler is not None:
            self._sampler.watch(child.pid)
        try:
            return child.follow(self._events, handle or self._display.event)
        finally:
            if self._sampler is not None:
                self._sampler.watch(None)


def _train(it: Plan, children: _Children, display: Display) -> Ended:
    quantized = it.config.quantization.bits is not None

    def handle(event: Event) -> None:
        if isinstance(event, Evidence) and quantized and not event.quantized_modules:
            raise StopChild(
                f"quantization={it.config.quantization.name} was not applied: none of {event.linear_modules} linear "
                "modules is quantized, so this would have been a second LoRA run under the name of QLoRA"
            )
        display.event(event)

    return children.run(_training_command(it), "training", handle)


def _score(it: Plan, output: Path, adapter: Path | None, children: _Children) -> tuple[Ended, Score | None]:
    """Score a model in a child process. `adapter` None: the base."""
    evaluation = it.config.evaluation
    assert evaluation.benchmark is not None
    run_folder = output if adapter is None else it.folder
    output.mkdir(exist_ok=True)
    job = EvaluationJob(
        benchmark=evaluation.benchmark,
        path=None if evaluation.path is None else Path(evaluation.path).expanduser().resolve(),
        limit=evaluation.limit,
        few_shot=evaluation.few_shot,
        batch_size=evaluation.batch_size,
        max_new_tokens=evaluation.max_new_tokens,
        seed=it.config.dataset.seed,
        threads=it.config.device.threads,
        model_arguments=inference_arguments(it.config, it.model_path, it.precision, adapter),
        model_id=run_folder.name,
        output=output,
        events=run_folder / "events.jsonl",
    )
    ended = children.run(job.command(output / "job.json"), "evaluation")
    score = output / SCORE
    return ended, Score.model_validate_json(score.read_bytes()) if score.exists() else None


def _score_base(it: Plan, display: Display) -> Score | None:
    """The base without adapter, scored once for all runs of a sweep; also when several processes share the sweep."""
    if not (it.config.evaluation.benchmark and it.config.evaluation.score_base):
        return None
    folder = it.base_folder
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if (folder / SCORE).exists():
            return Score.model_validate_json((folder / SCORE).read_bytes())
        shutil.rmtree(folder, ignore_errors=True)
        display.note("scoring the base without adapter, once for this sweep")
        ended, score = _score(it, folder, None, _Children(it, folder, display))
        if score is None:
            display.warn(f"the base could not be scored ({ended.reason}); the runs go on without it")
        return score


def _training_command(it: Plan) -> list[str]:
    return [sys.executable, "-m", "harness.training.child", str(it.folder)]


_OFFLINE = {
    True: {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    False: {"TOKENIZERS_PARALLELISM": "false"},
}
"""A model that is a folder needs no hub, and a machine without network would wait for it."""


def _threads(it: Plan) -> dict[str, str]:
    return {} if it.config.device.threads is None else {"OMP_NUM_THREADS": str(it.config.device.threads)}


def _tracking_job(it: Plan) -> TrackingJob:
    tracking = it.config.tracking
    return TrackingJob(
        mode=tracking.mode,
        project=tracking.project,
        workspace=tracking.workspace,
        experiment=f"{it.config.sweep}/{it.name}",
        group=it.config.sweep,
        tags=[it.arm],
        config=it.resolved(),
        log_folder=it.sweep_folder / SWANLOG,
        run_folder=it.folder,
    )


def _record(it: Plan, progress: _Progress, base: Score | None) -> Record:
    events = read(it.folder / "events.jsonl")
    readings = read_readings(it.folder / "readings.jsonl")
    evidence = [event for event in events if isinstance(event, Evidence)]
    return Record(
        status=progress.outcome,
        reason=progress.reason,
        sweep=it.config.sweep,
        arm=it.arm,
        seed=it.config.seed,
        baseline=it.config.baseline,
        identity=it.identity,
        device=it.device.kind,
        command=it.command,
        config=it.resolved(),
        environment=environment.describe(it.device),
        started_at=datetime.fromtimestamp(progress.started, UTC),
        wall_seconds=time.time() - progress.started,
        memory=memory_peaks(readings, events, progress.baselines),
        evidence=evidence[-1] if evidence else None,
        training=_training(it, events),
        score=progress.score,
        base_score=base,
        base_folder=None if base is None else it.base_folder.name,
        sampling=progress.sampling,
        energy=energy(readings),
        tracking=progress.tracking,
        log_tail=progress.log_tail,
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
