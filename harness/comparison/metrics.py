"""What is compared: each metric's column and unit. How it is called and written is the report's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from harness.devices.reading import Quantity
from harness.runs.folder import RunFolder, TargetFolder

Target: TypeAlias = Callable[[RunFolder], TargetFolder]


class Unit(StrEnum):
    """What a metric is counted in."""

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
    """One thing that arms are compared in: a column of `load_runs` and how it is meant."""

    key: str
    """Column of `load_runs`."""
    unit: Unit
    quantity: Quantity | None = None
    """The memory that it is about."""
    target: Target | None = None
    """Of a share of right answers: where the answers are."""
    is_judged: bool = True
    """False: neither more nor less of it is better; it describes."""


def _peak(quantity: Quantity) -> Metric:
    return Metric(f"peak_{quantity}_mib", Unit.MIB, quantity)


ACCURACY = Metric("accuracy", Unit.SHARE, target=lambda folder: folder.evaluation)
MERGED_ACCURACY = Metric("merged_accuracy", Unit.SHARE, target=lambda folder: folder.evaluation_merged)
DEVICE_ABOVE_BASELINE = Metric("peak_device_above_baseline_mib", Unit.MIB, Quantity.DEVICE)
ALLOCATOR_RESERVED = _peak(Quantity.ALLOCATOR_RESERVED)
HOST = _peak(Quantity.HOST)
RESIDENT = _peak(Quantity.RESIDENT)
TRAIN_SECONDS = Metric("train_seconds", Unit.SECONDS)
TRAIN_LOSS = Metric("train_loss", Unit.NATS_PER_TOKEN)
VALIDATION_LOSS = Metric("validation_loss", Unit.NATS_PER_TOKEN)

METRICS = (
    ACCURACY,
    MERGED_ACCURACY,
    DEVICE_ABOVE_BASELINE,
    _peak(Quantity.DEVICE),
    _peak(Quantity.PROCESS),
    ALLOCATOR_RESERVED,
    _peak(Quantity.ALLOCATOR_ALLOCATED),
    HOST,
    RESIDENT,
    Metric("weights_mib", Unit.MIB),
    TRAIN_SECONDS,
    Metric("tokens_per_second", Unit.TOKENS_PER_SECOND),
    TRAIN_LOSS,
    VALIDATION_LOSS,
    Metric("watt_hours", Unit.WATT_HOURS),
    Metric("trainable_parameters", Unit.COUNT, is_judged=False),
    Metric("adapter_mib", Unit.MIB, is_judged=False),
)
"""In the order in which a report shows them."""
LEADING_MEMORY = (DEVICE_ABOVE_BASELINE, ALLOCATOR_RESERVED, HOST, RESIDENT)
"""The first that both arms measured stands in the verdict."""
