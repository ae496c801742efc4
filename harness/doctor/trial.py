"""What the child that tries quantization tells the doctor."""

from __future__ import annotations

from pydantic import BaseModel


class Trial(BaseModel):
    quantization: str
    """As the key `quantization` names it: int8, nf4, nf4_double, fp4."""
    problem: str | None
    """None: it works here."""


ARGUMENTS: dict[str, dict[str, object]] = {
    "int8": {"quantization_bit": 8},
    "nf4": {"quantization_bit": 4, "quantization_type": "nf4", "double_quantization": False},
    "nf4_double": {"quantization_bit": 4, "quantization_type": "nf4", "double_quantization": True},
    "fp4": {"quantization_bit": 4, "quantization_type": "fp4", "double_quantization": False},
}
"""LLaMA-Factory's, for each of these."""
