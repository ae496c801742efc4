"""Text that another program wrote, in whatever encoding."""

from __future__ import annotations

import codecs

_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def decoded(data: bytes) -> str:
    """Return the text of a file by its byte order mark; without one it is UTF-8, and what is not is replaced.

    PowerShell's `>` writes UTF-16, and its `>>` puts that behind whatever stands in the file: what is ASCII in it is
    readable once its zeros are gone."""
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.removeprefix(mark).decode(encoding, errors="replace")
    return data.decode(errors="replace").replace("\0", "")
