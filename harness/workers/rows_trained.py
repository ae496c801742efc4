"""Which rows a trainer is really given, in which order and with how much padding; and a few of them to try again."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from accelerate.data_loader import DataLoaderShard

from harness.runs.events import RowsTrained
from harness.workers.adapter_check import IGNORED, TokenRow, teaches

_DIGEST_LENGTH = 16


class _Batch(NamedTuple):
    rows: list[TokenRow]
    positions: int
    """Of all rows, padding included."""


class RowWatch:
    """Looks at each batch before it goes to the device, and counts it once it is trained on.

    A dataloader is ahead of the training: accelerate's by one batch, transformers by those of a whole optimizer step.
    It hands out what its workers made in the order of training, and in this process.
    """

    def __init__(self, loader: Any, padding_token: int | None, keep: int) -> None:
        """`keep`: how many of the first rows with anything to learn in them are kept in `kept`."""
        self.kept: list[TokenRow] = []
        self._keep = keep
        self._padding_token = padding_token
        self._ahead: deque[_Batch | None] = deque()
        self._hash = hashlib.sha256()
        self._rows = self._tokens = self._positions = 0
        # What else accelerate makes of a dataloader hands this process the batches of others too.
        self._is_complete = isinstance(loader, DataLoaderShard)
        if self._is_complete:
            self._watch(loader.base_dataloader)

    def _watch(self, loader: Any) -> None:
        iterate = loader.__iter__

        def watched() -> Iterator[Any]:
            self._ahead.clear()
            for batch in iterate():
                self._ahead.append(_read(batch, self._padding_token))
                yield batch

        # accelerate asks by name, `base_dataloader.__iter__()`, which finds what the object itself has.
        loader.__iter__ = watched

    def batch_trained(self) -> None:
        """Count the oldest batch that was handed out and not counted yet."""
        batch = self._ahead.popleft() if self._ahead else None
        if batch is None:
            self._is_complete = False
            return
        for row in batch.rows:
            self._hash.update(len(row.input_ids).to_bytes(8, "little"))
            self._hash.update(row.input_ids.astype("<i8").tobytes())
            self._tokens += len(row.input_ids)
            if len(self.kept) < self._keep and teaches(row):
                self.kept.append(row)
        self._rows += len(batch.rows)
        self._positions += batch.positions

    def finish(self) -> RowsTrained | None:
        """Return what was trained on; None where a batch went by unseen."""
        if not self._is_complete:
            return None
        return RowsTrained(
            digest=self._hash.hexdigest()[:_DIGEST_LENGTH],
            rows=self._rows,
            tokens=self._tokens,
            padding_tokens=self._positions - self._tokens,
        )


def not_padding(
    ids: torch.Tensor, labels: torch.Tensor | None, mask: torch.Tensor | None, padding_token: int | None
) -> torch.Tensor:
    """Return which token ids of a batch are given and not filled in, rows by positions, as bool.

    0 in a mask of two dimensions is padding; where there is none, nothing is. A mask of four dimensions (packed rows
    kept apart) says for each position which others it sees, 0.0 for those: padding does not even see itself.
    LLaMA-Factory fills a packed row up without saying so in its mask (data/processor/supervised.py): its end is padding
    as far as it is `padding_token`s with nothing to learn."""
    if mask is None:
        given = torch.ones_like(ids, dtype=torch.bool)
    else:
        given = mask[:, 0].diagonal(dim1=1, dim2=2) == 0 if mask.ndim == 4 else mask != 0
    if padding_token is None or labels is None:
        return given
    filler = (ids == padding_token) & (labels == IGNORED)
    return given & ((~filler).flip(1).cumsum(1).flip(1) > 0)


def _read(batch: Any, padding_token: int | None) -> _Batch | None:
    """None for what holds no rows of token ids."""
    if not isinstance(batch, Mapping):
        return None
    ids, labels, mask = (batch.get(name) for name in ("input_ids", "labels", "attention_mask"))
    if not (isinstance(ids, torch.Tensor) and isinstance(labels, torch.Tensor) and ids.ndim == labels.ndim == 2):
        return None
    given = not_padding(ids, labels, mask, padding_token)
    rows = [
        TokenRow(row[is_given].numpy(), wanted[is_given].numpy())
        for row, wanted, is_given in zip(ids, labels, given, strict=True)
    ]
    return _Batch(rows, ids.numel())
