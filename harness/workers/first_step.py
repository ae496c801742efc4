"""What the first optimizer step of a training shows, which no configuration tells for sure."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import nn

from harness.runs.events import FirstStep
from harness.workers.evidence import base_linear_layers, joined

_WHOLE = {
    DistributedType.NO,
    DistributedType.MULTI_CPU,
    DistributedType.MULTI_GPU,
    DistributedType.MULTI_NPU,
}


def holds_the_whole_model() -> bool:
    """Whether each process has all weights, gradients and optimizer state: not under DeepSpeed or FSDP.

    Asks accelerate, so a Trainer must have been made."""
    return AcceleratorState().distributed_type in _WHOLE


class FirstStepMeter:
    """Watches the training of a model until its optimizer has taken a step, and leaves the model as it was."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._in_forward = False
        self._recomputed: bool | None = None
        self._gradient_bytes: int | None = None
        # Before the forward: without reentry torch breaks a recomputation off in the midst of one, once it has all it
        # needs, and what is hooked in after that is never called.
        self._hooks = [
            model.register_forward_pre_hook(self._enter),
            model.register_forward_hook(self._leave),
            *(layer.register_forward_pre_hook(self._note) for layer in base_linear_layers(model)),
        ]

    def _enter(self, model: nn.Module, inputs: Any) -> None:
        self._in_forward = True

    def _leave(self, model: nn.Module, inputs: Any, output: Any) -> None:
        self._in_forward = False

    def _note(self, layer: nn.Module, inputs: Any) -> None:
        # Outside of the model's own forward a layer runs in the backward pass only, whoever recomputes and how.
        if layer.training:
            self._recomputed = bool(self._recomputed) or not self._in_forward

    def gradients_are_there(self) -> None:
        """Measure the gradients; to be called before the optimizer uses them up."""
        if self._gradient_bytes is None and holds_the_whole_model():
            gradients = [parameter.grad for parameter in self._model.parameters() if parameter.grad is not None]
            self._gradient_bytes = _bytes(gradients) or None

    def read(self, optimizer: torch.optim.Optimizer) -> FirstStep | None:
        """Return what the step showed, once there is any state in the optimizer: a scaler of fp16 gradients may have
        skipped the steps before."""
        for hook in self._hooks:
            hook.remove()
        return self.finish(optimizer) if optimizer.state or not holds_the_whole_model() else None

    def finish(self, optimizer: torch.optim.Optimizer) -> FirstStep:
        """Return what is known."""
        size, dtype = optimizer_state(optimizer) if holds_the_whole_model() else (None, None)
        return FirstStep(
            recomputed=self._recomputed,
            gradient_bytes=self._gradient_bytes,
            optimizer_bytes=size,
            optimizer_dtype=dtype,
        )


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[int | None, str | None]:
    """Return the bytes of an optimizer's state, and the dtypes of what it keeps for each element of a parameter.

    The step counter is left out. None: it has no state that can be seen."""
    tensors: list[torch.Tensor] = []
    dtypes: set[torch.dtype] = set()
    for state in optimizer.state.values():
        own = [value for name, value in state.items() if isinstance(value, torch.Tensor) and name != "step"]
        # Beside its 8-bit moments bitsandbytes keeps, for each block of them, what scales it.
        largest = max((tensor.numel() for tensor in own), default=0)
        dtypes |= {tensor.dtype for tensor in own if tensor.numel() == largest}
        tensors += own
    size = _bytes(tensors)
    return (size, joined(dtypes)) if size else (None, None)


def _bytes(tensors: list[torch.Tensor]) -> int | None:
    """Of all of them, what they share counted once; None where one is not plain: what that takes it alone knows."""
    if any(type(tensor) not in (torch.Tensor, nn.Parameter) for tensor in tensors):
        return None
    return sum({(tensor.device, tensor.data_ptr()): tensor.nbytes for tensor in tensors}.values())
