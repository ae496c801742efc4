"""What proves that a model was loaded as its configuration says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from harness.runs.events import Evidence

QUANTIZATION_STATE = "quantization state"


def collect(model: nn.Module) -> Evidence:
    """Count the modules and weights of a loaded model, base and adapter apart."""
    linear = base_linear_layers(model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weight_bytes: Counter[str] = Counter()
    trainable = total = 0
    for name, parameter in model.named_parameters():
        count = logical_count(parameter)
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
        gradient_checkpointing=any(getattr(module, "gradient_checkpointing", False) for module in model.modules()),
        attention=_attention(model),
        norm_dtype=joined(parameter.dtype for module in _norms(model) for parameter in module.parameters()),
        adapter_dtype=joined(parameter.dtype for parameter in trained),
        adapter_bytes=sum(parameter.nbytes for parameter in trained) or None,
    )


def joined(dtypes: Iterable[torch.dtype]) -> str | None:
    """Return the names of dtypes, as in `bfloat16 / float32`; None where there are none."""
    return " / ".join(sorted({str(dtype).removeprefix("torch.") for dtype in dtypes})) or None


def _attention(model: nn.Module) -> str | None:
    """A model that sees has one kernel for its language and one for its sight."""
    parts = (module.config for module in model.modules() if isinstance(module, PreTrainedModel))
    kernels = {getattr(config, "_attn_implementation", None) for config in parts} - {None}
    return " / ".join(sorted(map(str, kernels))) or None


def _norms(model: nn.Module) -> Iterator[nn.Module]:
    """Each model of transformers has a class of its own for them: LlamaRMSNorm, Qwen3RMSNorm, LayerNorm ..."""
    return (
        module
        for name, module in model.named_modules()
        if type(module).__name__.lower().endswith("norm") and not _adapter(name)
    )


def base_linear_layers(model: nn.Module) -> list[nn.Linear]:
    """Return the linear layers of the base, quantized or not; the adapter's own are left out."""
    return [module for name, module in model.named_modules() if isinstance(module, nn.Linear) and not _adapter(name)]


class ComputeDtypeMeter:
    """Notes the dtypes in which the linear layers of the base compute, as they do it in training."""

    def __init__(self, model: nn.Module) -> None:
        self._dtypes: set[torch.dtype] = set()
        self._hooks = [layer.register_forward_hook(self._note) for layer in base_linear_layers(model)]

    def _note(self, layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        if layer.training:
            # A 4-bit layer of bitsandbytes turns its input into this one, and the result back into the input's.
            dtype = getattr(layer, "compute_dtype", None) or output.dtype
            self._dtypes.add(dtype)

    def finish(self) -> str | None:
        """Leave the model as it was, and return what was noted, as in `bfloat16`; None where no layer was used."""
        for hook in self._hooks:
            hook.remove()
        return joined(self._dtypes)


def is_quantized(module: nn.Module) -> bool:
    """Return whether the weight is stored in fewer bits: by what it holds, not by the name of its class."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and _stored_as(weight) in ("nf4", "fp4", "int8")


def _stored_as(weight: torch.Tensor) -> str:
    """nf4, fp4, int8, or the dtype. The dtype alone does not tell: LLaMA-Factory has bitsandbytes pack 4-bit weights
    into tensors of the compute dtype (bnb_4bit_quant_storage), so that FSDP can shard them."""
    state = getattr(weight, "quant_state", None)
    return str(state.quant_type) if state is not None else str(weight.dtype).removeprefix("torch.")


def _adapter(name: str) -> bool:
    return "lora_" in name


def logical_count(parameter: nn.Parameter) -> int:
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
