"""A log as text, whatever its length: a bounded part of its beginning and of its end."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import BinaryIO

from harness.base.decoding import decoded
from harness.base.errors import UserError

HEAD_BYTES, TAIL_BYTES = 2**20, 3 * 2**20
HEAD_LINES, TAIL_LINES = 5_000, 20_000
"""What was raised first, and what was said last; each line is compared with every symptom."""
_CHUNK_BYTES = 2**20
_BINARY_SHARE = 0.03
"""Of control characters; a tenth of what is compressed are such, and none of a text's but line breaks and colours."""
_CONTROL = re.compile(r"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")


def read_log(log: Path, name: str) -> tuple[str, int]:
    """Return a log's text (`-` is standard input), and how many bytes in its middle are left out of it.

    Raises UserError where it cannot be read, is empty, or is no text."""
    try:
        if log == Path("-"):
            head, tail, left_out_bytes = _ends(sys.stdin.buffer)
        else:
            with log.open("rb") as file:
                head, tail, left_out_bytes = _ends(file)
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}; a run's logs are in outputs/SWEEP/RUN/logs") from None
    text = decoded(head + tail) if not left_out_bytes else f"{decoded(head)}\n{decoded(_marked(head, tail))}"
    if not (head + tail).strip(b"\0\r\n\t \xef\xbb\xbf\xfe\xff"):
        raise UserError(f"{name}: empty; a run's logs are in outputs/SWEEP/RUN/logs")
    if len(_CONTROL.findall(text)) > _BINARY_SHARE * len(text):
        raise UserError(f"{name}: no text but binary data; name a log (unpacked, where it is compressed)")
    lines = text.splitlines(keepends=True)
    left_out = "".join(lines[HEAD_LINES:-TAIL_LINES])
    text = "".join([*lines[:HEAD_LINES], *lines[HEAD_LINES:][-TAIL_LINES:]])
    return text, left_out_bytes + len(left_out.encode())


def _ends(file: BinaryIO) -> tuple[bytes, bytes, int]:
    """Return a file's first bytes, its last ones, and the number of those between; a pipe's are read through."""
    head = file.read(HEAD_BYTES)
    begin = len(head)
    if file.seekable():
        begin = max(begin, file.seek(0, 2) - TAIL_BYTES)
        # Two bytes are a character of UTF-16.
        begin -= begin % 2 if begin > len(head) else 0
        file.seek(begin)
    tail, left_out_bytes = bytearray(), begin - len(head)
    while chunk := file.read(_CHUNK_BYTES):
        tail += chunk
        if (surplus := (len(tail) - TAIL_BYTES) // 2 * 2) > 0:
            del tail[:surplus]
            left_out_bytes += surplus
    return head, bytes(tail), left_out_bytes


def _marked(head: bytes, tail: bytes) -> bytes:
    """The tail behind the byte order mark that the file begins with."""
    mark = head[:2]
    return mark + tail if mark in (b"\xff\xfe", b"\xfe\xff") else tail
