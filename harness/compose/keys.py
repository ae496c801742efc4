"""The keys of the configuration, as the schema names them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from harness.config.schema import Config

OPEN = ("llamafactory.", "model.shapes.", "dataset.columns.", "dataset.tags.")
"""Mappings of the schema, which take any key."""


def keys() -> tuple[str, ...]:
    """Return every key with dots, groups such as `training` among them."""
    return tuple(_below(Config(), ""))


@cache
def sections() -> frozenset[str]:
    """Return the keys that hold further keys, those of Hydra that a sweep's file has among them."""
    dotted = [*keys(), "hydra.run.", "hydra.sweep.", "hydra.sweeper.params."]
    return frozenset(key[:place] for key in dotted for place, sign in enumerate(key) if sign == ".")


def _below(node: Any, prefix: str) -> Iterator[str]:
    for field in fields(node):
        value = getattr(node, field.name)
        yield f"{prefix}{field.name}"
        if is_dataclass(value):
            yield from _below(value, f"{prefix}{field.name}.")
