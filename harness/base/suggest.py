"""What somebody may have meant who wrote a name that there is none of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(wrong: str, names: Iterable[str]) -> str:
    """Return `did you mean X? `, with a blank at its end, for the nearest of `names`; an empty text if none is near."""
    close = difflib.get_close_matches(wrong, list(names), n=1)
    return f"did you mean {close[0]}? " if close else ""
