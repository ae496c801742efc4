"""Questions a second: the harness beside evalscope's own way to ask a checkpoint (`eval_type: llm_ckpt`).

    .venv/bin/python benchmarks/evaluation.py [--model FOLDER --template NAME] [--questions 64] [--examples 0 4]

An adapter of random weights is merged into the base, and that model is asked evalscope's gsm8k, with word problems of
the project's own for its questions and examples, greedily: by evalscope and by the harness, with the same number of
questions at once, and each with the number that serves it best. Beside them the harness asks the base with the adapter
apart. Both do the whole of an evaluation but for loading: prompts, answers, marks, files. evalscope runs without the
harness's repairs of transformers.

What counts is the processor's time of this process, of the median round; the rounds alternate, since a shared machine
is now faster and now slower. evalscope waits two seconds for a batch that does not fill, which costs no processor time
and is not counted. One thread, on the CPU, in fp32.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

# In place of this folder, in which a module would find statistics.py when it wants Python's own.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])

import statistics

from harness.base.paths import PACKAGE
from harness.data import arithmetic
from harness.processes.jobs import EvaluationJob
from harness.runs.folder import TargetFolder
from harness.workers import compat, evaluate

if TYPE_CHECKING:
    from harness.workers.language_model import LanguageModel

BENCHMARK, DTYPE = "gsm8k", "float32"
Asked = Mapping[str, str]
"""What was answered, by question."""


@dataclass(frozen=True)
class Measured:
    """What an arm did in all rounds."""

    cpu_seconds: list[float]
    answers: Asked

    @property
    def a_second(self) -> float:
        """Questions."""
        return len(self.answers) / statistics.median(self.cpu_seconds)


@dataclass(frozen=True)
class Models:
    """One model three ways."""

    merged_folder: Path
    merged: LanguageModel
    apart: LanguageModel
    """The base with its adapter, not merged."""


def write_questions(folder: Path, count: int, examples: int) -> Path:
    """Write questions, and examples in the split beside them, in gsm8k's form, and return the folder."""
    folder.mkdir()
    for split, rows in (("test", count), ("train", max(examples, 1))):
        lines = [
            json.dumps({"question": row.instruction, "answer": f"{row.output}\n#### {row.answer}"})
            for row in arithmetic.generate(split, rows, 42)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def load(base: Path, template: str, max_new_tokens: int, home: Path) -> Models:
    """Make an adapter and the merged model below `home`, and load both as an evaluation does."""
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from harness.workers import language_model
    from harness.workers.decoding import patch_adapter

    torch.manual_seed(0)
    config = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=1e-3)
    adapted.save_pretrained(str(home / "adapter"))
    adapted.merge_and_unload().save_pretrained(home / "merged")
    AutoTokenizer.from_pretrained(base).save_pretrained(home / "merged")

    def loaded(folder: Path) -> LanguageModel:
        arguments = {"model_name_or_path": str(folder), "template": template, "infer_dtype": DTYPE}
        return language_model.load(arguments, max_new_tokens)

    apart = loaded(base)
    # LLaMA-Factory would merge it: it keeps adapters apart on quantized bases alone.
    apart.model = PeftModel.from_pretrained(apart.model, home / "adapter", autocast_adapter_dtype=False).eval()
    patch_adapter(apart.model)
    return Models(home / "merged", loaded(home / "merged"), apart)


def ask_by_harness(model: LanguageModel, job: EvaluationJob) -> Asked:
    """Return what the harness is answered."""
    from harness.workers.examination import examine

    answers = examine(job, partial(model.answer, at_once=job.batch_size), lambda done, total: None)
    return {answer.question: answer.answer for answer in answers}


def ask_by_evalscope(model: Path, job: EvaluationJob) -> Callable[[], Asked]:
    """Load a checkpoint the way evalscope does, and return what asks it."""
    from evalscope.api.model.model import get_model_with_task_config
    from evalscope.api.registry import create_evaluator, get_benchmark
    from evalscope.config import TaskConfig
    from evalscope.utils.io_utils import OutputsStructure
    from transformers.integrations import sdpa_attention

    from harness.workers.examination import joined, task_config

    folder = TargetFolder(job.output).evalscope
    settings = task_config(job, folder).model_dump() | {
        "model": str(model),
        "eval_type": "llm_ckpt",
        "eval_batch_size": job.batch_size,
        "model_args": {"precision": DTYPE, "device_map": "cpu"},
    }
    config = TaskConfig.model_validate(settings)
    loaded = get_model_with_task_config(config)

    def ask() -> Asked:
        benchmark = get_benchmark(BENCHMARK, config)
        repaired = sdpa_attention.use_gqa_in_sdpa
        as_released = getattr(repaired, "__wrapped__", repaired)
        with mock.patch.object(sdpa_attention, "use_gqa_in_sdpa", as_released):
            create_evaluator(benchmark, loaded, OutputsStructure(str(folder)), config).eval()
        return {answer.question: answer.answer for answer in joined(job, folder, benchmark.load_dataset())}

    return ask


def measure(arms: Mapping[str, Callable[[], Asked]], rounds: int) -> dict[str, Measured]:
    """Ask all arms by turns."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    answers: dict[str, Asked] = {}
    for _ in range(rounds):
        for name, ask in arms.items():
            started = time.process_time()
            answers[name] = ask()
            seconds[name].append(time.process_time() - started)
    return {name: Measured(seconds[name], answers[name]) for name in arms}


def compare(models: Models, questions: Path, options: argparse.Namespace, examples: int, home: Path) -> None:
    """Print the rows of the table that have so many examples."""
    from harness.workers.benchmarks import use_local_questions

    use_local_questions(BENCHMARK, questions, examples)
    speeds: dict[str, list[float]] = {}
    for at_once in options.at_once:

        def job(name: str, at_once: int = at_once) -> EvaluationJob:
            place = home / f"{name}-{examples}-{at_once}"
            return EvaluationJob(
                benchmark=BENCHMARK,
                path=questions,
                few_shot=examples,
                batch_size=at_once,
                max_new_tokens=options.max_new_tokens,
                device="cpu",
                model_arguments={},
                model_id=name,
                output=place,
                events=place / "events.jsonl",
            )

        arms = {
            "evalscope": ask_by_evalscope(models.merged_folder, job("evalscope")),
            "merged": partial(ask_by_harness, models.merged, job("merged")),
            "apart": partial(ask_by_harness, models.apart, job("apart")),
        }
        measured = measure(arms, options.rounds)
        for name, found in measured.items():
            speeds.setdefault(name, []).append(found.a_second)
        evalscope, merged, apart = (measured[name] for name in arms)
        print(
            f"| {examples} | {at_once} | {evalscope.a_second:.2f} | {merged.a_second:.2f} "
            f"| {merged.a_second / evalscope.a_second:.2f} | {apart.a_second / merged.a_second:.2f} "
            f"| {_same(evalscope, merged)} | {_same(apart, merged)} |",
            flush=True,
        )
    best = {name: max(found) for name, found in speeds.items()}
    print(
        f"| {examples} | best | {best['evalscope']:.2f} | {best['merged']:.2f} "
        f"| {best['merged'] / best['evalscope']:.2f} | {best['apart'] / best['merged']:.2f} | | |",
        flush=True,
    )


def _same(one: Measured, other: Measured) -> int:
    return sum(answer == other.answers[question] for question, answer in one.answers.items())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=PACKAGE / "models" / "tiny", help="a base; the built-in one")
    parser.add_argument("--template", default="qwen3_nothink", help="LLaMA-Factory's name of the base's")
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--examples", type=int, nargs="+", default=[0, 4], help="before each question")
    parser.add_argument("--at-once", type=int, nargs="+", default=[8, 32, 64], help="questions in a batch")
    parser.add_argument("--max-new-tokens", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    os.environ["LLAMAFACTORY_VERBOSITY"] = "WARNING"  # stdout is for the table
    compat.prepare_imports()
    evaluate.import_evalscope(BENCHMARK)
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="evaluation-") as folder:
        home = Path(folder)
        models = load(options.model.resolve(), options.template, options.max_new_tokens, home)
        print("| examples | at once | evalscope | harness | times evalscope | adapter apart, of merged | same | same |")
        print("|---|---|---|---|---|---|---|---|")
        for examples in options.examples:
            questions = write_questions(home / f"questions-{examples}", options.questions, examples)
            compare(models, questions, options, examples, home)


if __name__ == "__main__":
    main()
