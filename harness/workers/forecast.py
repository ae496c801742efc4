"""Says what memory arms take: their own steps, followed without weights and without their device."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base.files import write_atomically
from harness.base.garbage import uncollected
from harness.processes.jobs import ForecastJob, ToTrace, Traced, TracedPhase
from harness.runs.forecasted import ForecastPhase
from harness.workers import compat, lifecycle

_LENGTHS = (512, 1024, 2048, 4096, 8192, 16384, 32768)
"""In tokens, for which the largest batch is looked for."""

if TYPE_CHECKING:
    from harness.devices.allocator import CachingAllocator
    from harness.workers.tracing.steps import Process, Tracer


def main(job: ForecastJob) -> None:
    """Trace each arm; one that cannot be traced says why. Raises OSError where the answer cannot be written."""
    with lifecycle.collector_paused():
        compat.prepare_imports()
        compat.patch_bitsandbytes()
        compat.patch_dora()
        importlib.import_module("harness.workers.tracing.steps")
    with tempfile.TemporaryDirectory() as folder:
        traced = [_traced(arm, job.tokenizer, Path(folder) / str(number)) for number, arm in enumerate(job.arms)]
    write_atomically(job.answer, "".join(each.model_dump_json() + "\n" for each in traced))


def _traced(arm: ToTrace, tokenizer: Path, folder: Path) -> Traced:
    from harness.workers.tracing import model_files

    try:
        arguments = arm.arguments | model_files.place(arm, tokenizer, folder)
        if problem := model_files.problem(arguments):
            return Traced(problem=problem)
        with uncollected():
            return _trace(arm, arguments)
    except model_files.UnreachableError as error:
        return Traced(problem=str(error))
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        instead = "run a few steps instead: training.max_steps=4"
        return Traced(problem=f"cannot be followed without weights and device: {said}; {instead}")


def _trace(arm: ToTrace, arguments: dict[str, Any]) -> Traced:
    from harness.workers.tracing import rows
    from harness.workers.tracing.steps import Batch, Questions, Tracer

    tracer = Tracer(arguments, arm.kind)
    per_device = int(arguments["per_device_train_batch_size"])
    longest = rows.longest(arguments) if arm.tokens is None else None
    tokens, padded = (longest.tokens, longest.differ) if longest else (arm.tokens or 1, False)
    batch = Batch(per_device, tokens, padded)
    validation = None
    if arm.validated:
        held_out = longest.validation_tokens if longest else tokens
        validation = Batch(int(arguments.get("per_device_eval_batch_size", per_device)), held_out, padded)
    trained = tracer.train(batch, validation, several=arm.processes > 1)
    questions = None
    if arm.questions is not None:
        asked = rows.prompt_tokens(arguments, arm.question_texts) if arm.question_texts else tokens
        questions = Questions(arm.questions, asked, arm.new_tokens)
    answered: dict[int, Process] = {}

    def processes_on(memory_bytes: int | None) -> list[Process]:
        if questions is None:
            return [trained]
        at_once = questions.rows if memory_bytes is None else tracer.rows_at_once(questions, memory_bytes)
        if at_once not in answered:
            answered[at_once] = tracer.answer(replace(questions, rows=at_once))
        return [trained, answered[at_once]]

    memories: list[int | None] = [*arm.memory_bytes] or [None] * max(1, len(arm.limits_bytes))
    processes = processes_on(memories[0])
    filled = -(-tokens // 8) * 8
    full = [
        _full(processes_on(memory), limit, arm.expandable)
        for limit, memory in zip(arm.limits_bytes, memories, strict=bool(arm.limits_bytes))
    ]
    largest = {}
    if arm.fit_bytes is not None:
        largest = _largest(tracer, arm, arm.fit_bytes, [each for each in _LENGTHS if each <= tracer.max_tokens])
    elif full and full[0] is not None and not tracer.untraced:
        largest = _largest(tracer, arm, arm.limits_bytes[-1], [filled])
    return Traced(
        largest=largest,
        tokens=filled,
        phases=[phase for process in processes for phase in _phases(process, arm)],
        full=full,
        base_bytes=tracer.base_bytes,
        is_partial=all(step.phase is not ForecastPhase.TRAIN for step in trained.steps),
        untraced=tracer.untraced,
    )


def _largest(tracer: Tracer, arm: ToTrace, limit_bytes: int, lengths: list[int]) -> dict[int, int]:
    from harness.workers.tracing.scaling import Scaling, UnlikeError
    from harness.workers.tracing.steps import Batch

    several = arm.processes > 1

    def train(rows: int, tokens: int) -> Process:
        return tracer.train(Batch(rows, tokens, padded=False), None, several)

    try:
        scaling = Scaling(train, arm.expandable)
    except UnlikeError:
        tracer.leave_out("the largest batch that fits: batches of other sizes take other operators")
        return {}
    return {tokens: scaling.most_rows(tokens, limit_bytes) for tokens in lengths}


def _phases(process: Process, arm: ToTrace) -> list[TracedPhase]:
    from harness.devices.allocator import CachingAllocator

    allocator = CachingAllocator(expandable=arm.expandable)
    phases: list[TracedPhase] = []

    def ended(phase: ForecastPhase) -> None:
        booked = process.steps[len(phases)].booked
        cached = arm.kind != "cpu"
        phases.append(
            TracedPhase(
                phase=phase,
                peak_allocated_bytes=allocator.peak_allocated_bytes if cached else booked.peak_bytes,
                peak_reserved_bytes=allocator.peak_reserved_bytes if cached else booked.peak_bytes,
                parts=booked.parts,
            )
        )

    _replay(process, allocator, ended)
    return phases


def _full(processes: list[Process], limit_bytes: int, expandable: bool) -> ForecastPhase | None:
    """The phase that does not fit; None: all do."""
    from harness.devices.allocator import CachingAllocator, OutOfMemoryError

    for process in processes:
        over: list[ForecastPhase] = []
        try:
            _replay(process, CachingAllocator(limit_bytes, expandable), over.append)
        except OutOfMemoryError:
            return process.steps[len(over)].phase
    return None


def _replay(process: Process, allocator: CachingAllocator, ended: Callable[[ForecastPhase], None]) -> None:
    """Play the events of a process, and tell of each phase that is over. Raises OutOfMemoryError."""
    begin = 0
    for step in process.steps:
        allocator.replay(process.events[begin : step.until])
        ended(step.phase)
        allocator.restart()
        begin = step.until


if __name__ == "__main__":
    main(lifecycle.begin(ForecastJob))
