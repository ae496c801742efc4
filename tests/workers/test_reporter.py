"""What is reported of a training is what happened in it: transformers' real Trainer, on a model with given losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from harness.runs.events import (
    ComputeDtypeMeasured,
    Event,
    Evidence,
    Phase,
    PhaseStarted,
    TrainingLoss,
    ValidationLoss,
    read,
)
from harness.workers import compat
from harness.workers.evidence import ComputeDtypeMeter
from harness.workers.reporter import Reporter
from harness.workers.row_account import RowAccount

NAN, INFINITE = float("nan"), float("inf")


class GivenLosses(nn.Module):
    """A linear layer, an adapter beside it, and a loss that is what the row says."""

    def __init__(self, inside: AbstractContextManager[Any], gradient: float) -> None:
        super().__init__()
        self.base = nn.Linear(4, 4)
        self.lora_A = nn.Linear(4, 4)
        self._inside = inside
        self.base.weight.register_hook(lambda _: torch.full((4, 4), gradient))

    def forward(self, wanted: torch.Tensor) -> dict[str, torch.Tensor]:
        with self._inside:
            out = self.base(torch.ones(1, 4))
        out = out.float() + self.lora_A(torch.ones(1, 4)).float()
        return {"loss": 0 * out.sum() + wanted.mean(), "logits": wanted}


class Train:
    """Trains on losses that are given, one a step."""

    def __init__(self, folder: Path) -> None:
        self.events = folder / "events.jsonl"
        self._folder = folder

    def __call__(
        self,
        losses: list[float],
        validation: float | None = None,
        inside: AbstractContextManager[Any] | None = None,
        gradient: float = 0.0,
        **arguments: Any,
    ) -> list[Event]:
        self.model = GivenLosses(inside or nullcontext(), gradient)
        rows = [{"wanted": torch.tensor(loss)} for loss in losses]
        settings = {
            "output_dir": str(self._folder),
            "use_cpu": True,
            "per_device_train_batch_size": 1,
            "num_train_epochs": 1,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": [],
            "remove_unused_columns": False,
            "train_sampling_strategy": "sequential",
            "disable_tqdm": True,
            "eval_strategy": "no" if validation is None else "epoch",
            "label_names": ["wanted"],
            # As harness.workers.train sets it.
            "logging_nan_inf_filter": False,
        }
        trainer = Trainer(
            model=self.model,
            args=TrainingArguments(**(settings | arguments)),
            train_dataset=rows,
            eval_dataset=None if validation is None else [{"wanted": torch.tensor(validation)}],
            callbacks=[Reporter(self.events, RowAccount(1024, None, None))],
        )
        trainer.train()
        return read(self.events)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    monkeypatch.setattr(Trainer, "_maybe_log_save_evaluate", Trainer._maybe_log_save_evaluate)
    compat.patch_loss_sum()
    return Train(tmp_path)


@pytest.mark.parametrize("broken", [NAN, INFINITE, -INFINITE])
def test_losses_that_are_not_finite_are_reported_as_they_are(train: Train, broken: float) -> None:
    """And none after them that was finite is lost."""
    events = train([1.0, broken, 3.0], validation=broken)
    losses = [event.loss for event in events if isinstance(event, TrainingLoss)]
    assert losses == pytest.approx([1.0, broken, 3.0], nan_ok=True)
    (validation,) = [event.loss for event in events if isinstance(event, ValidationLoss)]
    assert validation == pytest.approx(broken, nan_ok=True)


@pytest.mark.parametrize("broken", [NAN, INFINITE])
def test_a_gradient_norm_that_is_not_finite_is_reported(train: Train, broken: float) -> None:
    events = train([1.0, 2.0], gradient=broken)
    norms = [event.gradient_norm for event in events if isinstance(event, TrainingLoss)]
    assert not any(math.isfinite(norm) for norm in norms if norm is not None)
    assert len(norms) == 2


@pytest.mark.parametrize(
    ("bf16", "computes_in", "measured"),
    [(False, None, "float32"), (True, None, "bfloat16"), (True, torch.float16, "float16"), (True, False, "float32")],
)
def test_the_compute_dtype_is_what_the_layers_gave_out_and_not_what_was_asked_for(
    train: Train, bf16: bool, computes_in: Any, measured: str
) -> None:
    inside = {None: nullcontext(), False: torch.autocast("cpu", enabled=False)}.get(computes_in)
    inside = torch.autocast("cpu", dtype=computes_in) if inside is None else inside
    events = train([1.0, 2.0, 3.0], inside=inside, bf16=bf16, gradient_accumulation_steps=1)
    assert [event.dtype for event in events if isinstance(event, ComputeDtypeMeasured)] == [measured]
    assert len([event for event in events if isinstance(event, Evidence)]) == 1
    assert not any(module._forward_hooks for module in train.model.modules())


class InBf16(nullcontext[None]):
    """Computes in bf16 where `wanted` says so."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self._wanted = wanted

    def __enter__(self) -> None:
        self._autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._wanted())
        self._autocast.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._autocast.__exit__(*error)


def test_a_validation_before_the_first_step_is_no_training(train: Train) -> None:
    in_validation = InBf16(lambda: not train.model.training)
    events = train([1.0, 2.0], validation=1.0, inside=in_validation, eval_on_start=True)
    assert [event.dtype for event in events if isinstance(event, ComputeDtypeMeasured)] == ["float32"]


@pytest.mark.parametrize("when", [{"eval_on_start": True}, {"eval_strategy": "epoch"}, {"save_strategy": "epoch"}])
def test_what_is_not_at_a_step_of_its_own_is_no_training_time(train: Train, when: dict[str, Any]) -> None:
    """What a validation took is counted from where its phase began."""
    events = train([1.0, 2.0, 3.0], validation=1.0, **({"eval_strategy": "no"} | when))
    phases = [event.phase for event in events if isinstance(event, PhaseStarted)]
    assert phases[0] is Phase.TRAIN
    between = Phase.SAVE if "save_strategy" in when else Phase.VALIDATE
    assert phases[1:3] == [between, Phase.TRAIN]


def test_layers_that_compute_in_several_dtypes_are_all_told(train: Train) -> None:
    calls = count(1)
    alternating = InBf16(lambda: next(calls) % 2 == 0)
    events = train([1.0, 2.0, 3.0, 4.0], inside=alternating, gradient_accumulation_steps=2)
    assert [event.dtype for event in events if isinstance(event, ComputeDtypeMeasured)] == ["bfloat16 / float32"]


@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("computes", [torch.float32, torch.bfloat16])
def test_a_4_bit_layer_computes_in_its_own_dtype_whatever_it_is_given(
    given: torch.dtype, computes: torch.dtype
) -> None:
    """Its output has the input's dtype again: QLoRA would seem to compute in fp32 where its norms do."""
    layer = nn.Sequential(bitsandbytes.nn.Linear4bit(64, 64, bias=False, compute_dtype=computes, quant_type="nf4")).to(
        "cpu"
    )
    meter = ComputeDtypeMeter(layer)
    assert layer(torch.ones(2, 64, dtype=given)).dtype is given
    assert meter.finish() == str(computes).removeprefix("torch.")
