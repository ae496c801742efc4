"""The targets of a run: where each one's weights and answers are, what it has answered and what it still lacks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.base.files import content
from harness.base.paths import absolute
from harness.config.schema import ADAPTER, BASE, MERGED
from harness.plan import files
from harness.plan.spec import RunSpec
from harness.processes.jobs import EvaluationJob
from harness.runs import events, kept
from harness.runs.events import AdapterChecked, Phase
from harness.runs.folder import TargetFolder
from harness.runs.record import MemoryPeak, Record, Reply, Score

NAMES = {
    BASE: "the base before training",
    ADAPTER: "the adapter",
    MERGED: "the adapter merged into the unquantized base",
}
_REPLIES = TypeAdapter(list[Reply])


@dataclass(frozen=True)
class Answered:
    """What a target has answered of what it is asked."""

    score: Score | None = None
    replies: list[Reply] = field(default_factory=list)
    """To all of evaluation.prompts, or none."""


def is_asked(spec: RunSpec, target: str) -> bool:
    """Whether a run's configuration asks something of `target`."""
    evaluation = spec.config.evaluation
    return target in evaluation.targets and bool(evaluation.benchmark or evaluation.prompts) and not spec.is_helper


def is_complete(spec: RunSpec, answered: Answered) -> bool:
    """Whether `answered` is all that is asked for."""
    prompts = [(asked.prompt, asked.expected) for asked in spec.config.evaluation.prompts]
    replies = [(reply.prompt, reply.expected) for reply in answered.replies]
    return not (spec.config.evaluation.benchmark and answered.score is None) and (not prompts or replies == prompts)


def lacking(spec: RunSpec, record: Record) -> list[str]:
    """Return the targets of which a completed run's record lacks something that is asked for."""
    return [
        target
        for target in (ADAPTER, BASE, MERGED)
        if is_asked(spec, target) and not is_complete(spec, in_record(record, target))
    ]


def folder_of(spec: RunSpec, target: str) -> TargetFolder:
    """Return where the answers of a target are."""
    if target == BASE:
        return spec.base_folder
    return spec.folder.evaluation if target == ADAPTER else spec.folder.evaluation_merged


def in_folder(spec: RunSpec, target: str) -> Answered:
    """Return what a target's folder holds. What is damaged counts as not answered, and is asked again.

    A text that is expected now may be another than when the prompt was answered."""
    folder, prompts = folder_of(spec, target), spec.config.evaluation.prompts
    score: Score | None = None
    given: dict[str, Reply] = {}
    with suppress(FileNotFoundError, ValidationError):
        score = Score.model_validate_json(content(folder.score))
    with suppress(FileNotFoundError, ValidationError):
        given = {reply.prompt: reply for reply in _REPLIES.validate_json(content(folder.replies))}
    if any(asked.prompt not in given for asked in prompts):
        return Answered(score)
    return Answered(score, [given[asked.prompt].model_copy(update={"expected": asked.expected}) for asked in prompts])


def check_in_folder(spec: RunSpec) -> AdapterChecked | None:
    """Return how the adapter compared with the trained model when it was asked after its run; None: it was not."""
    found = [event for event in events.read(spec.folder.evaluation.events) if isinstance(event, AdapterChecked)]
    return found[-1] if found else None


def in_record(record: Record, target: str) -> Answered:
    """Return what a run's record holds of a target."""
    return {
        BASE: Answered(record.base_score, record.base_replies),
        ADAPTER: Answered(record.score, record.replies),
        MERGED: Answered(record.merged_score, record.merged_replies),
    }[target]


def unanswered(record: Record) -> Record:
    """Return the record of a run of which nothing was asked yet."""
    empty: dict[str, Any] = dict.fromkeys(("score", "base_score", "base_folder", "merged_score"))
    empty |= {name: [] for name in ("replies", "base_replies", "merged_replies", "merged_memory")}
    empty["files"] = kept.of_training(record)
    return record.model_copy(update=empty | {"adapter_check": None, "unscored": {}})


def record_fields(
    spec: RunSpec, target: str, answered: Answered, memory: list[MemoryPeak], record: Record
) -> dict[str, Any]:
    """Return the fields of a record that a target's answers change.

    Replies stay where no prompts are asked for, and peaks where there are some: a later worker may have had less to
    do."""
    replies = answered.replies or in_record(record, target).replies
    if target == BASE:
        return {"base_score": answered.score, "base_replies": replies, "base_folder": spec.base_folder.path.name}
    if target == MERGED:
        peaks = record.merged_memory or memory
        return {"merged_score": answered.score, "merged_replies": replies, "merged_memory": peaks}
    has_peaks = any(peak.phase is Phase.EVALUATE for peak in record.memory)
    return {"score": answered.score, "replies": replies, "memory": record.memory + ([] if has_peaks else memory)}


def model_of(spec: RunSpec, target: str) -> tuple[str, dict[str, Any]]:
    """Return where a target's weights are, and LLaMA-Factory's arguments that load it."""
    trained = files.trained(spec)
    if target == MERGED:
        arguments = trained.merged_arguments(spec.folder.merged)
    else:
        arguments = trained.adapter_arguments() if target == ADAPTER else trained.base_arguments()
    return str(spec.folder.merged) if target == MERGED else spec.model_path, arguments


def job_for(spec: RunSpec, target: str, reports: Path) -> EvaluationJob:
    """Return the job that asks a target what its folder does not hold, which must be something.

    `reports`: the events.jsonl that its worker appends to."""
    evaluation, answered = spec.config.evaluation, in_folder(spec, target)
    folder = folder_of(spec, target)
    return EvaluationJob(
        benchmark=evaluation.benchmark if answered.score is None else None,
        prompts=evaluation.prompts if not answered.replies else [],
        path=None if evaluation.path is None else absolute(spec.started_in / Path(evaluation.path).expanduser()),
        limit=evaluation.limit,
        few_shot=evaluation.few_shot,
        batch_size=evaluation.batch_size,
        max_new_tokens=evaluation.max_new_tokens,
        seed=spec.config.dataset.seed,
        device=spec.device.torch_device,
        model_arguments=model_of(spec, target)[1],
        model_id=folder.path.name if target == BASE else spec.folder.name,
        check=spec.folder.check if target == ADAPTER and spec.folder.check.exists() else None,
        output=folder.path,
        events=reports,
    )
