"""Real trainings of a small language model by transformers' Trainer, watched by the Reporter."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

from harness.runs.events import Event, read
from harness.workers.reporter import Reporter
from harness.workers.row_account import RowAccount

Found = TypeVar("Found")


def row(*tokens: int, prompt: int = 1) -> dict[str, list[int]]:
    """A row as LLaMA-Factory tokenizes it: nothing is to be learnt of its first `prompt` tokens."""
    return {
        "input_ids": list(tokens),
        "attention_mask": [1] * len(tokens),
        "labels": [-100] * prompt + list(tokens[prompt:]),
    }


ROWS = [row(*range(10 + n, 14 + 3 * n)) for n in range(11)]


class Training:
    """Trains a checkpoint, of which `prepare` may make another model first, and `mask` another mask of the collator's.

    Keeps what the model was given."""

    def __init__(self, checkpoint: Path, folder: Path) -> None:
        self.events = folder / "events.jsonl"
        self.given: list[tuple[torch.Tensor, torch.Tensor]] = []
        """Token ids and mask of each batch that was trained on."""
        self._checkpoint = checkpoint
        self._folder = folder

    def __call__(
        self,
        rows: Sequence[dict[str, list[int]]] = ROWS,
        prepare: Callable[[nn.Module], nn.Module] = lambda model: model,
        mask: Callable[[torch.Tensor], torch.Tensor | None] = lambda mask: mask,
        **arguments: Any,
    ) -> list[Event]:
        self.events.unlink(missing_ok=True)
        self.given.clear()
        torch.manual_seed(0)
        self.model = prepare(AutoModelForCausalLM.from_pretrained(self._checkpoint))
        self.model.register_forward_pre_hook(self._note, with_kwargs=True)
        tokenizer = AutoTokenizer.from_pretrained(self._checkpoint)
        collate = DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=8)

        def collate_masked(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
            batch: dict[str, Any] = collate(rows)
            return {**batch, "attention_mask": mask(batch["attention_mask"])}

        settings = {
            "output_dir": str(self._folder / "trained"),
            "use_cpu": True,
            "per_device_train_batch_size": 2,
            "num_train_epochs": 1,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "learning_rate": 1e-3,
        }
        self.reporter = Reporter(self.events, RowAccount(1024, None, None))
        self.trainer = Trainer(
            model=self.model,
            args=TrainingArguments(**(settings | arguments)),
            train_dataset=list(rows),
            eval_dataset=list(rows[:2]),
            processing_class=tokenizer,
            data_collator=collate_masked,
            callbacks=[self.reporter],
        )
        self.trainer.train()
        return read(self.events)

    def _note(self, model: nn.Module, _: Any, given: dict[str, Any]) -> None:
        if model.training:
            self.given.append((given["input_ids"], given["attention_mask"]))


def kept_as_they_are(kept: pytest.MonkeyPatch) -> None:
    """Have `kept` put back what the workers change of libraries for good: their processes do nothing else."""
    for module, names in {
        "llamafactory.data.loader": ("split_dataset", "_get_preprocessed_dataset"),
        "llamafactory.model.adapter": ("QuantizationMethod",),
        "llamafactory.train.tuner": ("load_model",),
    }.items():
        changed: Any = importlib.import_module(module)
        for name in names:
            kept.setattr(changed, name, getattr(changed, name))
    for name in ("_maybe_log_save_evaluate", "_track_num_input_tokens"):
        kept.setattr(Trainer, name, getattr(Trainer, name))


def only(events: Sequence[Event], kind: type[Found]) -> Found:
    """The one event of a kind."""
    (found,) = [event for event in events if isinstance(event, kind)]
    return found
