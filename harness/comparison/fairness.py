"""What else differs between two arms, so that a difference is not put down to the wrong cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.comparison.arms import Arm
from harness.comparison.pooling import differing_keys
from harness.comparison.runs import Run

COMPARED = ("method.name", "method.finetuning_type", "method.quantization", "quantization")
"""The keys in which arms are meant to differ."""

FACTS: dict[str, Callable[[Run], object]] = {
    "compute dtype (measured)": lambda run: run.record.evidence and run.record.evidence.compute_dtype,
    "gradient checkpointing (measured)": lambda run: run.record.evidence and run.record.evidence.gradient_checkpointing,
    "training rows (measured)": lambda run: run.record.rows and run.record.rows.rows,
    "optimizer steps (measured)": lambda run: run.record.training and run.record.training.steps,
    "benchmark": lambda run: run.record.score and run.record.score.benchmark,
    "platform": lambda run: run.record.environment.platform,
    "library versions": lambda run: ", ".join(
        f"{name} {version}" for name, version in sorted(run.record.environment.versions.items())
    ),
}
"""What the runs themselves say; a fault can make them differ although their configurations do not."""


@dataclass(frozen=True)
class Unfairness:
    key: str
    arm_value: str
    baseline_value: str


def _is_compared(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in COMPARED)


def _values(arm: Arm, fact: Callable[[Run], object]) -> set[str]:
    values = (fact(run) for run in arm.completed)
    return {str(value) for value in values if value is not None}


def unfairness(arm: Arm, baseline: Arm) -> list[Unfairness]:
    """Every configuration key and measured fact, other than method and quantization, in which the two differ."""
    ours, theirs = arm.runs[0].configuration, baseline.runs[0].configuration
    found = [
        Unfairness(key, str(ours.get(key)), str(theirs.get(key)))
        for key in differing_keys([ours, theirs])
        if not _is_compared(key)
    ]
    for name, fact in FACTS.items():
        values = _values(arm, fact), _values(baseline, fact)
        if all(values) and values[0] != values[1]:
            found.append(Unfairness(name, *(" / ".join(sorted(one)) for one in values)))
    return found


def unproven_quantization(arm: Arm) -> str | None:
    """Says so where an arm asked for quantized weights and a run found none."""
    bits = arm.runs[0].configuration.get("quantization.bits")
    faulty = [
        str(run.record.seed)
        for run in arm.completed
        if run.record.evidence is not None and run.record.evidence.quantized_modules == 0
    ]
    if not bits or not faulty:
        return None
    return (
        f"{arm.label} asked for {bits}-bit weights, but no quantized layer was found in its loaded model "
        f"(seed {', '.join(faulty)}): its figures are not those of a quantized base."
    )
