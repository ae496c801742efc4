"""Scores a model on a benchmark, puts prompts to it, or both.

Writes the answers, the replies and, last, the score into the job's output. After any failure there is none of what the
job asks for; what it does not ask for is left alone.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from contextlib import nullcontext
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from harness.base.files import write_atomically
from harness.config.schema import PromptConfig
from harness.processes.jobs import ARITHMETIC, EvaluationJob
from harness.runs.events import EvaluationProgress, Phase, PhaseStarted, report
from harness.runs.folder import TargetFolder
from harness.runs.record import Answer, Reply, Score
from harness.workers import lifecycle

if TYPE_CHECKING:
    from harness.workers.language_model import LanguageModel

EVALSCOPE_BENCHMARKS = "evalscope.benchmarks"


def main(job: EvaluationJob) -> None:
    """Do the job. Ends with status 1 after a failure that it reports."""
    with lifecycle.failures_reported(job.events):
        evaluate(job)


def evaluate(job: EvaluationJob) -> None:
    """Score the job's model and prompt it. Raises whatever keeps the score from being one over all questions, and
    AdapterMismatchError where the model is not the one that was trained."""
    output = TargetFolder(job.output)
    output.path.mkdir(parents=True, exist_ok=True)
    for file in (
        *((output.answers, output.score) if job.benchmark else ()),
        *((output.replies,) if job.prompts else ()),
    ):
        file.unlink(missing_ok=True)
    report(job.events, PhaseStarted(phase=Phase.EVALUATE))
    with lifecycle.collector_paused():
        import_libraries(job)
        from harness.workers import proof

        proof.require(job.device)
    from harness.workers import adapter_check, language_model
    from harness.workers.peaks import PeakMeter

    def progress(done: int, total: int) -> None:
        report(job.events, EvaluationProgress(done=done, total=total))

    peaks = PeakMeter()
    check = None if job.check is None else adapter_check.read(job.check)
    folders = adapter_check.folders_of(job.model_arguments)
    with nullcontext() if check is None else check.damage_explained(folders):
        model = language_model.load(job.model_arguments, job.max_new_tokens)
    if check is not None:
        # The harness's own work, which belongs to no phase.
        report(job.events, peaks.read(Phase.EVALUATE))
        checked = check.compare(model.model)
        report(job.events, checked)
        check.require_same(checked, folders)
        peaks.forget()
        report(job.events, PhaseStarted(phase=Phase.EVALUATE))
    answers: list[Answer] = []
    started = time.perf_counter()
    if job.benchmark:
        from harness.workers.examination import examine

        answers = examine(job, partial(model.answer, at_once=job.batch_size), progress)
    seconds = time.perf_counter() - started
    replies: list[Reply] = []
    for prompt in job.prompts:
        replies.append(answer_prompt(model, prompt))
        progress(len(replies), len(job.prompts))
    report(job.events, peaks.read(Phase.EVALUATE))
    if job.prompts:
        written = [reply.model_dump(mode="json") for reply in replies]
        write_atomically(output.replies, json.dumps(written, indent=2, ensure_ascii=False) + "\n")
    if job.benchmark:
        write_atomically(output.answers, "".join(answer.model_dump_json() + "\n" for answer in answers))
        write_atomically(output.score, score(job.benchmark, answers, seconds).model_dump_json(indent=2) + "\n")


def answer_prompt(model: LanguageModel, prompt: PromptConfig) -> Reply:
    """Return what the model says to one prompt.

    By itself: in a batch what else is asked would move the rounding, and with it the words."""
    from harness.workers.language_model import Message

    (generation,) = model.answer([[Message("user", prompt.prompt)]])
    return Reply(
        prompt=prompt.prompt,
        expected=prompt.expected,
        answer=generation.text,
        generated_tokens=generation.tokens,
        finished=generation.finished,
    )


def import_libraries(job: EvaluationJob) -> None:
    """Import torch, LLaMA-Factory and, for a benchmark, evalscope with it."""
    from harness.workers.compat import prepare_imports

    prepare_imports()
    if job.benchmark is None:
        importlib.import_module("harness.workers.language_model")
        return
    import_evalscope(None if job.benchmark == ARITHMETIC else job.benchmark)
    from harness.workers import benchmarks

    if job.path is not None:
        benchmarks.use_local_questions(job.benchmark, job.path, job.few_shot)
    importlib.import_module("harness.workers.examination")


def import_evalscope(benchmark: str | None) -> None:
    """Import evalscope and register `benchmark`; None: none of evalscope's own.

    evalscope 1.12.0 imports every benchmark with itself, and with them openai, nltk and scipy.stats: 1,700 modules and
    2 of the child's 8 seconds of imports. For a benchmark whose module is not named after it, all are imported.
    """
    spec = find_spec("evalscope")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("evalscope is not installed; it comes with this project's own dependencies")
    folder = Path(spec.origin).parent / "benchmarks"
    named = benchmark is not None and (folder / benchmark / f"{benchmark}_adapter.py").is_file()
    if named or benchmark is None:
        empty = ModuleType(EVALSCOPE_BENCHMARKS)
        empty.__spec__ = ModuleSpec(EVALSCOPE_BENCHMARKS, loader=None, is_package=True)
        empty.__path__ = [str(folder)]
        sys.modules[EVALSCOPE_BENCHMARKS] = empty
    importlib.import_module("evalscope")
    if named:
        importlib.import_module(f"{EVALSCOPE_BENCHMARKS}.{benchmark}.{benchmark}_adapter")


def score(benchmark: str, answers: list[Answer], seconds: float) -> Score:
    """Return the score of at least one marked answer, which took `seconds` of wall time together."""
    correct = sum(answer.correct for answer in answers)
    twice = [answer for answer in answers if answer.evalscope_correct is not None]
    return Score(
        benchmark=benchmark,
        accuracy=correct / len(answers),
        correct=correct,
        questions=len(answers),
        seconds=seconds,
        generated_tokens=sum(answer.generated_tokens for answer in answers),
        cut_off=sum(answer.finished is False for answer in answers),
        evalscope_correct=sum(bool(answer.evalscope_correct) for answer in twice) if twice else None,
        marked_otherwise=sum(answer.evalscope_correct != answer.correct for answer in twice) if twice else None,
    )


if __name__ == "__main__":
    main(lifecycle.begin(EvaluationJob))
