"""A checkpoint of random weights in a model's real shape, made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from harness.base.errors import UserError
from harness.config.schema import Shape

_COMPLETE = "complete"


def cache_folder() -> Path:
    """$HARNESS_CACHE, else harness/ in $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("HARNESS_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "harness"


def size_bytes(shape: Shape) -> int:
    """Bytes of the bf16 weights: embeddings, attention and MLP; norms and biases are left out (below 0.1%)."""
    head = shape.head_dim or shape.hidden_size // shape.num_attention_heads
    attention = 2 * shape.hidden_size * head * (shape.num_attention_heads + shape.num_key_value_heads)
    layer = attention + 3 * shape.hidden_size * shape.intermediate_size
    embeddings = shape.vocab_size * shape.hidden_size * (1 if shape.tie_word_embeddings else 2)
    return 2 * (shape.num_hidden_layers * layer + embeddings)


def path_of(name: str, shape: Shape) -> Path:
    digest = hashlib.sha256(json.dumps(asdict(shape), sort_keys=True).encode()).hexdigest()[:8]
    return cache_folder() / "models" / f"{name}-{digest}"


def materialize(name: str, shape: Shape) -> Path:
    """The folder of the checkpoint, made by a child process if it is not there.

    Raises UserError when the disk has no room or the child fails."""
    folder = path_of(name, shape)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if (folder / _COMPLETE).exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        free, needed = shutil.disk_usage(folder.parent).free, size_bytes(shape)
        if free < 1.05 * needed:
            raise UserError(
                [
                    f"model.shape={name}: its random weights take {needed / 2**30:.1f} GiB in {folder.parent}, "
                    f"where {free / 2**30:.1f} GiB are free; set HARNESS_CACHE to a folder on a larger disk"
                ]
            )
        command = [sys.executable, "-m", "harness.workers.random_weights", json.dumps(asdict(shape)), str(folder)]
        # No accelerator is needed to draw numbers, and none may be taken from a run beside this one.
        made = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
        if made.returncode:
            raise UserError([f"model.shape={name}: its random weights could not be made: {made.stderr.strip()[-500:]}"])
        (folder / _COMPLETE).touch()
    return folder
