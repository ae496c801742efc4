"""What becomes of the rows of a training on their way to the trainer: none is left out without a word.

LLaMA-Factory 0.9.5 skips a row that it cannot read with a warning in its log, and a training goes on without it.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Sequence
from functools import wraps
from typing import Any

import numpy
from datasets import Dataset
from numpy.typing import NDArray
from pyarrow import Table, compute

from harness.runs.events import RowsTokenized
from harness.workers.shared_rows import SharedRows

_AT_ONCE = 1000
"""Rows that are counted at once, for memory's sake."""
_POSITIONS = "position_ids"
"""A column of packed rows alone."""
_NAMED = 3
_SHOWN_CHARACTERS = 200


class RowsLostError(ValueError):
    """Rows that were given to the training are not in it."""


class RowAccount:
    """Follows the rows of a training through LLaMA-Factory, and stops it where some of them get lost."""

    def __init__(
        self,
        cutoff_tokens: int,
        drawn: int | None,
        drawn_to_validate: int | None,
        shared: SharedRows | None = None,
    ) -> None:
        """`drawn` and `drawn_to_validate`: how many rows its files hold for each; None: they are drawn as it reads.
        `shared`: where they are tokenized for others too."""
        self.sequences: int | None = None
        """What the trainer takes as its rows: rows, or several of them packed together. None: not known."""
        self.validation_sets = 0
        """Sets that are validated on one by one."""
        self._shared = shared
        self._cutoff_tokens = cutoff_tokens
        self._drawn = {"train on": drawn, "validate on": drawn_to_validate}
        self._held_out = 0
        self._validation: int | None = None
        self._tokenized: RowsTokenized | None = None

    def watch(self) -> None:
        """Be told by LLaMA-Factory's loader, in this process. Its steps then raise RowsLostError."""
        loader: Any = importlib.import_module("llamafactory.data.loader")
        split, preprocess = loader.split_dataset, loader._get_preprocessed_dataset

        @wraps(split)
        def split_watched(train: Any, validation: Any, *arguments: Any, **named: Any) -> Any:
            parts = validation.values() if isinstance(validation, dict) else [validation]
            self._require_read("train on", [train])
            self._require_read("validate on", list(parts))
            for_training, to_validate = split(train, validation, *arguments, **named)
            if validation is None:
                self._held_out = sum(len(part) for part in to_validate.values() if isinstance(part, Dataset))
            return for_training, to_validate

        @wraps(preprocess)
        def preprocess_watched(dataset: Any, *arguments: Any, is_eval: bool = False, **named: Any) -> Any:
            self.validation_sets += is_eval
            if not isinstance(dataset, Dataset):
                return preprocess(dataset, *arguments, is_eval=is_eval, **named)
            _require_whole(dataset)
            given = dataset if self._shared is None else self._shared.of(dataset)
            made = preprocess(given, *arguments, is_eval=is_eval, **named)
            lengths = _row_lengths(made)
            if len(lengths) != len(dataset):
                raise RowsLostError(
                    f"LLaMA-Factory tokenized {len(lengths)} of the {len(dataset)} rows that it was given"
                )
            if is_eval:
                self._validation = (self._validation or 0) + len(lengths)
            else:
                self._take(lengths, made)
            return made

        loader.split_dataset, loader._get_preprocessed_dataset = split_watched, preprocess_watched

    def tokenized(self) -> RowsTokenized | None:
        """Return what became of the rows once they are tokenized; None: they are read while it trains."""
        if self._tokenized is None:
            return None
        update = {
            "held_out": self._held_out,
            "validation": self._validation,
            "tokenize_seconds": self._shared and self._shared.seconds,
        }
        return self._tokenized.model_copy(update=update)

    def lost(self, rows: int, epochs: float, batch: int, processes: int, drops_last: bool) -> RowsLostError | None:
        """Return what is wrong where a process was not given its share of the rows in so many epochs.

        `rows`: those that it was given; `batch`: its rows at once, of which a training ends with a whole number.
        `drops_last`: the trainer leaves out what fills no batch."""
        if self.sequences is None or drops_last:
            return None
        due = epochs * self.sequences / processes
        # Of several, each is given rows of the beginning to fill up its last batch of an epoch.
        if abs(rows - due) <= batch * (math.ceil(epochs) if processes > 1 else 1):
            return None
        return RowsLostError(f"the trainer was given {rows} rows in {epochs:g} epochs, where {due:g} were due")

    def _require_read(self, to: str, datasets: Sequence[Any]) -> None:
        drawn = self._drawn[to]
        if drawn is not None and all(isinstance(dataset, Dataset) for dataset in datasets):
            read = sum(len(dataset) for dataset in datasets)
            if read != drawn:
                raise RowsLostError(f"LLaMA-Factory read {read} of the {drawn} rows that there are to {to}")

    def _take(self, lengths: Sequence[int], made: Dataset) -> None:
        self.sequences = len(made)
        self._tokenized = RowsTokenized(
            rows=len(lengths),
            at_cutoff=sum(length >= self._cutoff_tokens for length in lengths),
            cutoff_tokens=self._cutoff_tokens,
            sequences=len(made) if _POSITIONS in made.column_names else None,
        )


def _require_whole(dataset: Dataset) -> None:
    """Raise RowsLostError, naming rows of which LLaMA-Factory would make nothing: those that are no question with one
    answer (`preprocess_dataset` in data/processor/supervised.py)."""
    batches = dataset.with_format("arrow").iter(batch_size=_AT_ONCE)
    is_whole = [(_lengths(batch, "_prompt") % 2 == 1) & (_lengths(batch, "_response") == 1) for batch in batches]
    lost = numpy.flatnonzero(~numpy.concatenate([numpy.ones(0, dtype=bool), *is_whole])).tolist()
    if lost:
        named = "; ".join(_shown(dataset[place]) for place in lost[:_NAMED])
        more = f"; and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        raise RowsLostError(
            f"LLaMA-Factory would leave out {len(lost)} of {len(dataset)} rows, as they have no question with one "
            f"answer: {named}{more}"
        )


def _shown(row: dict[str, Any]) -> str:
    text = json.dumps([*row["_prompt"], *row["_response"]] or row["_system"], ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _row_lengths(made: Dataset) -> list[int]:
    """The tokens of every row of a tokenized dataset, of those too that are packed together."""
    lengths = []
    for batch in made.with_format("arrow").iter(batch_size=_AT_ONCE):
        if _POSITIONS not in batch.column_names:
            lengths += _lengths(batch, "input_ids").tolist()
            continue
        # Packed rows count up from 0 each, and what fills the rest is 0 throughout.
        positions = compute.list_flatten(batch[_POSITIONS]).to_numpy()
        following = numpy.append(positions[1:], 0)
        first = (positions == 0) & (following == 1)
        lengths += numpy.add.reduceat((positions > 0) | first, numpy.flatnonzero(first), dtype=int).tolist()
    return lengths


def _lengths(batch: Table, column: str) -> NDArray[numpy.int64]:
    lengths: NDArray[numpy.int64] = compute.list_value_length(batch[column]).to_numpy()
    return lengths
