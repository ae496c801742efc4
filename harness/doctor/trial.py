"""What the worker that tries quantizations tells the doctor."""

from __future__ import annotations

from pydantic import BaseModel


class Trial(BaseModel):
    """What came of one quantization: a line of JSON on the worker's stdout."""

    quantization: str
    """As the key `quantization` names it: int8, nf4, nf4_double, fp4."""
    problem: str | None
    """Why it does not work; None: it does."""


ARGUMENTS: dict[str, dict[str, object]] = {
    "int8": {"quantization_bit": 8},
    "nf4": {"quantization_bit": 4, "quantization_type": "nf4", "double_quantization": False},
    "nf4_double": {"quantization_bit": 4, "quantization_type": "nf4", "double_quantization": True},
    "fp4": {"quantization_bit": 4, "quantization_type": "fp4", "double_quantization": False},
}
"""LLaMA-Factory's, for each of these."""
