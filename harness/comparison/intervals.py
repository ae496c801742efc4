"""What an interval is; `harness.comparison.estimates` makes them."""

from __future__ import annotations

from typing import NamedTuple


class Interval(NamedTuple):
    """Two bounds, in the unit of what they are about."""

    low: float
    high: float

    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0
