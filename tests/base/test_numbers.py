"""Numbers that somebody else wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base.numbers import whole_number


@given(st.integers(0, 10**18 - 1))
def test_a_count_is_the_number_it_is(number: int) -> None:
    assert whole_number(str(number)) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1_000", "1.0", "²", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 5000])
def test_what_is_no_count_is_none(text: str) -> None:
    assert whole_number(text) is None


@given(st.text())
def test_no_text_is_a_fault(text: str) -> None:
    whole_number(text)
