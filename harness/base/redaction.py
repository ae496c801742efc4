"""Keeps secrets out of files. They live in environment variables only."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_HUB = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN")
_SHORTEST = 6
"""Shorter values than this are words that stand everywhere, not secrets."""


def redact(text: str) -> str:
    """Return `text` with the value of every secret of the environment replaced by `[NAME]`."""
    return _replaced(text, {value: f"[{name}]" for name, value in _secrets().items()})


def redacted(value: T) -> T:
    """Return a configuration as it may be written: every text in it redacted by itself, whatever nests it.

    A text stays a text, and whatever is no text stays as it is, the names in mappings too."""
    return _in_texts(value, redact)


def restored(value: T) -> T:
    """Return what was `redacted`, with the values that this environment has; a `[NAME]` that it lacks stays."""
    values = {f"[{name}]": value for name, value in _secrets().items()}
    return _in_texts(value, lambda text: _replaced(text, values))


def for_child(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a worker's environment: no secret but the hubs' own, since the worker may load from them."""
    return {name: value for name, value in environment.items() if not _SECRET.search(name) or name in _HUB}


def _secrets() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if _SECRET.search(name) and len(value) >= _SHORTEST}


def _replaced(text: str, replacements: Mapping[str, str]) -> str:
    # All at once, the longest first: a secret may contain another, and what was put in is not searched again.
    parts = sorted(replacements, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, parts)), lambda found: replacements[found[0]], text) if parts else text


def _in_texts(value: T, change: Callable[[str], str]) -> T:
    changed: object = value
    if isinstance(value, str):
        changed = change(value)
    elif isinstance(value, dict):
        changed = {key: _in_texts(item, change) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        changed = type(value)(_in_texts(item, change) for item in value)
    return changed  # type: ignore[return-value]
