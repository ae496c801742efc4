"""What proves that a model was loaded as its configuration says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch
from torch import nn

from harness.runs.events import Evidence

QUANTIZATION_STATE = "quantization state"


def collect(model: nn.Module, compute_dtype: str) -> Evidence:
    """Count the modules and weights of a loaded model, base and adapter apart."""
    linear = [module for name, module in model.named_modules() if isinstance(module, nn.Linear) and not _adapter(name)]
    weight_bytes: Counter[str] = Counter()
    trainable = total = 0
    for name, parameter in model.named_parameters():
        count = _logical_count(parameter)
        total += count
        trainable += count if parameter.requires_grad else 0
        if not _adapter(name):
            weight_bytes[_stored_as(parameter)] += parameter.nbytes
    for module in linear:
        weight_bytes[QUANTIZATION_STATE] += sum(tensor.nbytes for tensor in _quantization_state(module))
    return Evidence(
        quantized_modules=sum(is_quantized(module) for module in linear),
        linear_modules=len(linear),
        weight_bytes_by_dtype={dtype: count for dtype, count in weight_bytes.items() if count},
        trainable_parameters=trainable,
        total_parameters=total,
        compute_dtype=compute_dtype,
        gradient_checkpointing=any(getattr(module, "gradient_checkpointing", False) for module in model.modules()),
    )


def is_quantized(module: nn.Module) -> bool:
    """Whether the weight is stored in fewer bits: by what it holds, not by the name of its class."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and _stored_as(weight) in ("nf4", "fp4", "int8")


def _stored_as(weight: torch.Tensor) -> str:
    """nf4, fp4, int8, or the dtype. The dtype alone does not tell: LLaMA-Factory has bitsandbytes pack 4-bit weights
    into tensors of the compute dtype (bnb_4bit_quant_storage), so that FSDP can shard them."""
    state = getattr(weight, "quant_state", None)
    return str(state.quant_type) if state is not None else str(weight.dtype).removeprefix("torch.")


def _adapter(name: str) -> bool:
    return "lora_" in name


def _logical_count(parameter: nn.Parameter) -> int:
    """Elements before packing: a 4-bit weight holds two in a byte."""
    state = getattr(parameter, "quant_state", None)
    return int(state.shape.numel()) if state is not None else parameter.numel()


def _quantization_state(module: nn.Module) -> Iterator[torch.Tensor]:
    """The constants beside a quantized weight: 4-bit scales (nested when double), 8-bit row scales."""
    weight = getattr(module, "weight", None)
    state = getattr(weight, "quant_state", None)
    while state is not None:
        yield state.absmax
        yield state.code
        state = getattr(state, "state2", None)
    scales = getattr(weight, "SCB", None)
    if isinstance(scales, torch.Tensor):
        yield scales
