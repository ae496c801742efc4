"""A checkpoint of random weights in a model's real shape, made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from harness.base import redaction
from harness.base.errors import UserError
from harness.base.files import remove, write_atomically
from harness.base.paths import PACKAGE
from harness.config.schema import Shape
from harness.devices.cpu import NO_ACCELERATOR
from harness.models import fingerprint
from harness.processes.jobs import RandomWeightsJob
from harness.processes.start import run_to_end
from harness.runs.store import locked

_COMPLETE = "complete"
"""Written last into a checkpoint's folder, with the hash of the rest: without it the one who made it was killed."""


def cache_folder() -> Path:
    """Return $HARNESS_CACHE, else harness/ in $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("HARNESS_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "harness"


def size_bytes(shape: Shape) -> int:
    """Return the bytes of the bf16 weights: embeddings, attention and MLP, without norms and biases (below 0.1%)."""
    head = shape.head_dim or shape.hidden_size // shape.num_attention_heads
    attention = 2 * shape.hidden_size * head * (shape.num_attention_heads + shape.num_key_value_heads)
    layer = attention + 3 * shape.hidden_size * shape.intermediate_size
    embeddings = shape.vocab_size * shape.hidden_size * (1 if shape.tie_word_embeddings else 2)
    return 2 * (shape.num_hidden_layers * layer + embeddings)


def path_of(name: str, shape: Shape) -> Path:
    """Return the folder that the checkpoint of a shape has or will have."""
    digest = hashlib.sha256(json.dumps(asdict(shape), sort_keys=True).encode()).hexdigest()[:8]
    return cache_folder() / "models" / f"{name}-{digest}"


def materialize(name: str, shape: Shape, note: Callable[[str], None] = lambda text: None) -> Path:
    """Return the folder of the checkpoint, which a worker makes where it is not there yet, or damaged; others wait.

    `note` hears of waiting and of damage. Raises UserError where the disk has no room or the worker fails, OSError
    where nothing can be written."""
    folder = path_of(name, shape)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(Path(f"{folder}.lock"), lambda: note(f"another process makes {folder}; waiting")):
        if (folder / _COMPLETE).exists():
            if _is_as_made(folder):
                return folder
            note(f"{folder}: damaged, or of an earlier version; these random weights are made again")
        remove(folder)
        free, needed = shutil.disk_usage(folder.parent).free, size_bytes(shape)
        if free < 1.05 * needed:
            raise UserError(
                f"model.shape={name}: its random weights take {needed / 2**30:.1f} GiB in {folder.parent}, "
                f"where {free / 2**30:.1f} GiB are free; set HARNESS_CACHE to a folder on a larger disk"
            )
        # No accelerator is needed to draw numbers, and none may be taken from a run beside this one.
        environment = redaction.for_child(os.environ) | NO_ACCELERATOR
        job = RandomWeightsJob(shape=shape, folder=folder, tokenizer=PACKAGE / "models" / "tiny")
        worker = run_to_end(job, environment)
        if worker.returncode:
            error = worker.stderr.strip().rpartition("\n")[2][:500] or f"exit status {worker.returncode}"
            raise UserError(f"model.shape={name}: its random weights could not be made: {error}")
        write_atomically(folder / _COMPLETE, fingerprint.of_model(folder))
    return folder


def _is_as_made(folder: Path) -> bool:
    """Whether a checkpoint that is complete holds what its worker wrote, large files sampled."""
    try:
        return (folder / _COMPLETE).read_text(encoding="utf-8") == fingerprint.of_model(folder)
    except (OSError, UnicodeDecodeError):
        return False
