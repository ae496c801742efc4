"""Scores the targets of evaluation.targets and puts evaluation.prompts to them, each in a worker of its own.

The adapter is scored in the course of its run. The base, once for a sweep, and the merged model come after it, and so
does whatever a completed run lacks of what is asked now: targets and prompts are no part of a run's identity.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.base.errors import first_problem
from harness.base.files import content, remove
from harness.config.schema import ADAPTER, BASE, MERGED
from harness.devices.device import Device
from harness.devices.sampler import Sampler
from harness.evaluation import targets
from harness.evaluation.targets import NAMES, Answered
from harness.execution.leases import Chips
from harness.execution.observer import Observer
from harness.execution.session import Session
from harness.plan import files
from harness.plan.spec import RunSpec
from harness.processes.child import Ended
from harness.processes.environment import worker_environment
from harness.runs import events, kept
from harness.runs.folder import TargetFolder
from harness.runs.measurements import memory_peaks, read_readings
from harness.runs.record import MemoryPeak, Outcome, Record, Reply, Score
from harness.runs.store import keep_damaged, locked
from harness.serving.merge import is_whole, merge, remove_leftovers


def score(spec: RunSpec, target: str, session: Session, log: Path) -> tuple[Ended, Answered]:
    """Ask a target in a worker what its folder does not hold, and return how that ended and what the folder holds."""
    job = targets.job_for(spec, target, session.events)
    offline = job.questions_are_local and Path(targets.model_of(spec, target)[0]).is_dir()
    ended = session.run(job.write(targets.folder_of(spec, target).job), log, offline)
    return ended, targets.in_folder(spec, target)


def backfill(spec: RunSpec, target: str, record: Record, observer: Observer, chips: Chips) -> Record:
    """Return the record with what a target answers, or with the reason why it does not.

    The run is completed all the same, and the next start tries again."""
    memory: list[MemoryPeak] = []
    try:
        answered, memory = _ask_after_the_run(spec, target, chips.device(), observer)
    except Exception as error:  # Whatever it is, it costs this score and no run.
        answered = f"{type(error).__name__}: {error}"
    unscored = {name: why for name, why in record.unscored.items() if name != target}
    # What is asked for beside the run itself is what was asked for last.
    config = record.config | {"evaluation": spec.resolved()["evaluation"]}
    update: dict[str, Any] = {"command": spec.command, "config": config, "unscored": unscored}
    # What cannot be read again is not worth a score: whoever verifies the run will hear of it.
    with suppress(OSError):
        update["files"] = kept.with_answers(record, spec.folder, targets.folder_of(spec, target))
    if target == ADAPTER and (checked := targets.check_in_folder(spec)):
        update["adapter_check"] = checked
    if isinstance(answered, str):
        observer.warn(f"{NAMES[target]} could not be scored ({answered}); the runs go on without it")
        return record.model_copy(update=update | {"unscored": unscored | {target: answered}})
    return record.model_copy(update=update | targets.record_fields(spec, target, answered, memory, record))


def _ask_after_the_run(
    spec: RunSpec, target: str, device: Device, observer: Observer
) -> tuple[Answered | str, list[MemoryPeak]]:
    """Ask a target with events and readings of its own. In place of its answers, why there are none.

    The base is asked once for all runs of a sweep, also when several processes share the sweep."""
    folder = targets.folder_of(spec, target)
    lock = folder.path.with_name(f".{folder.path.name}.lock")
    with locked(lock, lambda: observer.note("another run scores the base")) if target == BASE else nullcontext():
        _put_damaged_aside(folder, observer)
        answered = targets.in_folder(spec, target)
        if targets.is_complete(spec, answered):
            return answered, []
        if target == MERGED and not is_whole(spec.folder.merged):
            if spec.folder.merged.exists():
                aside = keep_damaged(spec.folder.merged)
                observer.warn(f"{spec.folder.merged}: is no whole model; kept as {aside.name}, and merged again")
            observer.note("merging the adapter into the unquantized base")
            ended = _merge(spec, device, observer)
            if ended.outcome is not Outcome.COMPLETED:
                return f"merging: {ended.reason}", []
        return _ask_and_sample(spec, target, device, observer)


def _put_damaged_aside(folder: TargetFolder, observer: Observer) -> None:
    """Rename what cannot be read of an earlier asking, and say so: it is asked again."""
    for file, read in (
        (folder.score, Score.model_validate_json),
        (folder.replies, TypeAdapter(list[Reply]).validate_json),
    ):
        try:
            read(content(file))
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            observer.warn(f"{folder.path}: is no folder; kept as {keep_damaged(folder.path).name}, and asked again")
            return
        except (OSError, ValidationError) as error:
            problem = first_problem(error) if isinstance(error, ValidationError) else error.strerror
            observer.warn(f"{file}: {problem}; kept as {keep_damaged(file).name}, and asked again")


def _ask_and_sample(
    spec: RunSpec, target: str, device: Device, observer: Observer
) -> tuple[Answered | str, list[MemoryPeak]]:
    folder = targets.folder_of(spec, target)
    folder.path.mkdir(exist_ok=True)
    for file in (folder.events, folder.readings):
        remove(file)  # of an earlier attempt, which would seem to happen again
    observer.note(f"scoring {NAMES[target]}{', once for this sweep' if target == BASE else ''}")
    interval_seconds = spec.config.device.interval_seconds
    # The base belongs to no run, so no run's record keeps its memory.
    sensors = [] if target == BASE else device.sensors(interval_seconds)
    sampler = Sampler(sensors, interval_seconds, folder.readings)
    sampler.start()
    try:
        session = Session(spec.config, device, folder.events, observer, sampler)
        ended, answered = score(spec, target, session, folder.log("evaluation"))
    finally:
        sampled = sampler.stop()
    if ended.outcome is not Outcome.COMPLETED:
        return ended.reason or ended.outcome.value, []
    observer.target_answered(NAMES[target], answered.score, answered.replies)
    return answered, memory_peaks(read_readings(folder.readings), events.read(folder.events), sampled.baselines)


def _merge(spec: RunSpec, device: Device, observer: Observer) -> Ended:
    folder = spec.folder
    for leftover in remove_leftovers(folder.merged):
        observer.note(f"removed what a merge that was killed had left: {leftover}")
    arguments = files.trained(spec).export_arguments(folder.merged)
    environment = worker_environment(spec.config, device, spec.has_local_model)
    return merge(arguments, folder.merged, folder.log("merge"), environment, device.held)
