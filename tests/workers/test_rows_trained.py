"""The digest and the counts are those of what the model was given, whatever reads ahead of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate.data_loader import DataLoaderDispatcher
from llamafactory.data.collator import prepare_4d_attention_mask
from torch.utils.data import DataLoader
from transformers import Trainer

from harness.runs.events import RowsTrained, TrainingFinished
from harness.workers import compat
from harness.workers.adapter_check import ROWS as KEPT
from harness.workers.rows_trained import RowWatch, _read
from tests.workers.trainings import ROWS, Training, only, row

PADDING = 0


def digest(rows: list[list[int]]) -> str:
    """The slow way: each row's length and tokens, in 8 bytes each."""
    data = b"".join(number.to_bytes(8, "little") for row in rows for number in (len(row), *row))
    return hashlib.sha256(data).hexdigest()[:16]


def seen(training: Training) -> RowsTrained:
    """What the model saw, by its own arguments."""
    given = [(ids[place], mask[place].bool()) for ids, mask in training.given for place in range(len(ids))]
    tokens = sum(int(mask.sum()) for _, mask in given)
    return RowsTrained(
        digest=digest([ids[mask].tolist() for ids, mask in given]),
        rows=len(given),
        tokens=tokens,
        padding_tokens=sum(len(ids) for ids, _ in given) - tokens,
    )


def same(one: RowsTrained, other: RowsTrained) -> bool:
    return one.model_copy(update={"time": 0.0}) == other.model_copy(update={"time": 0.0})


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"gradient_accumulation_steps": 3},
        {"max_steps": 2},
        {"max_steps": 5, "gradient_accumulation_steps": 2},
        {"num_train_epochs": 2, "dataloader_drop_last": True},
        {"dataloader_num_workers": 2, "dataloader_prefetch_factor": 4, "max_steps": 2},
        {"eval_strategy": "steps", "eval_steps": 2, "seed": 7},
    ],
    ids=str,
)
def test_what_is_counted_is_what_the_model_was_given(training: Training, arguments: dict[str, Any]) -> None:
    trained = only(training(**arguments), RowsTrained)
    assert same(trained, seen(training))
    assert trained.padding_tokens > 0


def test_the_tokens_are_those_that_transformers_counts(training: Training) -> None:
    events = training(include_num_input_tokens_seen="non_padding", max_steps=4)
    assert only(events, RowsTrained).tokens == only(events, TrainingFinished).tokens > 0


@pytest.mark.parametrize(
    "mask",
    [
        lambda mask: mask,
        lambda mask: prepare_4d_attention_mask(mask, torch.float32),
        lambda mask: None,
        torch.ones_like,
    ],
    ids=["plain", "packed apart", "packed for flash attention", "packed and filled up"],
)
def test_tokens_are_counted_whatever_the_mask_looks_like(
    training: Training, monkeypatch: pytest.MonkeyPatch, mask: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """transformers alone counts -5e19 tokens for the second, fails with the third, and counts all of the fourth."""
    monkeypatch.setattr(Trainer, "_track_num_input_tokens", Trainer._track_num_input_tokens)
    compat.patch_token_count()
    events = training(mask=mask, include_num_input_tokens_seen="non_padding", train_sampling_strategy="sequential")
    tokens = sum(len(one["input_ids"]) for one in ROWS)
    assert only(events, RowsTrained).tokens == only(events, TrainingFinished).tokens == tokens


def test_another_order_has_another_digest_and_another_batch_size_has_not(training: Training) -> None:
    in_order = {"train_sampling_strategy": "sequential"}
    first = only(training(**in_order), RowsTrained)
    wider = only(training(**in_order, per_device_train_batch_size=4), RowsTrained)
    assert wider.digest == first.digest == digest([one["input_ids"] for one in ROWS])
    assert wider.padding_tokens > first.padding_tokens
    turned = only(training(ROWS[::-1], **in_order), RowsTrained)
    assert turned.digest != first.digest
    assert (turned.rows, turned.tokens) == (first.rows, first.tokens)


def test_where_the_rows_are_cut_is_part_of_the_digest(training: Training) -> None:
    settings = {"train_sampling_strategy": "sequential", "per_device_train_batch_size": 1}
    one = only(training([row(11, 12, 13), row(14, 15)], **settings), RowsTrained)
    other = only(training([row(11, 12), row(13, 14, 15)], **settings), RowsTrained)
    assert one.digest != other.digest


def batch(ids: list[list[int]], labels: list[list[int]], mask: torch.Tensor | None) -> dict[str, Any]:
    return {"input_ids": torch.tensor(ids), "labels": torch.tensor(labels), "attention_mask": mask}


IDS, LABELS = [[5, 6, 7, 8, PADDING, PADDING, PADDING]], [[-100, 6, -100, 8, -100, -100, -100]]
MASK = torch.tensor([[1, 1, 2, 2, 0, 0, 0]])


@pytest.mark.parametrize(
    "mask",
    [
        (MASK > 0).long(),
        torch.ones_like(MASK),
        MASK,
        prepare_4d_attention_mask(MASK, torch.bfloat16),
        None,
    ],
    ids=["padded", "packed", "packed apart", "packed apart in four dimensions", "packed for flash attention"],
)
def test_packed_rows_are_read_without_what_fills_them_up(mask: torch.Tensor | None) -> None:
    """LLaMA-Factory counts the filler of a packed row as tokens to be attended to."""
    read = _read(batch(IDS, LABELS, mask), PADDING)
    assert read is not None
    assert [one.input_ids.tolist() for one in read.rows] == [[5, 6, 7, 8]]
    assert [one.labels.tolist() for one in read.rows] == [[-100, 6, -100, 8]]
    assert read.positions == 7


def test_padding_on_the_left_is_no_token_and_a_last_token_that_is_learnt_is_one() -> None:
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    ids = [[PADDING, PADDING, 5, PADDING], [5, 6, 7, PADDING]]
    labels = [[-100, -100, -100, PADDING], [-100, 6, 7, PADDING]]
    read = _read(batch(ids, labels, mask), PADDING)
    assert read is not None
    assert [one.input_ids.tolist() for one in read.rows] == [[5, PADDING], [5, 6, 7, PADDING]]


@pytest.mark.parametrize("given", [torch.zeros(2), {"wanted": torch.zeros(2)}])
def test_a_batch_without_token_ids_leaves_nothing_to_tell(given: Any) -> None:
    assert _read(given, PADDING) is None


def test_a_dataloader_that_shares_out_the_batches_of_others_leaves_nothing_to_tell() -> None:
    given = [{"input_ids": torch.ones(2, 3).long(), "labels": torch.ones(2, 3).long()}]
    loader = DataLoaderDispatcher(DataLoader(given, batch_size=None).dataset, batch_size=None)
    watch = RowWatch(loader, PADDING, KEPT)
    watch.batch_trained()
    assert watch.finish() is None


def test_rows_that_go_by_unseen_leave_nothing_to_tell(training: Training) -> None:
    training(max_steps=1)
    loader = training.trainer.get_train_dataloader()
    watch = RowWatch(loader, PADDING, KEPT)
    for _ in loader:
        watch.batch_trained()
    assert watch.finish() is not None
    watch.batch_trained()
    assert watch.finish() is None
