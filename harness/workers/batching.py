"""Turns calls from many threads into batches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Batcher(Generic[Question, Answer]):
    """Collects concurrent calls and answers them together.

    It knows how many calls will come, so the last and smaller batch starts at once and batches hold the same questions
    in every run. `patience_seconds` only matters to a caller that asks less often than announced: then a batch starts
    incomplete.
    """

    def __init__(
        self,
        answer: Callable[[list[Question]], list[Answer]],
        batch_size: int,
        expected: int,
        patience_seconds: float = 5.0,
    ) -> None:
        self._answer = answer
        self._batch_size = batch_size
        self._expected = expected
        self._patience_seconds = patience_seconds
        self._waiting: list[tuple[Question, Future[Answer]]] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._serve, name="batcher", daemon=True).start()

    def __call__(self, question: Question) -> Answer:
        """Answer one question, together with those of other threads. Raises what answering the batch raised."""
        future: Future[Answer] = Future()
        with self._changed:
            self._waiting.append((question, future))
            self._changed.notify()
        return future.result()

    def _serve(self) -> None:
        while True:
            batch = self._next_batch()
            try:
                answers = self._answer([question for question, _ in batch])
                for (_, future), answer in zip(batch, answers, strict=True):
                    future.set_result(answer)
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)

    def _next_batch(self) -> list[tuple[Question, Future[Answer]]]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            wanted = min(self._batch_size, self._expected)
            self._changed.wait_for(lambda: len(self._waiting) >= wanted, self._patience_seconds)
            batch, self._waiting = self._waiting[: self._batch_size], self._waiting[self._batch_size :]
            self._expected -= len(batch)
            return batch
