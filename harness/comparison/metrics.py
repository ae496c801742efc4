"""What is compared: each metric's column, name, unit, direction and way of being written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.devices.reading import Quantity


def number(value: float, decimals: int | None = None, sign: bool = False) -> str:
    """`decimals` None: three digits that tell, none after the point from 100 on."""
    if decimals is None:
        size = abs(value)
        decimals = 0 if size >= 99.95 or size == 0 else 1 if size >= 9.995 else 2
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    return text.replace("+", "").replace("-", "") if float(text.replace(",", "")) == 0 else text


def percent(value: float) -> str:
    """A relative difference in percent, with its sign."""
    return f"{number(value, 0 if abs(value) >= 99.95 else 1, sign=True)}%"


@dataclass(frozen=True)
class Metric:
    key: str
    """Column of `load_runs`."""
    title: str
    unit: str
    better: Literal["lower", "higher"] | None
    """None: neither is; the metric describes."""
    decimals: int | None = None
    scale: float = 1.0
    difference_unit: str | None = None
    """Where it is another than `unit`."""
    quantity: Quantity | None = None
    """The memory that it is about."""
    answers: str | None = None
    """Of a share of right answers: where they are, relative to a run's folder."""

    def format(self, value: float) -> str:
        """Without the unit, for tables that name it once."""
        return number(value * self.scale, self.decimals)

    def write(self, value: float) -> str:
        text = self.format(value)
        return f"{text}{self.unit}" if self.unit == "%" else f"{text} {self.unit}".rstrip()

    def format_difference(self, value: float) -> str:
        return number(value * self.scale, self.decimals, sign=True)

    @property
    def unit_of_differences(self) -> str:
        return self.unit if self.difference_unit is None else self.difference_unit


def _peak(quantity: Quantity, title: str) -> Metric:
    return Metric(f"peak_{quantity}_mib", title, "MiB", "lower", quantity=quantity)


def _accuracy(key: str, title: str, answers: str) -> Metric:
    return Metric(key, title, "%", "higher", 1, 100.0, "points", answers=answers)


ADAPTER_ANSWERS, MERGED_ANSWERS = "evaluation/answers.jsonl", "evaluation-merged/answers.jsonl"
"""As harness.execution.scoring names their folders."""
ACCURACY = _accuracy("accuracy", "Accuracy", ADAPTER_ANSWERS)
MERGED_ACCURACY = _accuracy("merged_accuracy", "Accuracy merged into the unquantized base", MERGED_ANSWERS)
DEVICE_ABOVE_BASELINE = Metric(
    "peak_device_above_baseline_mib",
    "Peak device memory above its level before the run",
    "MiB",
    "lower",
    quantity=Quantity.DEVICE,
)
DEVICE = _peak(Quantity.DEVICE, "Peak device memory")
PROCESS = _peak(Quantity.PROCESS, "Peak device memory of the run's processes")
ALLOCATOR_RESERVED = _peak(Quantity.ALLOCATOR_RESERVED, "Peak memory reserved by the allocator")
ALLOCATOR_ALLOCATED = _peak(Quantity.ALLOCATOR_ALLOCATED, "Peak memory allocated by tensors")
HOST = _peak(Quantity.HOST, "Peak private host memory")
RESIDENT = _peak(Quantity.RESIDENT, "Peak resident host memory")
WEIGHTS = Metric("weights_mib", "Weights of the base in memory", "MiB", "lower")
TRAIN_SECONDS = Metric("train_seconds", "Training time", "s", "lower")
TOKENS_PER_SECOND = Metric("tokens_per_second", "Training speed", "tokens/s", "higher")
TRAIN_LOSS = Metric("train_loss", "Training loss, last", "nats/token", "lower", 4)
VALIDATION_LOSS = Metric("validation_loss", "Validation loss, last", "nats/token", "lower", 4)
WATT_HOURS = Metric("watt_hours", "Energy of the whole run", "Wh", "lower")
TRAINABLE = Metric("trainable_parameters", "Trainable parameters", "", None, 0)
ADAPTER = Metric("adapter_mib", "Adapter on disk", "MiB", None)

METRICS = (
    ACCURACY,
    MERGED_ACCURACY,
    DEVICE_ABOVE_BASELINE,
    DEVICE,
    PROCESS,
    ALLOCATOR_RESERVED,
    ALLOCATOR_ALLOCATED,
    HOST,
    RESIDENT,
    WEIGHTS,
    TRAIN_SECONDS,
    TOKENS_PER_SECOND,
    TRAIN_LOSS,
    VALIDATION_LOSS,
    WATT_HOURS,
    TRAINABLE,
    ADAPTER,
)
LEADING_MEMORY = (DEVICE_ABOVE_BASELINE, ALLOCATOR_RESERVED, HOST, RESIDENT)
"""The first that both arms measured stands in the verdict."""
