"""LLaMA-Factory's own model on the meta device: every tensor has its shape and its dtype, and no memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import PropertyMock, patch

import bitsandbytes
import torch
from torch import nn
from transformers import PreTrainedModel, TrainingArguments, masking_utils
from transformers.quantizers.auto import AutoHfQuantizer


@contextmanager
def without_weights(device: torch.device, padded: bool) -> Iterator[None]:
    """Have from_pretrained build a model on `device` in place of reading one, in the body, and nothing move it away.

    On the meta device nobody can look at numbers: `padded` says whether rows of the batch are filled up."""
    with ExitStack() as stack:

        def build(cls: Any, *_: Any, **given: Any) -> Any:
            return _built(cls, device, **given)

        stack.enter_context(patch.object(PreTrainedModel, "from_pretrained", classmethod(build)))
        stays = patch.object(TrainingArguments, "place_model_on_device", new_callable=PropertyMock, return_value=False)
        stack.enter_context(stays)
        if device.type == "meta":
            # It keeps the codes of double quantization for the next model.
            stack.enter_context(patch.dict(bitsandbytes.functional.name2qmap))
            # Its own makes an empty one first, where the device cannot be exchanged.
            stack.enter_context(patch.object(bitsandbytes.nn.Params4bit, "__deepcopy__", _copied))
            no_packing = patch.object(masking_utils, "find_packed_sequence_indices", lambda _: None)
            stack.enter_context(no_packing)
            ignore = masking_utils._ignore_causal_mask_sdpa

            def is_ignored(padding_mask: Any, *arguments: Any, **named: Any) -> bool:
                return not (padded and padding_mask is not None) and bool(ignore(None, *arguments, **named))

            stack.enter_context(patch.object(masking_utils, "_ignore_causal_mask_sdpa", is_ignored))
        yield


def _built(
    cls: Any,
    device: torch.device,
    config: Any = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    quantization_config: Any = None,
    attn_implementation: str | None = None,
    **_: Any,
) -> Any:
    asked = dtype or torch_dtype
    loaded_as = (config.dtype or torch.float32) if asked in (None, "auto") else asked
    with device:
        model = cls._from_config(config, dtype=loaded_as)
    if quantization_config is not None:
        _quantize(model, device, quantization_config, loaded_as)
    return model


def _quantize(model: Any, device: torch.device, quantization_config: Any, dtype: torch.dtype) -> None:
    """Exchange the layers as transformers does, and pack their weights as bitsandbytes does."""
    quantizer = AutoHfQuantizer.from_config(quantization_config, pre_quantized=False)
    quantizer.preprocess_model(model, device_map=None, keep_in_fp32_modules=None)
    for layer in model.modules():
        if not isinstance(layer, (bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt)):
            continue
        weight = torch.empty(layer.out_features, layer.in_features, dtype=dtype, device=device)
        if device.type != "meta":
            weight.normal_(std=0.02)
        layer.weight = _packed(layer, weight)
        if layer.bias is not None:
            layer.bias = nn.Parameter(torch.zeros(layer.out_features, dtype=dtype, device=device), requires_grad=False)
    quantizer.postprocess_model(model)
    model.hf_quantizer = quantizer


def _packed(layer: Any, weight: torch.Tensor) -> Any:
    if isinstance(layer, bitsandbytes.nn.Linear4bit):
        packed = bitsandbytes.nn.Params4bit(
            weight,
            requires_grad=False,
            quant_type=layer.weight.quant_type,
            compress_statistics=layer.weight.compress_statistics,
            quant_storage=layer.weight.quant_storage,
        )
        return packed._quantize(weight.device)
    codes = torch.zeros(weight.shape, dtype=torch.int8, device=weight.device)
    scales = torch.ones(weight.shape[0], dtype=torch.float32, device=weight.device)
    return bitsandbytes.nn.Int8Params(codes, requires_grad=False, has_fp16_weights=False, CB=codes, SCB=scales)


def _copied(weight: Any, memo: dict[int, Any]) -> Any:
    """A copy of a packed weight, which PEFT makes to take its norm."""
    return bitsandbytes.nn.Params4bit(
        torch.empty_like(weight.data),
        requires_grad=False,
        quant_state=copy.deepcopy(weight.quant_state, memo),
        blocksize=weight.blocksize,
        compress_statistics=weight.compress_statistics,
        quant_type=weight.quant_type,
        quant_storage=weight.quant_storage,
        module=weight.module,
        bnb_quantized=weight.bnb_quantized,
    )


def constants_of(model: nn.Module) -> Iterator[torch.Tensor]:
    """Yield what quantized weights have beside them."""
    for layer in model.modules():
        weight = getattr(layer, "weight", None)
        state = getattr(weight, "quant_state", None)
        while state is not None:
            yield from (each for each in (state.absmax, state.code, state.offset) if isinstance(each, torch.Tensor))
            state = getattr(state, "state2", None)
        for holder in (weight, getattr(layer, "state", None)):
            yield from (each for name in ("CB", "SCB") if isinstance(each := getattr(holder, name, None), torch.Tensor))
