"""What a checkpoint's files say of it, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

CONFIG = "config.json"
_DTYPES = ("float32", "float16", "bfloat16")


class DamagedError(Exception):
    """A file that is not what it should be; the message names it and says what it may be."""


def dtype_of(folder: Path) -> str | None:
    """Return what transformers loads the weights as, as LLaMA-Factory's `infer_dtype` names it.

    None: config.json does not tell."""
    config = _config(folder)
    # The language model of one that sees or hears has a part of its own.
    for part in (config, config.get("text_config") or {}):
        # transformers 5 writes `dtype`, older ones `torch_dtype`.
        named = part.get("dtype") or part.get("torch_dtype")
        if named in _DTYPES:
            return str(named)
    return None


def is_quantized(folder: Path) -> bool:
    """Return whether the weights on the disk are packed, so that their shapes are not the layers' own."""
    return bool(_config(folder).get("quantization_config"))


def is_model(folder: Path) -> bool:
    """Return whether a folder holds a model: its config.json and weights."""
    return (folder / CONFIG).is_file() and weights_bytes(folder) > 0


def weights_bytes(folder: Path) -> int:
    """Return the size of all files that hold weights; those of older formats only where there is no other."""
    files = [*folder.glob("*.safetensors")] or [*folder.glob("*.bin")]
    return sum(file.stat().st_size for file in files)


def shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight in the folder's *.safetensors, from their headers; none where there are none.

    Raises DamagedError."""
    return {name: shape for file in sorted(folder.glob("*.safetensors")) for name, shape in _header(file).items()}


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _header(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(file, framework="np") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DamagedError(
            f"{file}: is no safetensors file; it was cut off, or is a Git LFS pointer (then: git lfs pull)"
        ) from error
