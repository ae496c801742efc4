"""What QLoRA costs and saves against LoRA, with evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.comparison.runs import load_runs

__all__ = ["load_runs"]


def __getattr__(name: str) -> Any:
    # pandas is loaded only when it is asked for, so that `harness --help` answers at once.
    if name == "load_runs":
        from harness.comparison.runs import load_runs

        return load_runs
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
