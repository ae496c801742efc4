"""What the first step of a training showed is what happened in it, not what was asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bitsandbytes.optim import AdamW8bit
from peft import LoraConfig, get_peft_model
from torch import nn

from harness.runs.events import Evidence, FirstStep, TrainingStep
from harness.workers import first_step
from harness.workers.first_step import FirstStepMeter, optimizer_state
from tests.workers.trainings import Training, only

CHECKPOINTED: dict[str, Any] = {"gradient_checkpointing": True}
WAYS = [{"gradient_checkpointing_kwargs": {"use_reentrant": reentrant}} for reentrant in (True, False)]


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("way", WAYS, ids=["reentrant", "not reentrant"])
def test_a_forward_that_runs_again_in_the_backward_pass_is_recomputed(
    training: Training, way: dict[str, Any], accumulation: int
) -> None:
    """An epoch that ends in the midst of an accumulation included."""
    events = training(**CHECKPOINTED, **way, gradient_accumulation_steps=accumulation)
    assert only(events, FirstStep).recomputed is True
    assert only(events, Evidence).gradient_checkpointing is True


@pytest.mark.parametrize("accumulation", [1, 3])
def test_several_batches_a_step_and_a_validation_before_it_are_no_recomputation(
    training: Training, accumulation: int
) -> None:
    events = training(gradient_accumulation_steps=accumulation, eval_strategy="epoch", eval_on_start=True)
    assert only(events, FirstStep).recomputed is False


def test_checkpointing_that_was_asked_for_and_did_not_happen_shows(training: Training) -> None:
    def call(layer: Any, *arguments: Any) -> Any:
        """As LLaMA-Factory's stand-in for torch's checkpoint does with a layer that holds nothing to train."""
        return layer(*arguments)

    def pretend(model: nn.Module) -> nn.Module:
        for module in model.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing, module._gradient_checkpointing_func = True, call
        return model

    events = training(prepare=pretend)
    assert only(events, Evidence).gradient_checkpointing is True
    assert only(events, FirstStep).recomputed is False


def test_gradients_and_the_state_of_the_optimizer_are_those_of_what_is_trained(training: Training) -> None:
    def adapted(model: nn.Module) -> nn.Module:
        return get_peft_model(model.bfloat16(), LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))

    events = training(prepare=adapted, optim="adamw_torch")
    (found, proof) = only(events, FirstStep), only(events, Evidence)
    trained = [parameter for parameter in training.model.parameters() if parameter.requires_grad]
    elements = sum(parameter.numel() for parameter in trained)
    # Over a base of bf16 PEFT makes adapters of fp32.
    assert (proof.adapter_dtype, proof.adapter_bytes) == ("float32", 4 * elements)
    assert (found.gradient_bytes, found.optimizer_bytes) == (4 * elements, 2 * 4 * elements)
    assert found.optimizer_dtype == "float32"
    assert (proof.norm_dtype, proof.attention) == ("bfloat16", "sdpa")
    assert not any(
        module._forward_hooks or (module is not training.model and module._forward_pre_hooks)
        for module in training.model.modules()
    )


def test_the_attention_kernel_is_the_one_that_runs(training: Training) -> None:
    def eager(model: nn.Module) -> nn.Module:
        model.set_attn_implementation("eager")
        return model

    assert only(training(prepare=eager, max_steps=1), Evidence).attention == "eager"


def test_moments_of_8_bits_are_told_as_such_with_the_scales_beside_them() -> None:
    weight = nn.Parameter(torch.zeros(64, 128))
    optimizer = AdamW8bit([weight], betas=(0.9, 0.999))
    # What its step leaves, for which it needs a device: bitsandbytes/optim/optimizer.py, Optimizer2State.init_state.
    shared = torch.zeros(256)
    optimizer.state[weight] = {
        "step": 1,
        **{f"state{n}": torch.zeros(64, 128, dtype=torch.uint8) for n in (1, 2)},
        **{f"absmax{n}": torch.zeros(32) for n in (1, 2)},
        **{f"qmap{n}": shared for n in (1, 2)},
    }
    assert optimizer_state(optimizer) == (2 * 64 * 128 + 2 * 32 * 4 + 256 * 4, "uint8")


def test_a_step_counter_is_no_state() -> None:
    weight = nn.Parameter(torch.zeros(8))
    optimizer = torch.optim.AdamW([weight])
    weight.grad = torch.ones(8)
    optimizer.step()
    assert "step" in optimizer.state[weight]
    assert optimizer_state(optimizer) == (2 * 8 * 4, "float32")


class OfThreeBits(torch.Tensor):
    """As torchao has them: what it looks like is not what it takes."""


def test_state_that_only_its_own_class_understands_is_not_measured() -> None:
    weight = nn.Parameter(torch.zeros(8))
    optimizer = torch.optim.SGD([weight])
    assert optimizer_state(optimizer) == (None, None)
    optimizer.state[weight] = {"exp_avg": torch.zeros(8).as_subclass(OfThreeBits)}
    assert optimizer_state(optimizer) == (None, None)


def test_a_step_that_was_skipped_is_not_the_first(training: Training) -> None:
    """A scaler of fp16 gradients skips steps until its scale fits."""
    layer = nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(layer.parameters())
    training(max_steps=1)  # so that accelerate knows how it trains
    meter = FirstStepMeter(layer)
    layer(torch.ones(1, 4)).sum().backward()
    meter.gradients_are_there()
    assert meter.read(optimizer) is None
    optimizer.step()
    found = meter.read(optimizer)
    assert found is not None
    assert (found.gradient_bytes, found.optimizer_bytes, found.recomputed) == (20 * 4, 2 * 20 * 4, False)


def test_it_is_told_once_and_before_the_step_itself(training: Training) -> None:
    events = training(max_steps=3)
    kinds = [type(event) for event in events if isinstance(event, FirstStep | TrainingStep)]
    assert kinds == [FirstStep, TrainingStep, TrainingStep, TrainingStep]


def test_without_any_state_what_else_is_known_is_told_in_the_end(training: Training) -> None:
    found = only(training(optim="sgd"), FirstStep)
    assert found.gradient_bytes
    assert (found.recomputed, found.optimizer_bytes, found.optimizer_dtype) == (False, None, None)


def test_where_the_weights_are_shared_out_nothing_is_made_up(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_step, "holds_the_whole_model", lambda: False)
    monkeypatch.setattr("harness.workers.reporter.holds_the_whole_model", lambda: False)
    found = only(training(), FirstStep)
    assert (found.recomputed, found.gradient_bytes, found.optimizer_bytes) == (False, None, None)
    assert not training.reporter.checked_rows
