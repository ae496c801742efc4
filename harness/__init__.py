"""What QLoRA costs and saves against LoRA, with evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.comparison.runs import load_runs
    from harness.memory.ask import ask as forecast

__all__ = ["forecast", "load_runs"]


def __getattr__(name: str) -> Any:
    # What they bring along is loaded only when it is asked for, so that `harness --help` answers at once.
    if name == "load_runs":
        from harness.comparison.runs import load_runs

        return load_runs
    if name == "forecast":
        from harness.memory.ask import ask

        return ask
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
