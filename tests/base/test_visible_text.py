"""Text from anywhere is shown as it is, and what is obeyed or hidden in it as a code."""

from __future__ import annotations

import pytest

from harness.base.text import LONGEST, shortened, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\u001b]0;title\u0007"),
        ("\x1b[2J\x9b2J\x00\x7f\x85", r"\u001b[2J\u009b2J\u0000\u007f\u0085"),
        ("a\u202eb\u2066c\u2069\u200e\u200f\u061c", r"a\u202eb\u2066c\u2069\u200e\u200f\u061c"),
        ("a\u200bb\u2060c\ufeffd\xade\u3164\u115f\u034f", r"a\u200bb\u2060c\ufeffd\u00ade\u3164\u115f\u034f"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("lo\u200dra lo\u200cra", r"lo\u200dra lo\u200cra"),
        ("bad\udcff.json", r"bad\udcff.json"),
        ("x\U000e0041y", r"x\U000e0041y"),
        ("\x1b[1;31mred\x1b[0m \x1b[38:5:1mx", "red x"),
        ("one\r\ntwo\rthree", "one\ntwo\\u000dthree"),
    ],
)
def test_what_is_obeyed_or_hidden_is_shown_as_a_code(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


@pytest.mark.parametrize(
    "text", ["", "a\n\tb", "你是谁 é ß", "👨\u200d👩\u200d👧 ❤\ufe0f", "می\u200cگویم", "क्\u200dष", "\xa0→±…"]
)
def test_what_can_be_read_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_a_long_text_keeps_its_ends_and_says_what_is_missing() -> None:
    text = "key: " + "x" * 2**20 + "; give another"
    cut = shortened(text)
    assert cut.startswith("key: xxx")
    assert cut.endswith("xxx; give another")
    assert f" ... ({len(text) - LONGEST:,} characters) ... " in cut
    assert len(cut) < LONGEST + 50
    assert shortened("x" * LONGEST) == "x" * LONGEST
