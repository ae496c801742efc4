"""How figures are written: as many digits as tell something, in the unit that a reader expects."""

from __future__ import annotations

from harness.comparison.metrics import Metric, Unit

_DECIMALS = {Unit.SHARE: 1, Unit.NATS_PER_TOKEN: 4, Unit.COUNT: 0}
"""None for the others: see `number`."""


def number(value: float, decimals: int | None = None, sign: bool = False) -> str:
    """`decimals` None: three digits that tell, none after the point from 100 on."""
    if decimals is None:
        size = abs(value)
        decimals = 0 if size >= 99.95 or size == 0 else 1 if size >= 9.995 else 2
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    return text.replace("+", "").replace("-", "") if float(text.replace(",", "")) == 0 else text


def percent(value: float) -> str:
    """Write a relative difference in percent, with its sign."""
    return f"{number(value, 0 if abs(value) >= 99.95 else 1, sign=True)}%"


def _scaled(metric: Metric, value: float) -> float:
    return 100 * value if metric.unit is Unit.SHARE else value


def value_text(metric: Metric, value: float) -> str:
    """Write a value of `metric` without its unit; a share in percent."""
    return number(_scaled(metric, value), _DECIMALS.get(metric.unit))


def difference_text(metric: Metric, value: float) -> str:
    """Write a difference with its sign and without its unit; that of shares in points of percent."""
    return number(_scaled(metric, value), _DECIMALS.get(metric.unit), sign=True)
