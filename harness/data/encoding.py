"""Text files that are not what they should be, by their first bytes."""

from __future__ import annotations

_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_BEGINNING = 1024
BOM = b"\xef\xbb\xbf"
"""What Windows puts before UTF-8."""


def encoding_problem(data: bytes) -> str | None:
    """Return what a file of text is in place of UTF-8, and how to save it; None: it is UTF-8, with BOM or without."""
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return f"is {name}; save it as UTF-8 (iconv -f {name} -t UTF-8)"
    # Text has no zeros, and half of what is Latin in UTF-16 are zeros.
    if b"\0" in (beginning := data[:_BEGINNING]):
        name = "UTF-16LE" if beginning[1::2].count(0) > beginning[::2].count(0) else "UTF-16BE"
        return f"looks like {name}; save it as UTF-8 (iconv -f {name} -t UTF-8)"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        try:
            data.decode("gb18030")
        except UnicodeDecodeError:
            return f"line {line}: is not UTF-8 (byte 0x{data[error.start]:02x}); save it as UTF-8"
        return f"line {line}: is not UTF-8, but may be GBK; save it as UTF-8 (iconv -f GB18030 -t UTF-8)"
    return None
