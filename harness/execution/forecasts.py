"""The memory that the runs of a command will need, forecast before they start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.base.errors import UserError
from harness.memory.asked import Arm
from harness.memory.forecast import ArmForecast, Fits, Lengths, forecast
from harness.memory.places import of_configuration
from harness.plan.planner import Planner
from harness.plan.spec import RunSpec


def forecasts(specs: Sequence[RunSpec], planner: Planner) -> dict[str, ArmForecast]:
    """Return the forecast of each arm of one sweep, by `RunSpec.of_arm`, with the rows as they are.

    Raises UserError where one cannot be made."""
    arms: dict[str, Arm] = {}
    for spec in specs:
        arms.setdefault(spec.of_arm, Arm(spec.arm, spec.config))
    place = of_configuration(specs[0].config)
    found = forecast(list(arms.values()), [place], planner, Lengths.DATA)
    return dict(zip(arms, found, strict=True))


def too_large(found: Sequence[ArmForecast]) -> Iterator[str]:
    """Yield of each arm that will not fit what it needs, and what would fit: `key: what; what would be right`."""
    for arm in found:
        on = arm.places[0]
        if on.fits is not Fits.NO or on.place.memory_mib is None:
            continue
        peak, rows = arm.forecast.peak, arm.forecast.rows
        fitting = arm.forecast.largest.get(arm.forecast.tokens, 0)
        instead = (
            f"training.batch_size={fitting} fits"
            if fitting
            else "no batch of these rows fits; give a lower training.cutoff_length, quantize, or use a larger device"
        )
        needs, room = (f"{mib / 1024:.1f} GiB" for mib in (peak.peak_device_mib, on.place.memory_mib))
        yield (
            f"training.batch_size={rows}: {arm.arm.name} will not fit: at {rows} x {arm.forecast.tokens:,} tokens it "
            f"needs {needs}, and {on.place.name} has {room}; {instead}"
        )


def refused(specs: Sequence[RunSpec], found: Sequence[ArmForecast]) -> None:
    """Raises UserError where a run that will not fit is to be refused."""
    if any(spec.config.device.refuse_if_over for spec in specs) and (mistakes := list(too_large(found))):
        raise UserError(mistakes)
