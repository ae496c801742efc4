"""What the files of a checkpoint or of an adapter say of it, without torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from harness.base import json_text
from harness.base.files import content
from harness.base.paths import absolute

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
_LORA = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_BIN_INDEX = "pytorch_model.bin.index.json"
_POINTER, _POINTER_BYTES = b"version https://git-lfs.github.com/spec/", 1024
"""How a pointer begins, and more than its size (git-lfs, docs/spec.md)."""
_DTYPES = ("float32", "float16", "bfloat16")


class DamagedError(Exception):
    """A file that is not what it should be; the message names it and says what it may be."""


def dtype_of(folder: Path) -> str | None:
    """Return what transformers loads the weights as, as LLaMA-Factory's `infer_dtype` names it.

    None: config.json does not tell."""
    for part in _parts(folder):
        # transformers 5 writes `dtype`, older ones `torch_dtype`.
        named = part.get("dtype") or part.get("torch_dtype")
        if named in _DTYPES:
            return str(named)
    return None


def max_positions(folder: Path) -> int | None:
    """Return how many tokens a model was made for, before any stretching; None: config.json does not tell."""
    for part in _parts(folder):
        rope = part.get("rope_scaling") or part.get("rope_parameters")
        stretched = rope.get("original_max_position_embeddings") if isinstance(rope, dict) else None
        told = stretched or part.get("max_position_embeddings")
        if isinstance(told, int):
            return told
    return None


def _parts(folder: Path) -> list[dict[str, Any]]:
    """What config.json says, and in a part of its own the language model of one that sees or hears."""
    config = config_of(folder)
    return [part for part in (config, config.get("text_config")) if isinstance(part, dict)]


def is_quantized(folder: Path) -> bool:
    """Return whether the weights on the disk are packed, so that their shapes are not the layers' own."""
    return bool(config_of(folder).get("quantization_config"))


def is_model(folder: Path) -> bool:
    """Return whether a folder holds a model: its config.json and weights."""
    return (folder / CONFIG).is_file() and weights_bytes(folder) > 0


def weights_bytes(folder: Path) -> int:
    """Return the size of all files that hold weights."""
    return sum(file.stat().st_size for file in weight_files(folder))


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold weights; those of older formats only where there is no other."""
    return _files(folder, "*.safetensors") or _files(folder, "*.bin")


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(file for file in folder.glob(pattern) if file.is_file())


def lfs_pointers(folder: Path) -> list[str]:
    """Return the names of files in a model's folder for which git-lfs has left a pointer."""
    files = [*weight_files(folder), *folder.glob("*.json"), *folder.glob("*.model")]
    small = sorted(file for file in files if file.is_file() and file.stat().st_size < _POINTER_BYTES)
    return [file.name for file in small if file.read_bytes().startswith(_POINTER)]


def missing_shards(folder: Path) -> list[str]:
    """Return the names of files that the index of a model's weights names and that are not there."""
    index = folder / ("model.safetensors.index.json" if [*folder.glob("*.safetensors")] else _BIN_INDEX)
    try:
        named = set(json_text.load(content(index))["weight_map"].values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
    return sorted(name for name in named if isinstance(name, str) and not (folder / name).is_file())


def quantized_as(folder: Path) -> str | None:
    """Return how the weights on the disk are quantized, in a word; None: they are not."""
    described = config_of(folder).get("quantization_config")
    if not isinstance(described, dict):
        return None
    method = str(described.get("quant_method") or "quantized")
    # bitsandbytes may be named and do nothing.
    packed = method != "bitsandbytes" or described.get("load_in_4bit") or described.get("load_in_8bit")
    return method if packed else None


def has_senses(folder: Path) -> bool:
    """Return whether a model takes more than text, by what its config.json has parts for."""
    return any(
        part in key for key in config_of(folder) for part in ("vision", "visual", "image", "video", "audio", "thinker")
    )


def shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight in the folder's *.safetensors, from their headers; none where there are none.

    Raises DamagedError."""
    return {name: shape for file in _files(folder, "*.safetensors") for name, shape in _header(file).items()}


def adapter_problem(adapter: Path, base: str) -> str | None:
    """Return what shows that `adapter` does not belong to `base`, a folder or a hub id, and what would be right.

    None: nothing does. A wrong one would load, and talk nonsense. Raises DamagedError."""
    described = _described(adapter / ADAPTER_CONFIG)
    named = str(described.get("base_model_name_or_path") or base)
    if not _same(named, base):
        return (
            f"{adapter}: belongs to another base: its {ADAPTER_CONFIG} names {named}, but the run trained on {base}; "
            "put the run's own adapter back, or run it again"
        )
    if wrong := misfit(adapter, Path(base)):
        return (
            f"{adapter}: belongs to another base than {base}: {wrong}; put the run's own adapter back, or run it again"
        )
    return None


def misfit(adapter: Path, base: Path) -> str | None:
    """Return a layer whose shape shows that `adapter` is not for the model in the folder `base`; None: none does, or
    nothing can be told. Raises DamagedError."""
    if not base.is_dir() or is_quantized(base):
        return None
    return next(_misfits(shapes_of(adapter), shapes_of(base)), None)


def config_of(folder: Path) -> dict[str, Any]:
    """Return what config.json says; nothing where there is none, or a damaged one."""
    try:
        config = json_text.load(content(folder / CONFIG))
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


def _described(file: Path) -> dict[str, Any]:
    try:
        described = json_text.load(content(file))
    except ValueError as error:
        raise DamagedError(f"{file}: is no JSON: {error}") from error
    if not isinstance(described, dict):
        raise DamagedError(f"{file}: is no description of an adapter")
    return described


def _same(named: str, base: str) -> bool:
    if Path(base).is_dir() or Path(base).is_absolute():
        try:
            return absolute(Path(named)) == absolute(Path(base))
        except ValueError:  # A name that no file can have.
            return False
    # ModelScope's cache: .../models/OWNER/NAME, with ___ for a dot.
    return named == base or named.replace("___", ".").endswith(f"/{base}")


def _misfits(adapter: dict[str, tuple[int, ...]], base: dict[str, tuple[int, ...]]) -> Iterator[str]:
    """A layer that the base has in another size, or not at all although it has others of its kind.

    A layer of an unknown kind says nothing: what transformers renames while loading is named otherwise on the disk."""
    sides: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in adapter.items():
        if matched := _LORA.fullmatch(name):
            sides.setdefault(matched[1], {})[matched[2]] = shape
    kinds = {_kind(name) for name in base}
    for layer, side in sides.items():
        weight = f"{layer}.weight"
        if weight not in base:
            if _kind(weight) in kinds:
                yield f"it has a {layer}, which the base has not"
        elif len(side) == 2 and all(len(shape) == 2 for shape in (*side.values(), base[weight])):
            # A is [rank, in] and B is [out, rank]; GPT-2's layers hold [in, out].
            fits = sorted((side["A"][-1], side["B"][0]))
            if sorted(base[weight]) != fits:
                yield f"its {layer} fits {fits[0]} x {fits[1]} weights, the base's are {_times(base[weight])}"


def _kind(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in sorted(shape))
