"""A run from start to end. Read this file first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from harness.base.errors import UserError
from harness.cli.display import Display
from harness.config.schema import ADAPTER, Config
from harness.devices.reading import Reading
from harness.devices.sampler import Sampler
from harness.execution import scoring
from harness.execution.build_record import Progress, record_of
from harness.execution.session import Children, environment, settings
from harness.launch import nodes
from harness.launch import torchrun as launch
from harness.models import synthetic as random
from harness.plan import identity
from harness.plan import spec as plan
from harness.plan.spec import Plan
from harness.processes.child import Ended, StopChild
from harness.runs import record
from harness.runs.events import Event, Evidence
from harness.runs.record import Outcome, Record, Sampling
from harness.tracking.job import TrackingJob
from harness.tracking.tracker import Tracker

SWANLOG = "swanlog"
"""In a sweep's folder: SwanLab's own files, which `harness watch` shows."""


def run(config: Config, overrides: tuple[str, ...], display: Display, number: int = 0) -> Record | None:
    """Train and score one point, the `number`th of its sweep, unless that was done before. Returns its record; None
    after a dry run, or where node 0 is past that run.

    A run that fails, is killed or runs out of memory returns a record that says so. Ctrl-C leaves a record too, and
    goes on up as KeyboardInterrupt."""
    it = plan.make(config, overrides, number)
    if not config.dry_run:
        nodes.start_point(config.launch, number)
    it.folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(it.folder.with_name(f".{it.folder.name}.lock")):
        # Whether a run is needed is node 0's to say.
        done = None if it.is_helper else _completed(it, display)
        if done is not None:
            display.skipped(it, "completed before")
            return done if config.dry_run else _made_up(it, done, display)
        if it.is_helper and not config.dry_run and not _joins(it, display):
            display.skipped(it, "node 0 is past it")
            return None
        _put_aside(it.folder, display)
        it.folder.mkdir(exist_ok=True)
        plan.write(it, _training_command(it), settings(it.config, it.device))
        if config.dry_run:
            display.planned(it)
            return None
        result = _attempt(it, display)
        display.run_finished(result)
        if result.status is Outcome.INTERRUPTED:
            raise KeyboardInterrupt
        return _made_up(it, result, display)


def _joins(it: Plan, display: Display) -> bool:
    """Whether node 0 trains this run, now or in a while. Raises UserError."""
    # Before, since node 0 waits for nobody who is still at it.
    _make_random_weights(it.config, display)
    wanted = it.config.launch
    display.note(f"{it.name}: waiting for node 0 at {wanted.master_addr}:{wanted.master_port}; Ctrl-C ends it")
    return nodes.join(wanted, it.announced, environment(it.config, it.device, offline=True))


def _completed(it: Plan, display: Display) -> Record | None:
    try:
        found = record.load(it.folder)
    except record.DamagedRecordError as error:
        display.warn(f"damaged record, run again: {error}")
        return None
    return found if found is not None and found.status is Outcome.COMPLETED else None


def _put_aside(folder: Path, display: Display) -> None:
    """Keep what an earlier attempt left: nothing is overwritten but what a dry run planned."""
    if not (folder / "events.jsonl").exists() and not (folder / record.FILE_NAME).exists():
        return
    aside = folder.parent / "earlier" / f"{folder.name}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    aside.parent.mkdir(exist_ok=True)
    folder.rename(aside)
    display.note(f"the earlier attempt is kept in {aside}")


def _attempt(it: Plan, display: Display) -> Record:
    """Whatever happens from here on ends in a record."""
    display.run_started(it)
    progress = Progress()
    try:
        _make_random_weights(it.config, display)
        progress.base_weights = identity.of_weights(Path(it.model_path))
        _train_and_score(it, progress, display)
    except UserError as error:
        progress.fail(str(error))
    result = record_of(it, progress)
    record.write(it.folder, result)
    return result


def _made_up(it: Plan, result: Record, display: Display) -> Record:
    """The record with what is asked for beside the run: the base's score, which comes after the run because that one
    finds out within seconds whether the device can do what is asked of it, the merged model's, and what an earlier
    start did not ask for. Where this is cut short, the run is completed all the same, and the next start makes up for
    it."""
    if result.status is not Outcome.COMPLETED:
        return result
    for target in scoring.lacking(it, result):
        result = scoring.made_up(it, target, result, display)
        plan.write_config(it.folder, result.config)
        record.write(it.folder, result)
    return result


def _make_random_weights(config: Config, display: Display) -> None:
    if config.model.path is None:
        assert config.model.shape is not None
        display.note(f"random weights of {config.model.shape}, made once and kept in {random.cache_folder()}")
        random.materialize(config.model.shape, config.model.shapes[config.model.shape])


def _train_and_score(it: Plan, progress: Progress, display: Display) -> None:
    with _watched(it, progress, display) as sampler:
        children = Children(it, it.folder, display, sampler)
        trained = _train(it, children, display)
        if trained.outcome is not Outcome.COMPLETED:
            progress.end(trained)
        elif scoring.is_asked(it, ADAPTER):
            scored, told = scoring.score(it, ADAPTER, it.folder / "events.jsonl", children)
            progress.score, progress.replies = told.score, told.replies
            if scored.outcome is not Outcome.COMPLETED:
                progress.end(scored, "evaluation: ")


@contextmanager
def _watched(it: Plan, progress: Progress, display: Display) -> Iterator[Sampler]:
    """Sample and track while the body runs, and take in what they saw however it ends."""
    interval_seconds = it.config.device.interval_seconds
    sampler = Sampler(it.device.sensors(interval_seconds), interval_seconds, it.folder / "readings.jsonl")
    sampler.start()
    tracker = Tracker(_tracking_job(it), it.folder / "logs" / "tracking.log")
    display.watch(sampler)
    try:
        yield sampler
    except KeyboardInterrupt:
        progress.fail("interrupted by the user", Outcome.INTERRUPTED)
    except OSError as error:
        progress.fail(f"{type(error).__name__}: {error}")
    finally:
        progress.baselines, progress.sampling = _stop(sampler, interval_seconds)
        progress.tracking = tracker.finish()
        progress.ended = time.time()


def _stop(sampler: Sampler, interval_seconds: float) -> tuple[list[Reading], Sampling]:
    sampled = sampler.stop()
    return sampled.baselines, Sampling(
        interval_seconds=interval_seconds, readings=sampled.readings, gaps=sampled.gaps, errors=sampled.errors
    )


def _train(it: Plan, children: Children, display: Display) -> Ended:
    quantized = it.config.quantization.bits is not None

    def handle(event: Event) -> None:
        if isinstance(event, Evidence) and quantized and not event.quantized_modules:
            raise StopChild(
                f"quantization={it.config.quantization.name} was not applied: none of {event.linear_modules} linear "
                "modules is quantized, so this would have been a second LoRA run under the name of QLoRA"
            )
        display.event(event)

    with nodes.training(it.config.launch):
        ended = children.run(_training_command(it), "training", Path(it.model_path).is_dir(), handle)
    if ended.outcome is Outcome.FAILED and it.config.launch.name != "single":
        named = launch.explain(it.config.launch, it.folder / "logs" / "training.log")
        return replace(ended, reason=f"{named} ({ended.reason})") if named else ended
    return ended


def _training_command(it: Plan) -> list[str]:
    arguments = [str(it.folder), it.device.torch_device]
    return launch.command(it.config.launch, it.device, it.announced, "harness.workers.train", arguments)


def _tracking_job(it: Plan) -> TrackingJob:
    tracking = it.config.tracking
    return TrackingJob(
        mode="disabled" if it.is_helper else tracking.mode,
        project=tracking.project,
        workspace=tracking.workspace,
        experiment=(tracking.experiment or f"{it.config.sweep}/{it.name}").format(arm=it.arm, seed=it.config.seed),
        group=it.config.sweep,
        tags=[it.arm],
        config=it.resolved(),
        log_folder=it.sweep_folder / SWANLOG,
        run_folder=it.folder,
    )
