from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.workers.batching import Batcher

NEVER = 600.0
"""Seconds of patience that would stop a test for good if it were ever needed."""


def test_batches_are_full_and_the_last_smaller_one_waits_for_nobody() -> None:
    sizes: list[int] = []

    def answer(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        return batch

    batcher = Batcher(answer, batch_size=4, expected=10, patience_seconds=NEVER)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(batcher, range(10)))
    assert sizes == [4, 4, 2]


def test_everyone_gets_the_answer_to_their_own_question() -> None:
    batcher = Batcher(lambda batch: [10 * question for question in batch], 8, expected=100, patience_seconds=NEVER)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(batcher, range(100))) == [10 * question for question in range(100)]


def test_a_batch_that_fails_tells_each_of_its_callers_and_the_next_one_is_answered() -> None:
    def answer(batch: list[str]) -> list[str]:
        if "too long" in batch:
            raise MemoryError("out of memory")
        return batch

    batcher = Batcher(answer, batch_size=2, expected=4, patience_seconds=NEVER)
    with ThreadPoolExecutor(2) as threads:
        failed = [threads.submit(batcher, question) for question in ("short", "too long")]
        for future in failed:
            with pytest.raises(MemoryError):
                future.result()
        assert list(threads.map(batcher, ["one", "two"])) == ["one", "two"]


def test_an_answer_too_few_is_an_error_and_not_a_wait_without_end() -> None:
    batcher = Batcher(lambda batch: batch[:-1], batch_size=2, expected=2, patience_seconds=NEVER)
    with ThreadPoolExecutor(2) as threads:
        outcomes = [threads.submit(batcher, question) for question in range(2)]
        assert [type(outcome.exception()) for outcome in outcomes].count(ValueError) == 1


def test_a_caller_that_asks_less_often_than_announced_is_answered_all_the_same() -> None:
    batcher = Batcher(lambda batch: batch, batch_size=4, expected=10, patience_seconds=0.01)
    assert batcher("alone") == "alone"
