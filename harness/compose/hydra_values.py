"""Values and overrides in the words of Hydra's grammar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

_PLAIN = re.compile(r"[A-Za-z_/][\w./:@+-]*", re.ASCII)
_KEY = re.compile(r"[A-Za-z_/][\w./@+-]*", re.ASCII)
_WORDS = ("null", "true", "false", "nan", "inf", "none")
_OPEN = ("llamafactory.", "dataset.columns", "dataset.tags")
"""Parts of the configuration whose keys the schema does not name."""


def written(value: Any) -> str:
    """Return `value` as an override holds it, so that Hydra reads it back.

    Raises ValueError where its grammar has no way: a text with `${`, which would be filled in, and a key of a mapping
    that is more than a word."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_key(str(key))}:{written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(written, value)) + "]"
    text = str(value)
    if "${" in text:
        raise ValueError("holds ${...}, which Hydra would fill in; give what it stands for")
    # A colon ends a key inside of a mapping, so that a word with one is quoted too.
    if _PLAIN.fullmatch(text) and ":" not in text and text.lower() not in _WORDS:
        return text
    return str(QuotedString(text, Quote.single).with_quotes())


def _key(text: str) -> str:
    if not _KEY.fullmatch(text) or text.lower() in _WORDS:
        raise ValueError(f"has a key {text!r}, which Hydra takes in a file alone")
    return text


def admit(overrides: Iterable[str]) -> list[str]:
    """Return the overrides of a command line as Hydra takes them: `llamafactory.x=1` with `++`, since the schema does
    not know which arguments LLaMA-Factory has nor which columns a file, and words in other letters than ASCII ones in
    quotes. Those that it has returned stay as they are."""
    return ["++" + text if text.startswith(_OPEN) else text for text in map(_with_quotes, overrides)]


def _with_quotes(override: str) -> str:
    """`[{prompt: 你是谁}]` with quotes: without them Hydra 1.3's grammar knows no letters but ASCII ones."""
    key, equals, value = override.partition("=")
    if value.isascii() or "${" in value:
        return override
    # Only in lists and mappings do more signs than the comma stand between words.
    between = r",:=()\[\]{}" if value.lstrip()[:1] in ("[", "{") else ","

    def quote(piece: re.Match[str]) -> str:
        word = piece[0].strip()
        plain = word.isascii() or word[0] in "'\""
        quoted = str(QuotedString(word, Quote.double).with_quotes())
        return piece[0] if plain else piece[0].replace(word, quoted)

    pieces = rf"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^{between}'"]+"""
    return key + equals + re.sub(pieces, quote, value, flags=re.DOTALL)
