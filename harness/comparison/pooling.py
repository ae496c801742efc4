"""Which runs may be pooled: those whose configuration differs in nothing but the seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

from harness.runs.record import Record

Configuration: TypeAlias = Mapping[str, object]
"""Every leaf of a run's configuration that decides its result, by its dotted key."""

DECIDES_NO_RESULT = (
    "seed",
    "sweep",
    "arm",
    "baseline",
    "output",
    "reports",
    "dry_run",
    "tracking",
    "device.name",
    "device.chips",
    "device.interval_seconds",
    "evaluation.targets",
    "evaluation.prompts",
)
"""`device.name` and `device.chips` are asked for; what was got stands under `hardware` and `chips`."""


def _leaves(value: object, prefix: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def configuration(record: Record) -> Configuration:
    leaves = {
        key: value
        for key, value in _leaves(record.config, "")
        if not any(key == name or key.startswith(f"{name}.") for name in DECIDES_NO_RESULT)
    }
    chips = (record.config.get("device") or {}).get("chips")
    return leaves | {"hardware": record.environment.device, "chips": len(chips) if chips else 1}


def differing_keys(configurations: Sequence[Configuration]) -> list[str]:
    """The keys, sorted, that have more than one value."""
    keys = sorted({key for one in configurations for key in one})
    return [key for key in keys if len({repr(one.get(key)) for one in configurations}) > 1]


def distinguishing_keys(configurations: Sequence[Configuration]) -> list[str]:
    """The fewest keys, and of those the shortest, whose values tell all (distinct) configurations apart."""
    differing = differing_keys(configurations)
    for count in (1, 2, 3):
        for keys in sorted(combinations(differing, count), key=lambda keys: sum(map(len, keys))):
            if len({tuple(repr(one.get(key)) for key in keys) for one in configurations}) == len(configurations):
                return list(keys)
    return differing


def labels(arms: Sequence[tuple[str, Configuration]]) -> list[str]:
    """One label a run: its arm's name, and `[key=value]` where that name stands for several configurations."""
    distinct: dict[str, dict[str, Configuration]] = {}
    for name, config in arms:
        distinct.setdefault(name, {})[repr(sorted(config.items()))] = config
    keys = {name: distinguishing_keys(list(configs.values())) for name, configs in distinct.items()}
    return [
        f"{name} [{', '.join(f'{key}={config.get(key)}' for key in keys[name])}]" if len(distinct[name]) > 1 else name
        for name, config in arms
    ]
