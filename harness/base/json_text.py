"""JSON that somebody else wrote."""

from __future__ import annotations

import json
from typing import Any


def load(content: str | bytes) -> Any:
    """Return what JSON stands for. Raises ValueError, also for what is nested deeper than Python reads."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("is nested too deep") from None
