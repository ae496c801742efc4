"""Keeps secrets out of files. They live in environment variables only."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_HUB = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN")
_SHORTEST = 6
"""Shorter values than this are words that stand everywhere, not secrets."""


def redact(text: str) -> str:
    """`text` with the value of every secret of the environment replaced by `[NAME]`."""
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= _SHORTEST:
            text = text.replace(value, f"[{name}]")
    return text


def for_child(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a training child: no secret but the hubs' own, since the child may load from them."""
    return {name: value for name, value in environment.items() if not _SECRET.search(name) or name in _HUB}
