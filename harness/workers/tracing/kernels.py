"""What a device does where the meta device does something else: attention, mixed precision, kernels' own workspace.

On the meta device attention is the plain product of matrices, which keeps a square of the length that no device keeps;
there is no mixed precision; and what a kernel takes for itself is nowhere to be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import bitsandbytes
import bitsandbytes.autograd._functions as bitsandbytes_functions
import torch
import torch.utils.checkpoint
from torch.nn import functional
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from harness.workers.tracing.ledger import Workspace

_aten = torch.ops.aten
_HALF = (torch.float16, torch.bfloat16)
_FLASH_HEAD = 256
"""The widest head that flash attention takes (aten/native/transformers/cuda/sdp_utils.cpp)."""
_DEQUANTIZED_FROM = 5
"""Rows from which bitsandbytes 0.50.2 may unpack a 4-bit weight to multiply by it (backends/cuda/ops.py)."""


@dataclass(frozen=True)
class _Attention:
    """What scaled_dot_product_attention is asked for."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    attn_mask: torch.Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False
    """There are fewer heads of keys than of queries."""

    @property
    def repeated(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values, a head for each of the queries."""
        if not self.enable_gqa:
            return self.key, self.value
        times = self.query.shape[1] // self.key.shape[1]
        return self.key.repeat_interleave(times, 1), self.value.repeat_interleave(times, 1)


def attention(kind: str) -> Callable[..., torch.Tensor]:
    """Return scaled_dot_product_attention as a device of `kind` computes it, for tensors on the meta device."""
    kernel = {"cuda": _on_cuda, "ascend": _on_ascend, "cpu": _on_cpu}[kind]
    return lambda *arguments, **named: kernel(_Attention(*arguments, **named))


def _on_cuda(asked: _Attention) -> torch.Tensor:
    """Flash attention; with a mask, the memory-efficient one; of float32, that too (sdp_utils.cpp, torch 2.13)."""
    query, mask = asked.query, asked.attn_mask
    if mask is None and query.dtype in _HALF and query.shape[-1] <= _FLASH_HEAD:
        return _flash(asked, asked.key, asked.value)
    key, value = asked.repeated
    bias = None
    if mask is not None:
        # A mask of truth values becomes one of numbers, which is kept for the way back.
        bias = torch.empty(mask.shape, dtype=query.dtype, device=query.device)
        bias = bias.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    needs_gradient = any(tensor.requires_grad for tensor in (query, key, value))
    out: torch.Tensor = _aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, needs_gradient, asked.dropout_p, asked.is_causal, scale=asked.scale
    )[0]
    return out


def _on_cpu(asked: _Attention) -> torch.Tensor:
    """Flash attention for processors, with a mask too, and fewer heads of keys (sdp_utils_cpp.cpp)."""
    mask = asked.attn_mask
    if mask is not None and mask.dtype is torch.bool:
        mask = torch.empty(mask.shape, dtype=asked.query.dtype, device=mask.device)
    out: torch.Tensor = _aten._scaled_dot_product_flash_attention_for_cpu(
        asked.query, asked.key, asked.value, asked.dropout_p, asked.is_causal, attn_mask=mask, scale=asked.scale
    )[0]
    return out


def _on_ascend(asked: _Attention) -> torch.Tensor:
    """npu_fusion_attention (FlashAttentionScore), with a mask and without; what it keeps is in _Statistics."""
    query = asked.query
    if asked.attn_mask is None and asked.is_causal:
        # The kernel is told what is not seen by a mask.
        torch.empty(query.shape[-2], asked.key.shape[-2], dtype=torch.bool, device=query.device)
    kept: torch.Tensor = _Statistics.apply(_flash(asked, *asked.repeated))  # type: ignore[no-untyped-call]
    return kept


def _flash(asked: _Attention, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    out: torch.Tensor = _aten._scaled_dot_product_flash_attention(
        asked.query, key, value, asked.dropout_p, asked.is_causal, scale=asked.scale
    )[0]
    return out


class _Statistics(torch.autograd.Function):
    """Keeps of each row of each head softmax_max and softmax_sum, eight numbers of float32 each (torch_npu's
    documentation of npu_fusion_attention), beside the one that flash attention keeps already."""

    @staticmethod
    def forward(ctx: Any, out: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(torch.empty(*out.shape[:-1], 2 * 8 - 1, dtype=torch.float32, device=out.device))
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def workspaces(kind: str) -> dict[str, Workspace]:
    """Return what kernels of a device take while they run, by operator."""
    if kind == "cpu":
        return {}
    return {
        # flash_api.cpp, mha_bwd: the gradient of the queries in float32, and one number a row.
        "aten::_scaled_dot_product_flash_attention_backward": lambda args, _: (
            _rows(args[1]) * (args[1].shape[-1] + 1) * 4
        ),
        "aten::_scaled_dot_product_efficient_attention_backward": lambda args, _: (
            _rows(args[1]) * (args[1].shape[-1] + 1) * 4
        ),
        "bitsandbytes::gemm_4bit": _unpacked,
        # The product in whole numbers of 32 bits.
        "bitsandbytes::int8_scaled_mm": lambda _, made: made.numel() * 4,
    }


def _rows(query: torch.Tensor) -> int:
    return query.numel() // query.shape[-1]


def _unpacked(args: tuple[Any, ...], made: torch.Tensor) -> int:
    activations, shape = args[0], args[2]
    rows = activations.numel() // activations.shape[-1]
    return int(torch.Size(shape).numel()) * made.element_size() if rows >= _DEQUANTIZED_FROM else 0


_LOWER = {
    *(torch.matmul, torch.mm, torch.bmm, torch.addmm, torch.baddbmm, torch.mv, torch.einsum),
    *(torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.mm, torch.Tensor.bmm, torch.Tensor.baddbmm),
    *(functional.linear, functional.conv1d, functional.conv2d, functional.conv3d, torch.conv1d, torch.conv2d),
    torch.conv3d,
}
"""What mixed precision computes in 16 bits on every device (torch.amp, "autocast op reference")."""
_FLOAT = {
    *(torch.pow, torch.Tensor.pow, torch.Tensor.__pow__, torch.exp, torch.log, torch.rsqrt, torch.cumsum),
    *(torch.Tensor.exp, torch.Tensor.log, torch.Tensor.rsqrt, torch.Tensor.cumsum, torch.norm, torch.Tensor.norm),
    *(torch.softmax, functional.softmax, functional.log_softmax, functional.softplus),
    *(functional.layer_norm, functional.group_norm, functional.nll_loss, functional.mse_loss),
}
"""What it computes in float32 on a GPU, and on an NPU, whose lists are the same; a processor does not."""


class MixedPrecision(TorchFunctionMode):
    """torch.autocast for tensors on the meta device, on where that of processors is."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._attention = attention(kind)
        self._float = frozenset() if kind == "cpu" else frozenset(_FLOAT)
        self._casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        """Of weights that are trained, as torch keeps them until mixed precision is left."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        is_attention = func is functional.scaled_dot_product_attention
        if torch.is_autocast_enabled("cpu"):
            if is_attention or func in _LOWER:
                dtype = torch.get_autocast_dtype("cpu")
                args = tuple(self._lowered(value, dtype) for value in args)
                kwargs = {name: self._lowered(value, dtype) for name, value in kwargs.items()}
            elif func in self._float:
                args = tuple(_raised(value) for value in args)
        if is_attention:
            return self._attention(*args, **kwargs)
        return func(*args, **kwargs)

    def forget(self) -> None:
        self._casts.clear()

    def _lowered(self, value: Any, dtype: torch.dtype) -> Any:
        if not isinstance(value, torch.Tensor):
            return [self._lowered(each, dtype) for each in value] if isinstance(value, (list, tuple)) else value
        if not value.is_floating_point() or value.dtype in (dtype, torch.float64):
            return value
        if not (value.dtype is torch.float32 and value.requires_grad and value.is_leaf):
            return value.to(dtype)
        if id(value) not in self._casts:
            self._casts[id(value)] = value, value.to(dtype)
        return self._casts[id(value)][1]


def _raised(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in _HALF else value


@contextmanager
def of_device(kind: str) -> Iterator[None]:
    """Have operators on the meta device compute as a device of `kind` does, in the body."""
    precision = MixedPrecision(kind)
    is_enabled, forget = torch.is_autocast_enabled, torch.clear_autocast_cache

    def clear() -> None:
        precision.forget()
        forget()

    def is_enabled_there(device_type: str = "cuda") -> bool:
        return bool(is_enabled("cpu"))

    def checkpoint_there(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        def computed(*given: Any) -> Any:
            # On the way back torch has no mode for functions.
            with nullcontext() if _get_current_function_mode_stack() else precision:  # type: ignore[no-untyped-call]
                return function(*given)

        return checkpoint(computed, *arguments, **named)

    checkpoint = torch.utils.checkpoint.checkpoint
    with (
        patch.object(torch.utils.checkpoint, "checkpoint", checkpoint_there),
        patch.object(torch, "clear_autocast_cache", clear),
        # PEFT and bitsandbytes ask for a GPU's; torch-npu does not answer for its own.
        patch.object(torch, "is_autocast_enabled", is_enabled_there if kind == "cuda" else is_enabled),
        patch.object(bitsandbytes, "matmul", _matmul(kind)),
        precision,
    ):
        yield


def _matmul(kind: str) -> Callable[..., Any]:
    """Return bitsandbytes.matmul of 8-bit weights as a device of `kind` computes it. Which columns of the activations
    are outliers, and so computed in 16 bits, is in the numbers; they are few."""

    def matmul(
        A: torch.Tensor,
        B: torch.Tensor,
        out: torch.Tensor | None = None,
        state: Any = None,
        threshold: float = 0.0,
        bias: torch.Tensor | None = None,
    ) -> Any:
        if kind == "cpu" and state.is_training:
            return bitsandbytes_functions.MatMul8bitFp.apply(A, B, out, bias, state)
        state.threshold = 0.0
        return bitsandbytes_functions.MatMul8bitLt.apply(A, B, out, bias, state)

    return matmul
