from __future__ import annotations

import pytest

from harness.workers.benchmarks import answer_after_mark, same_number


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("3 + 4 = 7.\n#### 7", "7"),
        ("#### 6\nNo, wait.\n#### 7\nDone.", "7"),
        ("####7", "7"),
        ("####\n7", "7"),
        ("The answer is 7", ""),
        ("It is 7 ####", ""),
    ],
)
def test_the_answer_stands_after_the_last_mark(text: str, answer: str) -> None:
    assert answer_after_mark(text) == answer


@pytest.mark.parametrize(("answer", "right"), [("1200", True), ("1,200", True), ("1200.0", True), ("1201", False)])
def test_answers_are_compared_as_numbers(answer: str, right: bool) -> None:
    assert same_number(answer, "1200") is right


@pytest.mark.parametrize("answer", ["", "seven", "7 apples", "NaN"])
def test_what_is_no_number_is_wrong(answer: str) -> None:
    assert not same_number(answer, "7")
