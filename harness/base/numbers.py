"""Numbers that somebody else wrote."""

from __future__ import annotations

import re

_WHOLE = re.compile(r"[0-9]{1,18}")


def whole_number(text: str) -> int | None:
    """Return the number that digits stand for; None: they are none, or more than any count, id or port has.

    `int` takes more: blanks, underscores and the digits of every script; and `isdigit` takes what `int` does not."""
    return int(text) if _WHOLE.fullmatch(text) else None
