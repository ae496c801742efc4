"""How figures are written: as many digits as tell something, in the unit that a reader expects. No words."""

from __future__ import annotations

from harness.comparison.metrics import Metric, Unit

_DECIMALS = {Unit.SHARE: 1, Unit.NATS_PER_TOKEN: 4, Unit.COUNT: 0}
"""None for the others: see `number`."""
_NEAR_ONE = 0.1
"""Ratios that are all nearer to 1 have a third decimal: margins of memory are 2%."""


def number(value: float, decimals: int | None = None, sign: bool = False) -> str:
    """`decimals` None: three digits that tell, none after the point from 100 on."""
    if decimals is None:
        size = abs(value)
        decimals = 0 if size >= 99.95 or size == 0 else 1 if size >= 9.995 else 2 if size >= 0.9995 else 3
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    return text.replace("+", "").replace("-", "") if float(text.replace(",", "")) == 0 else text


def compact(value: float) -> str:
    """Write what somebody set, such as a margin, as they would."""
    return f"{value:,.10g}" if abs(value) < 1e6 else f"{value:,.0f}"


def ratios(*values: float) -> list[str]:
    """Write ratios that belong together with the same decimals."""
    decimals = 3 if max(abs(value - 1) for value in values) < _NEAR_ONE else 2
    return [
        f"{value:.2g}" if 0 < value < 0.1 else f"{value:,.0f}" if value >= 100 else f"{value:.{decimals}f}"
        for value in values
    ]


def p_value(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def chance(probability: float) -> str:
    """Write a probability in percent, and never as certain."""
    if not 0.001 <= probability <= 0.999:
        return "<0.1%" if probability < 0.5 else ">99.9%"
    return f"{100 * probability:.{0 if 0.01 <= probability <= 0.99 else 1}f}%"


def _scaled(metric: Metric, value: float) -> float:
    return 100 * value if metric.unit is Unit.SHARE else value


def value_text(metric: Metric, value: float) -> str:
    """Write a value of `metric` without its unit; a share in percent."""
    return number(_scaled(metric, value), _DECIMALS.get(metric.unit))


def difference_text(metric: Metric, value: float) -> str:
    """Write a difference with its sign and without its unit; that of shares in points of percent."""
    return number(_scaled(metric, value), _DECIMALS.get(metric.unit), sign=True)
