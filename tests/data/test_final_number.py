"""The number that an answer gives, by a table of right readings that was written by hand."""

# ruff: noqa: RUF001 (full-width digits are what it is about)

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.final_number import final_number, number, written

READINGS: dict[str, float | None] = {
    # After the mark, whatever stands before it.
    "3 + 15 = 18.\n#### 18": 18,
    "the answer is 1,234.\n#### 1234": 1234,
    "The answer is 18 dollars.\n#### 18": 18,
    "答案是18。\n#### 18": 18,
    "The answer is 17, no: \\boxed{16}\n#### 18": 18,
    "####18": 18,
    "####\n18": 18,
    "####: 18": 18,
    "＃＃＃＃ 18": 18,
    "#### 18 dollars a day": 18,
    "#### $18": 18,
    "#### $18.00": 18,
    "#### £1,234.50": 1234.5,
    "#### ￥18元": 18,
    "#### USD 18": 18,
    "#### 1,234": 1234,
    "#### 1,234,567": 1234567,
    "#### 1{,}234": 1234,
    "#### 1\u202f234": 1234,
    "#### 1\\,234": 1234,
    "#### １８": 18,
    "#### １，２３４": 1234,
    "#### -7": -7,
    "#### \u22127": -7,
    "#### －７": -7,
    "#### -$7": -7,
    "#### $-7": -7,
    "#### 18.5": 18.5,
    "#### .5": 0.5,
    "#### 18.": 18,
    "#### 1/2": 0.5,
    "#### 50%": 50,
    "#### **18**": 18,
    "#### `18`": 18,
    "#### $18$": 18,
    "#### 3 + 15 = 18": 18,
    "#### 18 (not 20)": 18,
    "#### 1.2万": 12000,
    # The first of several: what follows answers something else.
    "#### 18\n\nQuestion: What is 2 + 3?\n#### 5": 18,
    "#### 18\n\nTom has 3 apples and eats 1.\n#### 2": 18,
    "The answer is 18.\n\nQ: What is 2 + 3?\nThe answer is 5.": 18,
    "所以是18。\n问题：2加3是多少？\n答案是5。": 18,
    # In a box, the last one; else as it is said; else the last number.
    "\\boxed{18}": 18,
    "\\boxed{18 dollars}": 18,
    "\\boxed{\\text{18 dollars}}": 18,
    "\\boxed{\\$1{,}234.50}": 1234.5,
    "\\boxed{\\frac{1}{2}}": 0.5,
    "\\boxed{-\\frac{1}{2}}": -0.5,
    "First \\boxed{6}, then \\boxed{18}.": 18,
    "\\boxed{x = 18}": 18,
    "The answer is 18 dollars.": 18,
    "The final answer is: **18**. There are 20 others.": 18,
    "**Answer:** 18": 18,
    "答案是18。": 18,
    "答案：１，２３４元": 1234,
    "It is 20 - 2 = 18.": 18,
    "He needs 18 apples.": 18,
    "It is 5-3": 3,
    "It fell to -7": -7,
    # No number is no answer.
    "": None,
    "eighteen": None,
    "####": None,
    "#### eighteen": None,
}


@pytest.mark.parametrize(("answer", "reading"), READINGS.items())
def test_an_answer_is_read_as_a_person_reads_it(answer: str, reading: float | None) -> None:
    assert final_number(answer) == (None if reading is None else Fraction(str(reading)))


@given(
    st.decimals(-(10**9), 10**9, places=2),
    st.sampled_from(["", "$", "€"]),
    st.sampled_from(["", " dollars", "元", "."]),
)
def test_a_number_is_read_in_every_dress(value, currency: str, unit: str) -> None:  # type: ignore[no-untyped-def]
    sign, digits = ("-" if value < 0 else ""), f"{abs(value):,}"
    for text in (f"#### {sign}{currency}{digits}{unit}", f"\\boxed{{{sign}{currency}{digits}{unit}}}"):
        assert final_number(f"x\n{text}") == Fraction(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,234", 1234), ("-7", -7), ("18 apples", 18), ("B", None), ("3 or 4", None), ("9" * 5000, None)],
)
def test_what_is_expected_is_a_number_or_none(text: str, value: int | None) -> None:
    assert number(text) == value


def test_a_number_is_written_as_short_as_it_is_exact() -> None:
    assert [written(Fraction(*of)) for of in ((1234, 1), (1, 2), (-7, 1), (1, 3))] == ["1234", "0.5", "-7", "1/3"]
