"""Scores the targets of evaluation.targets and puts evaluation.prompts to them, each in a child process of its own.

The adapter is scored in the course of its run. The base, once for a sweep, and the merged model come after it, and so
does whatever a completed run lacks of what is asked now: targets and prompts are no part of a run's identity.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import TypeAdapter

from harness.base.errors import UserError
from harness.cli.display import Display
from harness.config.schema import ADAPTER, BASE, MERGED
from harness.devices.sampler import Sampler
from harness.evaluation.job import REPLIES, SCORE, EvaluationJob
from harness.execution.session import Children, environment
from harness.plan.spec import Plan
from harness.processes.child import Ended
from harness.runs.events import Phase, read
from harness.runs.measurements import memory_peaks, read_readings
from harness.runs.record import MemoryPeak, Outcome, Record, Reply, Score
from harness.serving.merge import merge
from harness.trainer.arguments import export_arguments, inference_arguments

_REPLIES = TypeAdapter(list[Reply])


@dataclass(frozen=True)
class Told:
    """What a target said, as far as it was asked."""

    score: Score | None = None
    replies: list[Reply] = field(default_factory=list)
    """To all of evaluation.prompts, or none."""


def is_asked(it: Plan, target: str) -> bool:
    evaluation = it.config.evaluation
    return target in evaluation.targets and bool(evaluation.benchmark or evaluation.prompts) and not it.is_helper


def score(it: Plan, target: str, events: Path, children: Children) -> tuple[Ended, Told]:
    """Ask a target in a child process what its folder does not hold, which must be something."""
    held, evaluation = _held(it, target), it.config.evaluation
    benchmark = evaluation.benchmark if held.score is None else None
    prompts = evaluation.prompts if not held.replies else []
    model_path, arguments = _model(it, target)
    output = _folder(it, target)
    output.mkdir(exist_ok=True)
    job = EvaluationJob(
        benchmark=benchmark,
        prompts=prompts,
        path=None if evaluation.path is None else Path(evaluation.path).expanduser().resolve(),
        limit=evaluation.limit,
        few_shot=evaluation.few_shot,
        batch_size=evaluation.batch_size,
        max_new_tokens=evaluation.max_new_tokens,
        seed=it.config.dataset.seed,
        device=it.device.torch_device,
        model_arguments=arguments,
        model_id=output.name if target == BASE else it.folder.name,
        output=output,
        events=events,
    )
    offline = job.questions_are_local and Path(model_path).is_dir()
    ended = children.run(job.command(output / "job.json"), "evaluation", offline)
    return ended, _held(it, target)


def lacking(it: Plan, result: Record) -> list[str]:
    """The targets of which a completed run's record does not hold all that is asked for."""
    return [
        target
        for target in (ADAPTER, BASE, MERGED)
        if is_asked(it, target) and not _is_all(it, _recorded(result, target))
    ]


def made_up(it: Plan, target: str, result: Record, display: Display) -> Record:
    """The record with what a target says. Where that cannot be had, with the reason: the run is completed all the same,
    and the next start tries again."""
    try:
        told, memory = _ask_apart(it, target, display)
    except (UserError, OSError) as error:
        told, memory = f"{type(error).__name__}: {error}", []
    unscored = {name: why for name, why in result.unscored.items() if name != target}
    # What is asked for beside the run itself is what was asked for last.
    asked = {"command": it.command, "config": result.config | {"evaluation": it.resolved()["evaluation"]}}
    if isinstance(told, str):
        display.warn(f"{_NAMES[target]} could not be scored ({told}); the runs go on without it")
        return result.model_copy(update=asked | {"unscored": unscored | {target: told}})
    return result.model_copy(update=asked | {"unscored": unscored} | _fields(it, target, told, memory, result))


_NAMES = {
    BASE: "the base without adapter",
    ADAPTER: "the adapter",
    MERGED: "the adapter merged into the unquantized base",
}


def _folder(it: Plan, target: str) -> Path:
    """Of a target's answers."""
    return {BASE: it.base_folder, ADAPTER: it.folder / "evaluation", MERGED: it.folder / "evaluation-merged"}[target]


def _model(it: Plan, target: str) -> tuple[str, dict[str, Any]]:
    """Where a target's weights are, and LLaMA-Factory's arguments that load it."""
    path = str(_merged(it)) if target == MERGED else it.model_path
    adapter = it.folder / "adapter" if target == ADAPTER else None
    return path, inference_arguments(it.config, path, it.precision, adapter)


def _merged(it: Plan) -> Path:
    return it.folder / "merged"


def _held(it: Plan, target: str) -> Told:
    """What a target's folder holds. A text that is expected now may be another than when the prompt was answered."""
    folder, prompts = _folder(it, target), it.config.evaluation.prompts
    found = folder / SCORE
    score = Score.model_validate_json(found.read_bytes()) if found.exists() else None
    given: dict[str, Reply] = {}
    if (folder / REPLIES).exists():
        given = {reply.prompt: reply for reply in _REPLIES.validate_json((folder / REPLIES).read_bytes())}
    if any(one.prompt not in given for one in prompts):
        return Told(score)
    return Told(score, [given[one.prompt].model_copy(update={"expected": one.expected}) for one in prompts])


def _is_all(it: Plan, told: Told) -> bool:
    """Whether it is all that is asked for."""
    prompts = [(one.prompt, one.expected) for one in it.config.evaluation.prompts]
    replies = [(reply.prompt, reply.expected) for reply in told.replies]
    return not (it.config.evaluation.benchmark and told.score is None) and (not prompts or replies == prompts)


def _recorded(result: Record, target: str) -> Told:
    return {
        BASE: Told(result.base_score, result.base_replies),
        ADAPTER: Told(result.score, result.replies),
        MERGED: Told(result.merged_score, result.merged_replies),
    }[target]


def _fields(it: Plan, target: str, told: Told, memory: list[MemoryPeak], result: Record) -> dict[str, Any]:
    """Of the record. Replies stay where no prompts are asked for, and peaks where there are some: a later child may
    have had less to do."""
    replies = told.replies or _recorded(result, target).replies
    if target == BASE:
        return {"base_score": told.score, "base_replies": replies, "base_folder": it.base_folder.name}
    if target == MERGED:
        return {"merged_score": told.score, "merged_replies": replies, "merged_memory": result.merged_memory or memory}
    scored = any(peak.phase is Phase.EVALUATE for peak in result.memory)
    return {"score": told.score, "replies": replies, "memory": result.memory + ([] if scored else memory)}


def _ask_apart(it: Plan, target: str, display: Display) -> tuple[Told | str, list[MemoryPeak]]:
    """Ask a target after its run, with events and readings of its own. In place of what it says, why it says nothing.

    The base is asked once for all runs of a sweep, also when several processes share the sweep."""
    folder = _folder(it, target)
    with FileLock(folder.with_name(f".{folder.name}.lock")) if target == BASE else nullcontext():
        return _ask_and_sample(it, target, display)


def _ask_and_sample(it: Plan, target: str, display: Display) -> tuple[Told | str, list[MemoryPeak]]:
    held = _held(it, target)
    if _is_all(it, held):
        return held, []
    if target == MERGED and not _merged(it).exists():
        display.note("merging the adapter into the unquantized base")
        ended = _merge(it)
        if ended.outcome is not Outcome.COMPLETED:
            return f"merging: {ended.reason}", []
    folder = _folder(it, target)
    folder.mkdir(exist_ok=True)
    events, readings = folder / "events.jsonl", folder / "readings.jsonl"
    for file in (events, readings):
        file.unlink(missing_ok=True)  # of an earlier attempt, which would seem to happen again
    display.note(f"scoring {_NAMES[target]}{', once for this sweep' if target == BASE else ''}")
    interval_seconds = it.config.device.interval_seconds
    # The base belongs to no run, so no run's record keeps its memory.
    sensors = [] if target == BASE else it.device.sensors(interval_seconds)
    sampler = Sampler(sensors, interval_seconds, readings)
    sampler.start()
    try:
        ended, told = score(it, target, events, Children(it, folder, display, sampler))
    finally:
        sampled = sampler.stop()
    if ended.outcome is not Outcome.COMPLETED:
        return ended.reason or ended.outcome.value, []
    display.told(_NAMES[target], told.score, told.replies)
    return told, memory_peaks(read_readings(readings), read(events), sampled.baselines)


def _merge(it: Plan) -> Ended:
    offline = Path(it.model_path).is_dir()
    arguments = export_arguments(it.config, it.model_path, it.folder / "adapter", _merged(it))
    return merge(arguments, _merged(it), it.folder / "logs" / "merge.log", environment(it.config, it.device, offline))
