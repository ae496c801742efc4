"""What a model makes of word problems while it is still in the memory of its training, and when it is loaded again.

    python -m benchmarks.in_memory JOB.json

is harness.workers.train, which asks what it trained as well and leaves `in_memory.json` beside the job's train.yaml.
For benchmarks/same_answers.py and tests/workers/test_same_answers.py.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import yaml
from pydantic import BaseModel
from torch import nn

from harness.data import arithmetic
from harness.data.arithmetic import Row
from harness.processes.jobs import TrainJob
from harness.workers import compat, lifecycle, train

compat.prepare_imports()

from llamafactory.data import get_template_and_fix_tokenizer  # noqa: E402
from llamafactory.hparams import DataArguments  # noqa: E402
from llamafactory.train import tuner  # noqa: E402
from peft.utils.integrations import dequantize_bnb_weight  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import TrainerCallback  # noqa: E402

from harness.workers.adapter_check import IGNORED, losses  # noqa: E402
from harness.workers.evidence import is_quantized  # noqa: E402
from harness.workers.language_model import LanguageModel, Message, load  # noqa: E402

KINDS: Mapping[str, Mapping[str, Any]] = {
    "LoRA": {},
    "DoRA": {"use_dora": True},
    "rsLoRA with embeddings": {"use_rslora": True, "additional_target": "embed_tokens,lm_head"},
}
"""Of adapters, by the arguments that LLaMA-Factory makes them with."""
QUESTIONS_SEED, MAX_NEW_TOKENS = 42, 40
"""As conf/evaluation/arithmetic.yaml has them."""
QUESTIONS, IN_MEMORY = "IN_MEMORY_QUESTIONS", "in_memory.json"
"""The variable that says how many are asked, and the file in a run's folder with what was answered."""
WEIGHTS = "model.safetensors"
Found = TypeVar("Found")


def overrides_of(kind: str) -> list[str]:
    """Return how `harness run` is told to train a kind of adapter."""
    return ["method=lora", *(f"llamafactory.{name}={json.dumps(value)}" for name, value in KINDS[kind].items())]


class Asked(BaseModel):
    """What a model made of the questions, in their order."""

    answers: list[str]
    """Of all questions in one batch, as an evaluation puts them."""
    one_by_one: list[str] = []
    """Of each by itself, as a server is asked; empty: it was not."""
    losses: list[float]
    """Of each question, the mean over the tokens of the expected answer, in nats."""


def questions(count: int) -> list[Row]:
    """Return held-out questions: those of an evaluation that asks so many."""
    return arithmetic.generate("test", count, QUESTIONS_SEED)


def ask(model: LanguageModel, rows: Sequence[Row], one_by_one: bool = False) -> Asked:
    """Put the questions to a model greedily."""
    asked = [[Message("user", row.instruction)] for row in rows]
    return Asked(
        answers=[generation.text for generation in model.answer(asked)],
        one_by_one=[model.answer([question])[0].text for question in asked] if one_by_one else [],
        losses=[_loss(model, row) for row in rows],
    )


def _loss(model: LanguageModel, row: Row) -> float:
    prompt = model.encode([Message("user", row.instruction)])
    expected = [*model.tokenizer.encode(row.output, add_special_tokens=False), model.tokenizer.eos_token_id]
    of_tokens = losses(model.model, prompt + expected, [IGNORED] * len(prompt) + expected)
    return sum(of_tokens) / len(of_tokens)


def train_and_look(job: TrainJob, look: Callable[[LanguageModel], Found]) -> Found:
    """Do a training as its worker does, and return what `look` makes of the model before the training lets go of it.

    Raises SystemExit after a failure, which the worker reports."""
    template = yaml.safe_load(job.arguments.read_text(encoding="utf-8"))["template"]
    found: list[Found] = []

    class Look(TrainerCallback):
        def on_train_end(self, *_: Any, model: nn.Module, processing_class: Any, **__: Any) -> None:
            was_training = model.training
            model.eval()
            fixed = get_template_and_fix_tokenizer(processing_class, DataArguments(template=template))
            found.append(look(LanguageModel(model, processing_class, fixed, MAX_NEW_TOKENS)))
            model.train(was_training)

    run = tuner.run_exp
    with mock.patch.object(tuner, "run_exp", lambda arguments, callbacks: run(arguments, [*callbacks, Look()])):
        train.main(job)
    (seen,) = found
    return seen


def write_as_quantized(base: Mapping[str, Any], quantization: Mapping[str, Any], folder: Path) -> None:
    """Make `folder` a copy of the base whose weights are what quantization leaves of them, in the base's dtype.

    `base` and `quantization`: LLaMA-Factory's inference arguments."""
    shutil.copytree(base["model_name_or_path"], folder)
    weights = load_file(folder / WEIGHTS)
    for name, layer in load({**base, **quantization}, MAX_NEW_TOKENS).model.named_modules():
        if is_quantized(layer):
            left = dequantize_bnb_weight(layer.weight, state=getattr(layer, "state", None))
            weights[f"{name}.weight"] = left.to(weights[f"{name}.weight"].dtype)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def main(job: TrainJob) -> None:
    """Do the training of a run, and leave what its model answered in the run's folder."""
    rows = questions(int(os.environ[QUESTIONS]))
    asked = train_and_look(job, lambda model: ask(model, rows, one_by_one=True))
    job.arguments.with_name(IN_MEMORY).write_text(asked.model_dump_json(), encoding="utf-8")


if __name__ == "__main__":
    main(lifecycle.begin(TrainJob))
