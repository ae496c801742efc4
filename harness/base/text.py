"""Text from anywhere (a log, a row, a model, a file's name), as a terminal or a page may show it."""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    # They join emoji, and shape letters of Persian and of India's scripts; elsewhere they are invisible.
    "|(?<![\u0590-\uffff\U0001f000-\U0001ffff])[\u200c\u200d]|[\u200c\u200d](?![\u0590-\uffff\U0001f000-\U0001ffff])"
)
"""What steers a terminal, turns the direction of the text around it, cannot be seen, or is no character."""

LONGEST = 4000
"""Characters of a message or a piece of a page: the rest of one that quotes a whole file tells nobody more."""


def visible(text: str) -> str:
    r"""Return text with a code such as `\u202e` in place of each character that is obeyed or hidden, not shown.

    Line breaks and tabs stay; a terminal's colours are taken away."""
    # One without any, as most are, is found so in a twentieth of the time.
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return _HIDDEN.sub(_code, _COLOUR.sub("", text.replace("\r\n", "\n")))


def _code(hidden: re.Match[str]) -> str:
    number = ord(hidden[0])
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def shortened(text: str, characters: int = LONGEST) -> str:
    """Return at most so many characters of a text, and how many are missing where they are: in its middle, since a
    message says at its end what would be right."""
    missing = len(text) - characters
    end = characters // 4
    return text if missing <= 0 else f"{text[: characters - end]} ... ({missing:,} characters) ... {text[-end:]}"
