"""Text files that are not what they should be, by their first bytes."""

from __future__ import annotations

from collections.abc import Iterable

_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_CHINESE = {"GBK": "GB18030", "Big5": "CP950"}
"""As they are called, and as they are decoded: what Windows calls Big5 has a few characters more."""
_BEGINNING = 1024
BOM = b"\xef\xbb\xbf"
"""What Windows puts before UTF-8."""


def encoding_problem(data: bytes) -> str | None:
    """Return what a file of text is in place of UTF-8, and how to save it; None: it is UTF-8, with BOM or without."""
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return f"is {name}; save it as UTF-8 ({_converting([name])})"
    # Text has no zeros, and half of what is Latin in UTF-16 are zeros.
    if b"\0" in (beginning := data[:_BEGINNING]):
        name = "UTF-16LE" if beginning[1::2].count(0) > beginning[::2].count(0) else "UTF-16BE"
        return f"looks like {name}; save it as UTF-8 ({_converting([name])})"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where = f"line {line}: is not UTF-8"
        possible = [(name, charset) for name, charset in _CHINESE.items() if _decodes(data, charset)]
        if not possible:
            return f"{where} (byte 0x{data[error.start]:02x}); save it as UTF-8"
        names = " or ".join(name for name, _ in possible)
        return f"{where}, but may be {names}; save it as UTF-8 ({_converting(charset for _, charset in possible)})"
    return None


def _decodes(data: bytes, charset: str) -> bool:
    try:
        data.decode(charset)
    except UnicodeDecodeError:
        return False
    return True


def _converting(charsets: Iterable[str]) -> str:
    """The commands of which one gives UTF-8: in the others the text is nonsense."""
    return ", or ".join(f"iconv -f {charset} -t UTF-8" for charset in charsets)
