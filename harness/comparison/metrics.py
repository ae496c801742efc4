"""What is compared: each metric's column, unit and direction. How it is called and written is the report's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from harness.devices.reading import Quantity
from harness.runs.folder import RunFolder, TargetFolder


class Unit(StrEnum):
    SHARE = "share"
    """Of right answers, 0 to 1."""
    MIB = "mib"
    SECONDS = "seconds"
    TOKENS_PER_SECOND = "tokens_per_second"
    NATS_PER_TOKEN = "nats_per_token"
    WATT_HOURS = "watt_hours"
    COUNT = "count"


@dataclass(frozen=True)
class Metric:
    key: str
    """Column of `load_runs`."""
    unit: Unit
    better: Literal["lower", "higher"] | None
    """None: neither is; the metric describes."""
    quantity: Quantity | None = None
    """The memory that it is about."""
    target: Callable[[RunFolder], TargetFolder] | None = None
    """Of a share of right answers: where the answers are."""


def _peak(quantity: Quantity) -> Metric:
    return Metric(f"peak_{quantity}_mib", Unit.MIB, "lower", quantity)


ACCURACY = Metric("accuracy", Unit.SHARE, "higher", target=lambda folder: folder.evaluation)
MERGED_ACCURACY = Metric("merged_accuracy", Unit.SHARE, "higher", target=lambda folder: folder.evaluation_merged)
DEVICE_ABOVE_BASELINE = Metric("peak_device_above_baseline_mib", Unit.MIB, "lower", Quantity.DEVICE)
DEVICE = _peak(Quantity.DEVICE)
PROCESS = _peak(Quantity.PROCESS)
ALLOCATOR_RESERVED = _peak(Quantity.ALLOCATOR_RESERVED)
ALLOCATOR_ALLOCATED = _peak(Quantity.ALLOCATOR_ALLOCATED)
HOST = _peak(Quantity.HOST)
RESIDENT = _peak(Quantity.RESIDENT)
WEIGHTS = Metric("weights_mib", Unit.MIB, "lower")
TRAIN_SECONDS = Metric("train_seconds", Unit.SECONDS, "lower")
TOKENS_PER_SECOND = Metric("tokens_per_second", Unit.TOKENS_PER_SECOND, "higher")
TRAIN_LOSS = Metric("train_loss", Unit.NATS_PER_TOKEN, "lower")
VALIDATION_LOSS = Metric("validation_loss", Unit.NATS_PER_TOKEN, "lower")
WATT_HOURS = Metric("watt_hours", Unit.WATT_HOURS, "lower")
TRAINABLE = Metric("trainable_parameters", Unit.COUNT, None)
ADAPTER = Metric("adapter_mib", Unit.MIB, None)

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
