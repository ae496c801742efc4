"""Proof that a device is there and a quantization scheme works on it, within seconds, before any model is loaded.

bitsandbytes names devices that it has no kernels for (0.50.2 lists `npu` and ships no backend), and reports of failures
on NPUs are open (LLaMA-Factory issues 6452, 9465, 10125): what it does there is known only once it has been tried.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch

from harness.workers.lifecycle import UnsupportedError

_ROWS, _COLUMNS, _BATCH = 256, 512, 8
_ROUND_TRIP = {8: 0.02, 4: 0.15}
"""Mean error of quantized normal weights, relative to their mean size: measured 0.008 for int8, 0.091 for nf4 and 0.121
for fp4 on a CPU; a device that returns zeros or noise is far above."""
_AGREEMENT = 0.02
"""Mean difference between device and CPU, relative to the mean size: what mixed precision may explain."""


class NoDeviceError(Exception):
    """torch does not see the device that the run was planned for."""


def require(device: str) -> None:
    """Make sure that torch sees `device` (cpu, cuda, npu): else a run would train on the CPU in silence.

    Raises NoDeviceError."""
    if device == "cpu":
        return
    problem = ""
    if device == "npu":
        try:
            importlib.import_module("torch_npu")
        except Exception as error:  # A library that CANN should have brought, an undefined symbol, ...
            problem = f": torch_npu cannot be imported: {type(error).__name__}: {error}"
    module = getattr(torch, device, None)
    if module is None or not module.is_available():
        raise NoDeviceError(f"torch {torch.__version__} sees no {device}{problem}; `harness doctor` tells why")


def prove(arguments: dict[str, Any], device: str) -> None:
    """Quantize and dequantize a small matrix on `device` (cpu, cuda, npu), train through it once, compare with the CPU.

    `arguments`: LLaMA-Factory's. Without quantization_bit there is nothing to prove. Raises UnsupportedError."""
    bits = arguments.get("quantization_bit")
    if bits is None:
        return
    kind = str(arguments.get("quantization_type", "nf4")) if bits == 4 else "int8"
    double = bits == 4 and bool(arguments.get("double_quantization", True))
    scheme = f"{kind}{' with double quantization' if double else ''}"
    try:
        on_device = attempt(kind, double, device)
        reference = on_device if device == "cpu" else attempt(kind, double, "cpu")
    except Exception as error:
        raise UnsupportedError(
            f"{scheme} does not work on this {device}: {type(error).__name__}: {error}; {_fix(device)}"
        ) from error
    weight = _weight()
    for what, value, wanted, limit in (
        ("the weight that comes back", on_device[0], weight, _ROUND_TRIP[bits]),
        ("the weight that comes back, against the CPU's,", on_device[0], reference[0], _AGREEMENT),
        ("the output, against the CPU's,", on_device[1], reference[1], _AGREEMENT),
        ("the gradient, against the CPU's,", on_device[2], reference[2], _AGREEMENT),
    ):
        error_ratio = float((value - wanted).abs().mean() / wanted.abs().mean())
        if not error_ratio <= limit:  # NaN too
            raise UnsupportedError(
                f"{scheme} gives wrong numbers on this {device}: {what} is off by {100 * error_ratio:.0f}%, "
                f"where {100 * limit:.0f}% is what the scheme itself costs; {_fix(device)}"
            )


def _fix(device: str) -> str:
    if device == "npu":
        return (
            "build bitsandbytes from source with -DCOMPUTE_BACKEND=npu, or try another quantization, "
            "or compare with method=lora alone"
        )
    return "install the bitsandbytes build for this device, or try another quantization"


def _weight() -> torch.Tensor:
    return torch.randn(_ROWS, _COLUMNS, generator=torch.Generator().manual_seed(0))


def attempt(kind: str, double: bool, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Quantize a small matrix on `device` and train through it once.

    Returns the dequantized weight, the output and the gradient of the input, all on the CPU in fp32. Raises what
    bitsandbytes and torch raise."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(_BATCH, _COLUMNS, generator=generator).to(device).requires_grad_()
    if kind == "int8":
        restored, outputs = _int8(inputs, device)
    else:
        restored, outputs = _four_bits(kind, double, inputs, device)
    outputs.sum().backward()  # type: ignore[no-untyped-call]
    assert inputs.grad is not None
    restored, outputs, gradient = (tensor.detach().float().cpu() for tensor in (restored, outputs, inputs.grad))
    return restored, outputs, gradient


def _four_bits(kind: str, double: bool, inputs: torch.Tensor, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    import bitsandbytes
    from bitsandbytes import functional

    packed, state = functional.quantize_4bit(_weight().to(device), compress_statistics=double, quant_type=kind)
    return functional.dequantize_4bit(packed, state), bitsandbytes.matmul_4bit(inputs, packed.t(), quant_state=state)


def _int8(inputs: torch.Tensor, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    from bitsandbytes import functional, nn

    quantized, scales, _ = functional.int8_vectorwise_quant(_weight().half().to(device))
    layer = nn.Linear8bitLt(_COLUMNS, _ROWS, bias=False, has_fp16_weights=False)
    layer.weight = nn.Int8Params(_weight().half(), requires_grad=False)
    return functional.int8_vectorwise_dequant(quantized, scales), layer.to(device)(inputs)
