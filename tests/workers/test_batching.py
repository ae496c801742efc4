from __future__ import annotations

import pytest

from harness.workers.batching import WORTH_SHARING, batches, shared_beginning, tokens_at_once

MANY = 10**9


def test_prompts_of_a_length_are_answered_together_the_longest_first() -> None:
    assert batches([5, 9, 5, 7, 9, 6], at_once=2, new_tokens=3, tokens_at_once=MANY) == [[1, 4], [3, 5], [0, 2]]


def test_equals_keep_their_order_so_every_run_asks_the_same_batches() -> None:
    assert batches([4] * 5, at_once=2, new_tokens=1, tokens_at_once=MANY) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("tokens", "sizes"),
    [(24, [2, 3, 1]), (12, [1, 1, 1, 2, 1]), (1, [1] * 6)],
    ids=["two of the longest", "one of them", "not even one"],
)
def test_a_batch_holds_no_more_tokens_than_memory_does_but_one_prompt_in_any_case(
    tokens: int, sizes: list[int]
) -> None:
    assert [len(batch) for batch in batches([8, 8, 6, 4, 4, 3], 4, 2, tokens)] == sizes


def test_no_question_is_no_batch() -> None:
    assert batches([], at_once=4, new_tokens=1, tokens_at_once=MANY) == []


EXAMPLES = list(range(WORTH_SHARING))


@pytest.mark.parametrize(
    ("prompts", "shared"),
    [
        ([[*EXAMPLES, 1], [*EXAMPLES, 2, 3]], WORTH_SHARING),
        ([[*EXAMPLES, 7, 1], [*EXAMPLES, 7, 2], [*EXAMPLES, 7, 3]], WORTH_SHARING + 1),
        ([[*EXAMPLES, 1], [*EXAMPLES, 1]], WORTH_SHARING),
        ([[*EXAMPLES, 1], [*EXAMPLES, 1, 2]], WORTH_SHARING),
        ([EXAMPLES, [*EXAMPLES, 1]], 0),
        ([[1, *EXAMPLES], [2, *EXAMPLES]], 0),
        ([[*EXAMPLES, 1]], 0),
        ([], 0),
    ],
    ids=["examples", "and a word", "the same", "one begins another", "too short", "nothing", "alone", "none"],
)
def test_what_all_prompts_begin_with_is_read_once_where_that_is_worth_it(prompts: list[list[int]], shared: int) -> None:
    assert shared_beginning(prompts) == shared


GIB = 2**30


@pytest.mark.parametrize(
    ("total", "weights", "a_token", "tokens"),
    [
        (80 * GIB, 14 * GIB, 200_000, 131_072),
        (80 * GIB, 14 * GIB + GIB // 20, 200_000, 131_072),
        (24 * GIB, 140 * GIB, 200_000, 4_096),
        (8, 8, 100, 1),
    ],
    ids=["a 7B", "with its adapter", "larger than the device", "nearly nothing"],
)
def test_what_an_adapter_or_quantization_changes_of_memory_changes_no_batch(
    total: int, weights: int, a_token: int, tokens: int
) -> None:
    assert tokens_at_once(total, weights, a_token) == tokens
