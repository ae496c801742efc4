"""A run from start to end. Read this file first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.base.errors import UserError
from harness.base.files import write_atomically
from harness.config.schema import ADAPTER
from harness.data.prepare import Rows
from harness.devices.device import Device
from harness.devices.reading import Reading
from harness.devices.sampler import Sampler
from harness.evaluation import targets
from harness.execution.build_record import Progress, build_record
from harness.execution.leases import Chips, chips_of
from harness.execution.observer import Observer, RunLabel, RunStarted
from harness.execution.scoring import backfill, score
from harness.execution.session import Session
from harness.launch import torchrun
from harness.launch.nodes import Nodes
from harness.models import fingerprint, synthetic
from harness.plan import device as devices
from harness.plan import files, identity, machine
from harness.plan.planner import Planner
from harness.plan.spec import RunSpec
from harness.processes import standby
from harness.processes.child import Ended, StopChild, log_tail
from harness.processes.environment import added_settings, worker_environment
from harness.processes.jobs import TrackingJob
from harness.processes.symptoms import diagnose
from harness.runs import kept, store
from harness.runs.events import Event, Evidence, Phase
from harness.runs.folder import RunFolder
from harness.runs.forecasted import Forecast
from harness.runs.record import Outcome, Record, Sampling
from harness.tracking.names import experiment_name
from harness.tracking.tracker import Tracker


@dataclass
class Shared:
    """What the runs of a sweep share while they go on."""

    observer: Observer
    planner: Planner
    wanted: frozenset[Path] = frozenset()
    """The folders of all runs that the command asks for."""
    forecasts: Mapping[str, Forecast] = field(default_factory=dict)
    """Of the memory of each arm, by `RunSpec.of_arm`."""
    nodes: Nodes = field(default_factory=Nodes)
    goes_on: bool = False
    """Whether this process has another run after the one that it is at."""


def run(spec: RunSpec, shared: Shared) -> Record | None:
    """Train and score one run, unless that was done before. Returns its record; None after a dry run, or where node 0
    is past that run.

    A run that fails in whatever way returns a record that says so. Ctrl-C leaves a record too, and goes on up as
    KeyboardInterrupt. Raises UserError where node 0 cannot be joined, and OSError where no record can be written."""
    observer, label = shared.observer, RunLabel(spec.name, spec.number + 1)
    if not spec.config.dry_run:
        shared.nodes.start_run(spec.config.launch, spec.number)
    spec = as_recorded(spec)
    spec.folder.path.parent.mkdir(parents=True, exist_ok=True)
    if spec.config.dry_run:
        return _plan(spec, label, shared)
    waiting = f"{spec.name}: another process is at it; waiting"
    with store.locked(spec.folder.lock, lambda: observer.note(waiting)), chips_of(spec, observer) as chips:
        # Whether a run is needed is node 0's to say.
        done = None if spec.is_helper else _completed(spec, observer)
        if done is not None:
            observer.skipped(label, "completed before")
            return _with_all_targets(spec, done, shared, chips)
        if spec.is_helper and not _joins(spec, shared, chips):
            observer.skipped(label, "node 0 is past it")
            return None
        record = _attempt(spec, label, 1, shared, chips)
        # The other machines of a run are past it by then.
        retries = spec.config.retry.attempts if spec.config.launch.nnodes == 1 else 0
        for number in range(1, retries + 1):
            if not record.transient:
                break
            observer.note(f"{spec.name}: tried again, {number} of {retries} times: {record.reason}")
            record = _attempt(spec, label, number + 1, shared, chips)
        if record.status is Outcome.INTERRUPTED:
            raise KeyboardInterrupt
        return _with_all_targets(spec, record, shared, chips)


def _plan(spec: RunSpec, label: RunLabel, shared: Shared) -> Record | None:
    """Write what a run would be started with, unless it is done, or at it; its record where it is done."""
    observer = shared.observer
    with store.locked_at_once(spec.folder.lock) as is_ours:
        if not is_ours:
            observer.skipped(label, "another process is at it")
        elif not spec.is_helper and (done := _completed(spec, observer)) is not None:
            observer.skipped(label, "completed before")
            return done
        elif _own_training(spec) is not None:
            observer.skipped(label, "trained before, and only to be scored")
        else:
            _put_aside(spec, observer)
            files.write(spec, shared.planner.rows(spec.config.dataset)[0], _settings_if_seen(spec))
            observer.planned(label, spec.folder.train)
    return None


def as_recorded(spec: RunSpec) -> RunSpec:
    """The spec under whose name a run lies: the version before may have given the same run another identity."""
    former = spec.former()
    return former if former is not None and former.folder.record.exists() and not spec.folder.path.exists() else spec


def _completed(spec: RunSpec, observer: Observer) -> Record | None:
    try:
        record = store.load(spec.folder)
    except store.DamagedRecordError as error:
        observer.warn(f"damaged record, run again: {error}")
        return None
    if record is None or record.status is not Outcome.COMPLETED:
        return None
    if lost := kept.lost_weights(spec.folder, record):
        observer.warn(f"damaged, run again: {lost}")
        return None
    return record


def _joins(spec: RunSpec, shared: Shared, chips: Chips) -> bool:
    """Whether node 0 trains this run, now or in a while. Raises UserError."""
    # Before, since node 0 waits for nobody who is still at it.
    _make_random_weights(spec, shared.observer)
    launch = spec.config.launch
    shared.observer.note(
        f"{spec.name}: waiting for node 0 at {launch.master_addr}:{launch.master_port}; Ctrl-C ends it"
    )
    environment = worker_environment(spec.config, chips.device(), offline=True)
    return shared.nodes.join(launch, spec.announced, environment)


def _settings_if_seen(spec: RunSpec) -> dict[str, str]:
    """What the device adds to a command's environment; nothing where a run is planned without its device."""
    if spec.device.product is None:
        return {}
    return added_settings(spec.config, devices.choose(spec.config, spec.device.kind))


def _attempt(spec: RunSpec, label: RunLabel, attempt: int, shared: Shared, chips: Chips) -> Record:
    """Train and score a run, or score what an earlier attempt has trained, and return its record."""
    if not spec.is_helper and (trained := _trained_before(spec, shared.wanted)):
        return _score_again(spec, label, trained, shared, chips)
    _put_aside(spec, shared.observer)
    record = _train_anew(spec, label, attempt, shared, chips)
    shared.observer.run_finished(record)
    return record


def _put_aside(spec: RunSpec, observer: Observer) -> None:
    if aside := store.put_aside(spec.folder):
        observer.note(f"the earlier attempt is kept in {aside}")


def _train_anew(spec: RunSpec, label: RunLabel, attempt: int, shared: Shared, chips: Chips) -> Record:
    """Whatever happens from here on ends in a record."""
    progress = Progress(attempt=attempt, forecast=shared.forecasts.get(spec.of_arm))
    spec.folder.path.mkdir(exist_ok=True)
    with _ends_in(progress):
        device = chips.device()
        if spec.config.launch.name == "single":
            # Done with before anything is measured.
            environment = worker_environment(spec.config, device, spec.has_local_model)
            standby.prepare(environment, device.kind, shared.observer.note)
        # What was waited for is not the run's time.
        progress.started = time.time()
        # Before anything can fail, so that the display knows whose failure it is.
        product = spec.device.product or spec.device.kind
        shared.observer.run_started(RunStarted(label, product, spec.precision, spec.folder.path))
        store.reserve(spec.folder)
        write_atomically(spec.folder.holder, chips.holder.model_dump_json() + "\n")
        rows = _as_planned(spec, device, shared.planner)
        command = files.write(spec, rows, added_settings(spec.config, device))
        _make_random_weights(spec, shared.observer)
        progress.base_weights = fingerprint.of_weights(Path(spec.model_path))
        _train_and_score(spec, device, command, progress, shared)
    record = _record(spec, progress, chips)
    store.write(spec.folder, record)
    return record


@contextmanager
def _ends_in(progress: Progress) -> Iterator[None]:
    """Whatever ends the body is how the run ended."""
    try:
        yield
    except KeyboardInterrupt:
        progress.fail("interrupted by the user", Outcome.INTERRUPTED)
    except UserError as error:
        progress.fail(str(error))
    except Exception as error:
        progress.fail_with(error)


def _record(spec: RunSpec, progress: Progress, chips: Chips) -> Record:
    """The record, also where somebody interrupts: hashing a large model takes long, and costs nobody the training."""
    with _ends_in(progress):
        progress.neighbours = chips.neighbours(progress.started)
        return build_record(spec, progress)
    return build_record(spec, progress, is_hashed=False)


def _as_planned(spec: RunSpec, device: Device, planner: Planner) -> Rows:
    """The rows of a run. Raises UserError where they, the device or the model are no longer what was planned."""
    seen = devices.describe(device)
    changed = []
    if (seen.product, seen.chips) != (spec.device.product, spec.device.chips):
        changed.append(
            f"device: the run was planned for {spec.device.product or spec.device.kind} x {max(1, spec.device.chips)}, "
            f"and {seen.product} x {max(1, seen.chips)} is what this machine has; plan it again, with the command"
        )
    if planner.weights(spec.config)[1] != spec.parts.model:
        changed.append(f"model.path={spec.config.model.path}: holds another model than when the run was planned")
    planner.fetch(spec.config)
    rows, digest = planner.rows(spec.config.dataset)
    if planner.content_of(spec.config, rows, digest) != spec.parts.rows:
        changed.append(f"dataset.path={spec.config.dataset.path}: holds other rows than when the run was planned")
    if changed:
        raise UserError(changed)
    return rows


def _make_random_weights(spec: RunSpec, observer: Observer) -> None:
    model = spec.config.model
    if model.path is None:
        assert model.shape is not None, "the checks ask for a path or a shape"
        observer.note(f"random weights of {model.shape}, made once and kept in {synthetic.cache_folder()}")
        synthetic.materialize(model.shape, model.shapes[model.shape], observer.note)


def _train_and_score(spec: RunSpec, device: Device, command: list[str], progress: Progress, shared: Shared) -> None:
    folder = spec.folder
    with _watched(spec, device, progress, shared.observer) as sampler:
        session = Session(spec.config, device, folder.events, shared.observer, sampler)
        trained = _train(spec, command, session, shared)
        if trained.outcome is not Outcome.COMPLETED:
            progress.end(trained)
            return
        progress.trained_weights = fingerprint.of_weights(files.trained(spec).adapter)
        if targets.is_asked(spec, ADAPTER):
            if shared.goes_on and spec.config.launch.name == "single" and not spec.config.device.takes_free:
                # Other chips would be another environment.
                standby.prepare_next(worker_environment(spec.config, device, spec.has_local_model), device.kind)
            scored, answered = score(spec, ADAPTER, session, folder.log("evaluation"))
            progress.score, progress.replies = answered.score, answered.replies
            if scored.outcome is not Outcome.COMPLETED:
                progress.end(scored, "evaluation: ")


@contextmanager
def _watched(spec: RunSpec, device: Device, progress: Progress, observer: Observer) -> Iterator[Sampler]:
    """Sample and track while the body runs, and take in what they saw however it ends."""
    interval_seconds = spec.config.device.interval_seconds
    sampler = Sampler(device.sensors(interval_seconds), interval_seconds, spec.folder.readings)
    progress.look = machine.Look(spec.config, device, sampler.baseline())
    sampler.start()
    tracker = Tracker(
        tracking_job(spec),
        spec.folder.job("track"),
        spec.folder.log("tracking"),
        lambda problem: observer.warn(f"{spec.name}: {problem}"),
    )
    observer.watch(sampler)
    try:
        yield sampler
    finally:
        progress.baselines, progress.sampling = _stop(sampler, interval_seconds)
        # What SwanLab still takes is not the run's time.
        progress.ended = time.time()
        progress.tracking = tracker.finish()


def _stop(sampler: Sampler, interval_seconds: float) -> tuple[list[Reading], Sampling]:
    sampled = sampler.stop()
    return sampled.baselines, Sampling(
        interval_seconds=interval_seconds, readings=sampled.readings, gaps=sampled.gaps, errors=sampled.errors
    )


def _train(spec: RunSpec, command: list[str], session: Session, shared: Shared) -> Ended:
    quantization = spec.config.quantization

    def handle(event: Event) -> None:
        if isinstance(event, Evidence) and quantization.bits is not None and not event.quantized_modules:
            raise StopChild(
                f"quantization={quantization.name} was not applied: none of {event.linear_modules} linear "
                "modules is quantized, so this would have been a second LoRA run under the name of QLoRA"
            )
        session.observer.event(event)

    log = spec.folder.log("training")
    with shared.nodes.training(spec.config.launch):
        ended = session.run(command, log, spec.has_local_model, handle)
    if ended.outcome is Outcome.FAILED and spec.config.launch.name != "single":
        named = torchrun.explain(spec.config.launch, log)
        return replace(ended, reason=f"{named} ({ended.reason})") if named else ended
    return ended


def tracking_job(spec: RunSpec) -> TrackingJob:
    """Return what the tracker of a run is told."""
    tracking, folder = spec.config.tracking, spec.folder
    return TrackingJob(
        mode="disabled" if spec.is_helper else tracking.mode,
        project=tracking.project,
        workspace=tracking.workspace,
        experiment=experiment_name(tracking.experiment, spec.config.sweep, spec.arm, spec.config.seed),
        group=spec.config.sweep,
        tags=[spec.arm],
        config=spec.resolved(),
        log_folder=spec.sweep_folder.swanlog,
        events=folder.events,
        readings=folder.readings,
        score=folder.evaluation.score,
    )


def _trained_before(spec: RunSpec, wanted: frozenset[Path]) -> Record | None:
    """The record of a run that trained just this, and failed only in what came after; now it is that of `spec`.

    `wanted`: folders that others will still be made of."""
    if (own := _own_training(spec)) is not None:
        return _asked_anew(spec, own)
    for folder in spec.sweep_folder.runs_of(spec.name):
        if folder.path in wanted or folder.path == spec.folder.path:
            continue
        # What is true of it is so only while nobody else is at it.
        with suppress(store.DamagedRecordError), store.locked_at_once(folder.lock) as is_ours:
            record = store.load(folder) if is_ours else None
            if record is not None and _is_kept(spec, folder, record):
                record = _asked_anew(spec, record)
                store.take_over(folder, spec.folder, record)
                return record
    return None


def _own_training(spec: RunSpec) -> Record | None:
    """The record in the run's own folder where that need not be trained again."""
    with suppress(store.DamagedRecordError):
        record = store.load(spec.folder)
        if record is not None and _is_kept(spec, spec.folder, record):
            return record
    return None


def _asked_anew(spec: RunSpec, record: Record) -> Record:
    """The record of a training as that of `spec`, whose answers are of other questions where it had another name."""
    if record.identity == spec.identity:
        return record
    config = record.config | {"evaluation": spec.resolved()["evaluation"]}
    own = {"identity": spec.identity, "identity_parts": spec.parts, "command": spec.command, "config": config}
    return targets.unanswered(record).model_copy(update=own)


def _is_kept(spec: RunSpec, folder: RunFolder, record: Record) -> bool:
    """Whether a run need not be trained again, since what `record` tells of is its training, as it was saved."""
    if record.status is Outcome.COMPLETED or record.trained_weights is None or record.identity_parts is None:
        return False
    if identity.of_training(record.identity_parts) != identity.of_training(spec.parts):
        return False
    check = record.adapter_check
    if check is not None and not check.is_same:
        return False
    adapter = folder.path / files.trained(spec).adapter.relative_to(spec.folder.path)
    return fingerprint.of_weights(adapter) == record.trained_weights


def _score_again(spec: RunSpec, label: RunLabel, trained: Record, shared: Shared, chips: Chips) -> Record:
    """Ask what a training left, and return the record of both."""
    observer = shared.observer
    product = spec.device.product or spec.device.kind
    observer.run_started(RunStarted(label, product, spec.precision, spec.folder.path))
    observer.note(f"{spec.name}: trained before, and only scored now")
    try:
        device = chips.device()
        rows = _as_planned(spec, device, shared.planner)
        # Another command trained it, with paths and intervals that its files tell as they were.
        if trained.command == spec.command:
            files.write(spec, rows, added_settings(spec.config, device))
        if trained.files is None:  # Somebody interrupted that.
            trained = trained.model_copy(update={"files": kept.training(spec.folder)})
        record = _ask_adapter_again(spec, trained, shared, chips)
        why = record.unscored.pop(ADAPTER, None)
    except UserError as error:
        record, why = trained, str(error)
    outcome: dict[str, Any] = {"status": Outcome.COMPLETED, "reason": None, "log_tail": [], "diagnosis": None}
    if why is not None:
        tail = log_tail(spec.folder.evaluation.log("evaluation"))
        diagnosis = diagnose("\n".join([*tail, why]))
        reason = f"evaluation: {why}"
        outcome = {"status": Outcome.FAILED, "reason": reason, "log_tail": tail, "diagnosis": diagnosis}
    transient = outcome["diagnosis"] is not None and outcome["diagnosis"].transient
    record = record.model_copy(update={**outcome, "transient": transient})
    files.write_config(spec.folder, record.config)
    store.write(spec.folder, record)
    observer.run_finished(record)
    return record


def _ask_adapter_again(spec: RunSpec, trained: Record, shared: Shared, chips: Chips) -> Record:
    """The record with what the adapter answers, where that is asked; `unscored` says why it does not."""
    if ADAPTER not in targets.lacking(spec, trained):
        return trained.model_copy(update={"unscored": {}})
    # What that took the first time is of a scoring that failed, and may be of one that hung.
    without: dict[str, Any] = {
        "memory": [peak for peak in trained.memory if peak.phase is not Phase.EVALUATE],
        "phase_seconds": {
            phase: spent for phase, spent in trained.phase_seconds.items() if phase is not Phase.EVALUATE
        },
        "wall_seconds": None,
        "energy": None,
        "unscored": {},
    }
    return backfill(spec, ADAPTER, trained.model_copy(update=without), shared.observer, chips)


def _with_all_targets(spec: RunSpec, record: Record, shared: Shared, chips: Chips) -> Record:
    """The record with what is asked for beside the run: the base's score, which comes after the run because that one
    finds out within seconds whether the device can do what is asked of it, the merged model's, and what an earlier
    start did not ask for. Where this is cut short, the run is completed all the same, and the next start goes on."""
    if record.status is not Outcome.COMPLETED:
        return record
    for target in targets.lacking(spec, record):
        record = backfill(spec, target, record, shared.observer, chips)
        files.write_config(spec.folder, record.config)
        store.write(spec.folder, record)
    return record
