"""The words in a report's figures, in English."""

from __future__ import annotations

from collections.abc import Sequence

from harness.comparison.runs import Run


def losses_title(training: bool, validation: bool, several: bool, broken: int, without_finite: int) -> str:
    kinds = " and ".join(name for name, is_shown in (("training", training), ("validation", validation)) if is_shown)
    seeds = "; thin lines are seeds, thick lines their mean" if several else ""
    notes = ["a cross ends a curve that is not finite from there on"] if broken else []
    notes += [f"not drawn, since no loss in it is finite: {without_finite}"] if without_finite else []
    below = "\n" + "; ".join(notes) if notes else ""
    return f"{kinds.capitalize()} loss over the optimizer steps{seeds}{below}"


def loss_axis(validation: bool) -> str:
    return f"{'validation' if validation else 'training'} loss (nats/token)"


def step_axis() -> str:
    return "optimizer step"


def memory_title(on_device: bool, sensors: str) -> str:
    what = "used on the chips" if on_device else "private to the run's processes on the host"
    return f"Memory {what} ({sensors}); the peak named is that up to the end of training"


def memory_panel(label: str, run: Run, peak_mib: float) -> str:
    outcome = "" if run.completed else f", {run.record.status.value}"
    return f"{label}, seed {run.record.seed}{outcome}: peak {peak_mib:,.0f} MiB"


def no_readings() -> str:
    return "no readings"


def time_axis(unit: str) -> str:
    return f"time since the run's start ({unit})"


def differences_title(baselines: Sequence[str]) -> str:
    return (
        f"Paired difference to {' or '.join(baselines)} with its 95% interval\n"
        "filled: the interval excludes zero; hollow: it does not, or there is none"
    )


def difference_axis(relative: bool) -> str:
    return "difference (% of the baseline's mean)" if relative else "difference (points)"
