"""Values as Hydra's grammar for overrides reads them back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_/][\w./:@+-]*", re.ASCII)
_WORDS = ("null", "true", "false", "nan", "inf", "none")


def written(value: Any) -> str:
    """`value` in an override. Texts with `${` are not for this: Hydra would fill them in."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{written(str(key))}:{written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(written, value)) + "]"
    text = str(value)
    # A colon ends a key inside of a mapping, so that a word with one is quoted too.
    if _PLAIN.fullmatch(text) and ":" not in text and text.lower() not in _WORDS:
        return text
    # In quotes a backslash means itself, but for those before a quote.
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", text)
    escaped = re.sub(r"(\\+)$", lambda found: found[1] * 2, escaped)
    return f"'{escaped}'"
