"""What one round of readings says of each kind of memory."""

from __future__ import annotations

from collections.abc import Iterable

from harness.devices.reading import Quantity, Reading

SAMPLED = (Quantity.DEVICE, Quantity.PROCESS, Quantity.HOST)
"""The quantities that sensors read; the others are high-water marks that the child reports."""


def total_mib(readings: Iterable[Reading], quantity: Quantity) -> float | None:
    """Sum over the chips of one round, or the host's value; None where one of them does not tell.

    A sum without a chip would pass for a smaller need, so it is not made."""
    values = [
        reading.device_used_mib if quantity is Quantity.DEVICE else reading.process_mib
        for reading in readings
        if (reading.chip is None) == (quantity is Quantity.HOST)
    ]
    told = [value for value in values if value is not None]
    return sum(told) if told and len(told) == len(values) else None
