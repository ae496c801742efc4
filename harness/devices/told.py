"""What a driver tells of itself and of how it has set a run's chips."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ChipSettings:
    """How a chip is set, at the moment it was asked. None: the driver does not tell."""

    power_limit_watts: float | None = None
    """What it may draw, of all limits the lowest."""
    clock_mhz: float | None = None
    """Of the cores that compute."""
    max_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    ecc: bool | None = None
    """Whether its memory corrects errors, which costs some of it and of its speed."""


@dataclass(frozen=True)
class Told:
    """What a driver told. None, or not there: it does not tell."""

    driver: str | None = None
    runtimes: dict[str, str] = field(default_factory=dict)
    """Versions of CUDA or CANN, and of the chips' firmware, by name. Several of one name are joined by ` + `."""
    chips: dict[int, ChipSettings] = field(default_factory=dict)
    """Of the run, by logic id."""
