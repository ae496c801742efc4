"""Scores a trained model, and the base without adapter once for a sweep, in child processes."""

from __future__ import annotations

import shutil
from pathlib import Path

from filelock import FileLock

from harness.child import Ended
from harness.children import Children
from harness.console import Display
from harness.evaluation.job import SCORE, EvaluationJob
from harness.plan import Plan
from harness.record import Score
from harness.training.arguments import inference_arguments


def score(it: Plan, output: Path, adapter: Path | None, children: Children) -> tuple[Ended, Score | None]:
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
        device=it.device.torch_device,
        model_arguments=inference_arguments(it.config, it.model_path, it.precision, adapter),
        model_id=run_folder.name,
        output=output,
        events=run_folder / "events.jsonl",
    )
    offline = job.questions_are_local and Path(it.model_path).is_dir()
    ended = children.run(job.command(output / "job.json"), "evaluation", offline)
    return ended, _read(output)


def score_base(it: Plan, display: Display) -> Score | None:
    """The base without adapter, scored once for all runs of a sweep; also when several processes share the sweep."""
    if not (it.config.evaluation.benchmark and it.config.evaluation.score_base):
        return None
    folder = it.base_folder
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        before = _read(folder)
        if before is not None:
            return before
        shutil.rmtree(folder, ignore_errors=True)
        display.note("scoring the base without adapter, once for this sweep")
        ended, result = score(it, folder, None, Children(it, folder, display))
        if result is None:
            display.warn(f"the base could not be scored ({ended.reason}); the runs go on without it")
        return result


def _read(folder: Path) -> Score | None:
    path = folder / SCORE
    return Score.model_validate_json(path.read_bytes()) if path.exists() else None
