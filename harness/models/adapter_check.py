"""Whether an adapter was trained on the base that its run names: a wrong one would load, and talk nonsense."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.models.checkpoint import DamagedError, is_quantized, shapes_of

ADAPTER_CONFIG = "adapter_config.json"
_LORA = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


def problem(adapter: Path, base: str) -> str | None:
    """Return what shows that `adapter` does not belong to `base`, a folder or a hub id, and what would be right.

    None: nothing does. Raises DamagedError."""
    described = _described(adapter / ADAPTER_CONFIG)
    named = str(described.get("base_model_name_or_path") or base)
    if not _same(named, base):
        return (
            f"{adapter}: belongs to another base: its {ADAPTER_CONFIG} names {named}, but the run trained on {base}; "
            "put the run's own adapter back, or run it again"
        )
    folder = Path(base)
    if folder.is_dir() and not is_quantized(folder):
        misfit = next(_misfits(shapes_of(adapter), shapes_of(folder)), None)
        if misfit is not None:
            return (
                f"{adapter}: belongs to another base than {base}: {misfit}; "
                "put the run's own adapter back, or run it again"
            )
    return None


def _described(file: Path) -> dict[str, Any]:
    try:
        described = json.loads(file.read_bytes())
    except ValueError as error:
        raise DamagedError(f"{file}: is no JSON: {error}") from error
    if not isinstance(described, dict):
        raise DamagedError(f"{file}: is no description of an adapter")
    return described


def _same(named: str, base: str) -> bool:
    if Path(base).is_dir() or Path(base).is_absolute():
        return Path(named).resolve() == Path(base).resolve()
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
        elif len(side) == 2:
            # A is [rank, in] and B is [out, rank]; GPT-2's layers hold [in, out].
            fits = sorted((side["A"][-1], side["B"][0]))
            if sorted(base[weight]) != fits:
                yield f"its {layer} fits {fits[0]} x {fits[1]} weights, the base's are {_times(base[weight])}"


def _kind(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in sorted(shape))
