"""Whether what is scored is what was trained: the losses of the same tokens, after the training and as loaded again.

What goes wrong in between no score shows: an adapter that was not saved whole, another run's in its folder, another
base below it. The adapters of two seeds may agree in their losses to 0.005 nats, so the files are compared too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import nn
from torch.nn import functional

from harness.base.files import write_atomically
from harness.models import fingerprint
from harness.runs.events import AdapterChecked
from harness.trainer.named_files import parts_of

IGNORED = -100
"""The label of a token that is not trained on (transformers, LLaMA-Factory)."""
ROWS, TOKENS = 4, 512
"""So many rows at most, and so many tokens of each: cheap, and logits that need less memory than answering does."""
NOISE, TOKEN_NOISE = 0.02, 1.0
"""Nats that the mean loss may be apart by whatever it is taken of, and those that a single token's may, which even out
over n tokens as 1/sqrt(n). Measured on a CPU, trained by LLaMA-Factory and loaded by it again, as the difference of the
means (and the root mean square of a token's):

| base, tokens | fp32 | bf16 | bf16, nf4 | bf16, int8 | without the adapter |
|---|---|---|---|---|---|
| built-in, 91 | 0.0000 | 0.0001 (0.003) | 0.0004 (0.003) | 0.0003 (0.004) | 2.3 |
| built-in, 91, all weights trained | 0.0000 | 0.0011 (0.010) | | | |
| Gemma 3 270M in bf16, 135 | 0.0111 (0.071) | 0.0050 (0.082) | 0.0045 (0.046) | 0.0238 (0.238) | 1.7 |

Without quantization LLaMA-Factory merges an adapter of fp32 into a base of bf16 before it is scored. The two bases are
allowed 0.12 and 0.11."""


class AdapterMismatchError(Exception):
    """The model that was loaded to be scored is not the one that was trained."""


class TokenRow(NamedTuple):
    """One row as a trainer is given it, without its padding."""

    input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]


class CheckedRow(BaseModel):
    """A row, and what the trained model made of it."""

    input_ids: list[int]
    labels: list[int]
    losses: list[float]
    """Of each token that has a label, in nats."""


class Folders(NamedTuple):
    """Where the weights of a model are."""

    trained: Path
    """What the training left: an adapter, or after a full fine-tuning the whole model."""
    base: Path | None
    """What the adapter is for; None: nothing else is loaded. A hub's name is no folder, and is not looked at."""


class AdapterCheck(BaseModel):
    """What a training leaves for whoever loads its adapter: check.json."""

    trained: str | None
    """Hash of the weights that it saved; None: none are known."""
    base: str | None
    """That of those it started from."""
    rows: list[CheckedRow]

    def compare(self, model: nn.Module) -> AdapterChecked:
        """Return the loss of a loaded model beside the trained one's; what the model raises goes on."""
        trained = [loss for row in self.rows for loss in row.losses]
        loaded = [loss for row in self.rows for loss in losses(model, row.input_ids, row.labels)]
        return AdapterChecked(
            trained_loss=statistics.fmean(trained), loaded_loss=statistics.fmean(loaded), noise=noise(len(trained))
        )

    def require_same(self, checked: AdapterChecked, folders: Folders) -> None:
        """Raise AdapterMismatchError where the two losses are apart by more than noise, one is not finite, or `folders`
        hold other weights than were trained."""
        changed = self._changed(folders)
        if not changed and checked.is_same:
            return
        raise AdapterMismatchError(
            f"what was loaded to be scored is not what was trained: on rows of the training its loss is "
            f"{checked.loaded_loss:.3f} nats a token, and that of the trained model was {checked.trained_loss:.3f} "
            f"(precision and kernels explain {checked.noise:.3f}); {changed or _UNCHANGED.format(folders.trained)}"
        )

    @contextmanager
    def damage_explained(self, folders: Folders) -> Iterator[None]:
        """Name the folder with other weights than were trained where the body fails to load them."""
        try:
            yield
        except Exception as error:
            changed = self._changed(folders)
            if not changed:
                raise
            raise AdapterMismatchError(f"{changed} ({type(error).__name__}: {error})") from error

    def _changed(self, folders: Folders) -> str:
        """What was put in the place of what was trained; empty: nothing that is known."""
        known = [
            (self.trained, folders.trained, "the training left there"),
            (self.base, folders.base, "it was trained on"),
        ]
        return "; ".join(
            f"{folder} does not hold the weights that {what}: they are damaged or another's; put back what was there, "
            "or train the run again"
            for weights, folder, what in known
            if folder is not None and weights is not None and fingerprint.of_weights(folder) != weights
        )


_UNCHANGED = (
    "{} holds what the training left there, so that was not saved whole, or it is put together with a base or a "
    "quantization that it was not trained with; train the run again"
)


def folders_of(arguments: Mapping[str, Any]) -> Folders:
    """Return where LLaMA-Factory's inference arguments say that the weights are."""
    model, adapters = Path(arguments["model_name_or_path"]), parts_of(arguments.get("adapter_name_or_path"))
    # Those before the last lie below it.
    return Folders(Path(adapters[-1]), model) if adapters else Folders(model, None)


def noise(tokens: int) -> float:
    """Return how far apart the mean losses of so many tokens may be where the model is the same, in nats."""
    return NOISE + TOKEN_NOISE / math.sqrt(tokens)


def read(file: Path) -> AdapterCheck:
    """Return what `write` left. Raises OSError and ValidationError where it cannot be read."""
    return AdapterCheck.model_validate_json(file.read_bytes())


def write(file: Path, folders: Folders, rows: list[CheckedRow]) -> None:
    """Write to `file` what the trained model made of `rows`, and which weights it consists of. Raises OSError.

    Nothing where there are no rows, or where a loss is not finite: nothing can be held against that."""
    if not rows or not all(math.isfinite(loss) for row in rows for loss in row.losses):
        return
    trained, base = (None if folder is None else fingerprint.of_weights(folder) for folder in folders)
    write_atomically(file, AdapterCheck(trained=trained, base=base, rows=rows).model_dump_json() + "\n")


def teaches(row: TokenRow) -> bool:
    """Whether there is any token in a row that a model is to foretell."""
    return bool((row.labels[1:] != IGNORED).any())


def try_rows(model: nn.Module, rows: Sequence[TokenRow]) -> list[CheckedRow]:
    """Return what a trained model makes of rows that teach something, and leave it in training as it was.

    Raises what the model raises where token ids are not enough for it."""
    was_training = model.training
    model.eval()
    try:
        return [_tried(model, *_window(row)) for row in rows]
    finally:
        model.train(was_training)


@torch.no_grad()
def losses(model: nn.Module, input_ids: list[int], labels: list[int]) -> list[float]:
    """Return the loss of each token of a row that has a label, in nats; a row by itself, which needs no padding.

    From the logits: what a model itself calls its loss may have more in it, such as the balance of its experts."""
    ids = torch.tensor([input_ids], device=next(model.parameters()).device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, :-1]
    wanted = torch.tensor(labels[1:], device=logits.device)
    is_wanted = wanted != IGNORED
    lost = functional.cross_entropy(logits[is_wanted].float(), wanted[is_wanted], reduction="none")
    found: list[float] = lost.tolist()
    return found


def _tried(model: nn.Module, input_ids: NDArray[np.int64], labels: NDArray[np.int64]) -> CheckedRow:
    ids, wanted = input_ids.tolist(), labels.tolist()
    return CheckedRow(input_ids=ids, labels=wanted, losses=losses(model, ids, wanted))


def _window(row: TokenRow) -> TokenRow:
    """The start of a row, as the model knows it, or its end where all that it teaches stands there."""
    start = TokenRow(row.input_ids[:TOKENS], row.labels[:TOKENS])
    return start if teaches(start) else TokenRow(row.input_ids[-TOKENS:], row.labels[-TOKENS:])
