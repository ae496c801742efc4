"""What is compared: each metric's column, unit and scale. How it is called and written is the report's."""

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


class Aspect(StrEnum):
    """What a metric is about; a difference between arms beside method and quantization touches one or more of these."""

    ANSWERS = "answers"
    MEMORY = "memory"
    TIME = "time"
    """Energy and temperature too."""


_ASPECTS = {
    Unit.SHARE: Aspect.ANSWERS,
    Unit.NATS_PER_TOKEN: Aspect.ANSWERS,
    Unit.MIB: Aspect.MEMORY,
    Unit.COUNT: Aspect.ANSWERS,
}


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
    more_is_better: bool | None = False
    """None: neither more nor less of it is better; it describes."""

    @property
    def is_ratio(self) -> bool:
        """Whether arms are compared by their quotient, on the log scale; else by their difference."""
        return self.unit not in (Unit.SHARE, Unit.NATS_PER_TOKEN)

    @property
    def aspect(self) -> Aspect:
        return _ASPECTS.get(self.unit, Aspect.TIME)


def _peak(quantity: Quantity) -> Metric:
    return Metric(f"peak_{quantity}_mib", Unit.MIB, quantity)


ACCURACY = Metric("accuracy", Unit.SHARE, target=lambda folder: folder.evaluation, more_is_better=True)
MERGED_ACCURACY = Metric(
    "merged_accuracy", Unit.SHARE, target=lambda folder: folder.evaluation_merged, more_is_better=True
)
DEVICE_ABOVE_BASELINE = Metric("peak_device_above_baseline_mib", Unit.MIB, Quantity.DEVICE)
ALLOCATOR_RESERVED = _peak(Quantity.ALLOCATOR_RESERVED)
HOST = _peak(Quantity.HOST)
RESIDENT = _peak(Quantity.RESIDENT)
STEP_SECONDS = Metric("step_seconds", Unit.SECONDS)
TRAIN_SECONDS = Metric("train_seconds", Unit.SECONDS)
TRAIN_LOSS = Metric("train_loss", Unit.NATS_PER_TOKEN)
VALIDATION_LOSS = Metric("validation_loss", Unit.NATS_PER_TOKEN)
ENERGY_ABOVE_IDLE = Metric("above_idle_watt_hours", Unit.WATT_HOURS)

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
    STEP_SECONDS,
    TRAIN_SECONDS,
    Metric("tokens_per_second", Unit.TOKENS_PER_SECOND, more_is_better=True),
    TRAIN_LOSS,
    VALIDATION_LOSS,
    ENERGY_ABOVE_IDLE,
    Metric("watt_hours", Unit.WATT_HOURS),
    Metric("trainable_parameters", Unit.COUNT, more_is_better=None),
    Metric("adapter_mib", Unit.MIB, more_is_better=None),
)
"""In the order in which a report shows them."""
LEADING_MEMORY = (DEVICE_ABOVE_BASELINE, ALLOCATOR_RESERVED, HOST, RESIDENT)
"""The first that both arms measured is a primary metric, beside accuracy and seconds a step."""

_RESOLUTION_MIB = {
    "npu-smi": 1.0,
    "dcmi": 1.0,
    "nvml": 1.0,
    "psutil": 4 / 1024,
    "linux": 4 / 1024,
    "torch": 512 / 2**20,
    "llamafactory": 10.24,
}
"""npu-smi and DCMI print whole MB; NVML counts bytes, of which drivers hand out whole MiB; psutil and the kernel count
pages of 4 KiB; torch's allocator counts blocks of 512 bytes (c10/core/AllocatorConfig.h, kMinBlockSize);
LLaMA-Factory logs what that tells in GiB, to the hundredth (train/callbacks.py)."""


def resolution(metric: Metric, sensors: set[str]) -> float:
    """Return the smallest difference that what measured `metric` could tell, in the metric's unit; 0: any."""
    if metric.unit is not Unit.MIB:
        return 0.0
    return max((_RESOLUTION_MIB.get(sensor, 0.0) for sensor in sensors), default=0.0)
