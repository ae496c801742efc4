"""The evaluation child: `python -m harness.evaluation.child JOB.json`.

Writes answers.jsonl and, last, score.json into the job's output. After any failure there is no score.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

from harness import in_child
from harness.evaluation.job import ANSWERS, ARITHMETIC, SCORE, EvaluationJob
from harness.events import EvaluationProgress, Phase, PhaseStarted, report
from harness.record import Answer, Score, write_atomically


def main(file: Path) -> None:
    in_child.die_with_parent()
    job = EvaluationJob.model_validate_json(file.read_bytes())
    with in_child.failures_reported(job.events):
        evaluate(job)


def evaluate(job: EvaluationJob) -> None:
    """Score the job's model. Raises whatever keeps the score from being one over all questions."""
    job.output.mkdir(parents=True, exist_ok=True)
    for name in (ANSWERS, SCORE):
        (job.output / name).unlink(missing_ok=True)
    report(job.events, PhaseStarted(phase=Phase.EVALUATE))
    with in_child.collector_paused():
        import_libraries(job)
        from harness.training import proof

        proof.require(job.device)
    from harness.evaluation import language_model
    from harness.evaluation.examination import examine
    from harness.training.peaks import PeakMeter

    peaks = PeakMeter()
    model = language_model.load(job.model_arguments, job.max_new_tokens)
    started = time.perf_counter()
    answers = examine(
        job, model.answer, lambda done, total: report(job.events, EvaluationProgress(done=done, total=total))
    )
    seconds = time.perf_counter() - started
    report(job.events, peaks.read(Phase.EVALUATE))
    lines = "".join(answer.model_dump_json() + "\n" for answer in answers)
    write_atomically(job.output / ANSWERS, lines)
    write_atomically(job.output / SCORE, score(job.benchmark, answers, seconds).model_dump_json(indent=2) + "\n")


def import_libraries(job: EvaluationJob) -> None:
    """Import torch, LLaMA-Factory and evalscope with the job's benchmark."""
    from harness.compat import prepare_imports

    prepare_imports()
    from harness.evaluation.evalscope_import import import_evalscope

    import_evalscope(None if job.benchmark == ARITHMETIC else job.benchmark)
    if job.benchmark == ARITHMETIC:
        importlib.import_module("harness.evaluation.arithmetic")  # registers the benchmark
    if job.path is not None:
        from harness.evaluation.local_questions import use_local_questions

        use_local_questions(job.benchmark, job.path, job.few_shot)
    importlib.import_module("harness.evaluation.examination")


def score(benchmark: str, answers: list[Answer], seconds: float) -> Score:
    correct = sum(answer.correct for answer in answers)
    return Score(
        benchmark=benchmark,
        accuracy=correct / len(answers),
        correct=correct,
        questions=len(answers),
        seconds=seconds,
        generated_tokens=sum(answer.generated_tokens for answer in answers),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
