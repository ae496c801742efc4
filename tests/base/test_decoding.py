"""Logs as PowerShell, Windows and broken disks leave them."""

from __future__ import annotations

import codecs

import pytest

from harness.base.decoding import decoded

TEXT = "RuntimeError: NPU out of memory. 显存\r\n"
ASCII = "RuntimeError: NPU out of memory.\r\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    ],
    ids=["UTF-8", "UTF-8 with a mark", "little-endian UTF-16", "big-endian UTF-16"],
)
def test_a_byte_order_mark_tells_the_encoding_and_is_no_text(data: bytes) -> None:
    assert decoded(data) == TEXT


def test_utf_16_behind_utf_8_or_without_a_mark_is_readable_where_it_is_ascii() -> None:
    assert decoded(b"begun\r\n" + ASCII.encode("utf-16-le")) == f"begun\r\n{ASCII}"
    assert decoded(ASCII.encode("utf-16-be")) == ASCII


@pytest.mark.parametrize("data", [b"\xd0\xd4 loss\n", codecs.BOM_UTF16_LE + " loss\n".encode("utf-16-le") + b"x", b""])
def test_what_cannot_be_decoded_hides_nothing_else(data: bytes) -> None:
    text = decoded(data)
    assert (" loss\n" in text) is bool(data)
