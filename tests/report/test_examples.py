"""Examples are drawn by rule: over all seeds, each way in turn, then where the arms agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.comparison.metrics import ACCURACY
from harness.report.examples import LIMIT, Example, disagreements, examples
from tests.builders import RunBuilder, questions
from tests.report.pages import findings_of, page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made"


def sweep(folder: Path, lora: list[set[int]], qlora: list[set[int]], count: int = 60) -> None:
    """Two arms; of each seed the numbers of the questions that it answered wrong."""
    for arm, wrong_by_seed in (("lora", lora), ("qlora", qlora)):
        for seed, wrong in enumerate(wrong_by_seed):
            answers = questions(count, [index not in wrong for index in range(count)])
            RunBuilder(folder, arm, seed, quantized=arm == "qlora", answers=answers).write()


def drawn(folder: Path) -> list[Example]:
    (comparison,) = findings_of(folder).comparisons
    paired = comparison.of(ACCURACY)
    return [] if paired is None else examples(comparison, paired)


def told(found: list[Example]) -> list[tuple[int, int, bool, bool]]:
    return [(each.seed, each.arm.index, each.arm.correct, each.baseline.correct) for each in found]


def test_both_ways_are_drawn_from_all_seeds_in_turn(folder: Path) -> None:
    sweep(folder, [{1, 2, 3, 4}, {5, 6}], [{7, 8}, {9, 10}])
    assert told(drawn(folder)) == [
        (0, 1, True, False),
        (0, 7, False, True),
        (1, 5, True, False),
        (1, 9, False, True),
        (0, 2, True, False),
        (0, 8, False, True),
    ]


def test_a_seed_whose_disagreements_all_go_one_way_does_not_hide_the_other_way(folder: Path) -> None:
    sweep(folder, [set(range(10)), set()], [set(), {20}])
    found = told(drawn(folder))
    assert (1, 20, False, True) in found
    assert len(found) == LIMIT


def test_no_question_is_drawn_twice() -> None:
    differences = np.zeros((3, 60))
    differences[:, 5] = 1
    differences[:, 6] = -1
    assert disagreements(differences) == [(0, 5), (0, 6)]


def test_where_the_arms_agree_both_wrong_and_both_right_follow(folder: Path) -> None:
    sweep(folder, [{1, 30}], [{30}])
    assert told(drawn(folder)) == [
        (0, 1, True, False),
        (0, 30, False, False),
        (0, 0, True, True),
        (0, 2, True, True),
        (0, 3, True, True),
        (0, 4, True, True),
    ]


def test_answers_that_cannot_be_joined_give_none(folder: Path) -> None:
    sweep(folder, [{1}], [{2}])
    next(folder.glob("lora-*/evaluation/answers.jsonl")).unlink()
    assert drawn(folder) == []
    assert "Some questions" not in page(folder)


def test_a_page_names_seed_and_outcome_and_shows_both_answers(folder: Path) -> None:
    sweep(folder, [{1}, set()], [set(), {2}])
    text = page(folder)
    assert "**Question 1, seed 0: wrong by lora, right by qlora**" in text
    assert "**Question 2, seed 1: right by lora, wrong by qlora**" in text
    assert "| lora | made for tests 1 | 3 |" in text
    assert "| qlora | lora | 0 | 59 | 1 | 0 | 0 | 1.000 |" in text
    assert "| qlora | lora | all | 118 | 1 | 1 | 0 | - |" in text
