"""Text that another program wrote, in whatever encoding."""

from __future__ import annotations

import codecs
import re
from typing import Any

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character of two, `\\ud83d` in JSON: it cannot be written as UTF-8. LLaMA-Factory's reader leaves it
out."""
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def decoded(data: bytes) -> str:
    """Return the text of a file by its byte order mark; without one it is UTF-8, and what is not is replaced.

    PowerShell's `>` writes UTF-16, and its `>>` puts that behind whatever stands in the file: what is ASCII in it is
    readable once its zeros are gone."""
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.removeprefix(mark).decode(encoding, errors="replace")
    return data.decode(errors="replace").replace("\0", "")


def has_lone_surrogates(value: Any) -> bool:
    """Return whether there are halves of characters in the texts of a value, which no file in UTF-8 can hold.

    JSON and YAML can name them, and Python has them for bytes of a path that are no UTF-8."""
    if isinstance(value, str):
        return not value.isascii() and _LONE_SURROGATE.search(value) is not None
    if isinstance(value, dict):
        return any(map(has_lone_surrogates, (*value, *value.values())))
    return isinstance(value, list) and any(map(has_lone_surrogates, value))


def without_lone_surrogates(value: Any) -> Any:
    """Return a value without the halves of characters in its texts."""
    if isinstance(value, str):
        return value if value.isascii() else _LONE_SURROGATE.sub("", value)
    if isinstance(value, list):
        return [without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {name: without_lone_surrogates(item) for name, item in value.items()}
    return value
