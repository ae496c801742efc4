"""The command that goes on with a sweep, or makes it again, from the commands of its runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product

from harness.comparison.runs import Run

_OWN = ("sweeps", "sweep", "seed")


def sweep_command(
    runs: Sequence[Run], seeds: Sequence[int], *, again: bool = False, more: Sequence[str] = ()
) -> str | None:
    """Return the command of the sweep that `runs` are of, over `seeds`; None where no single command makes them all.

    `again`: under another name, so that nothing of it is taken from what is there; `more`: further overrides."""
    names = {run.record.sweep for run in runs}
    if len(names) != 1 or any(run.record.adopted for run in runs):
        return None
    (name,) = names
    overrides = [_overrides(run.record.command) for run in runs]
    files = {given.get("sweeps") for given in overrides}
    if len(files) != 1:
        return None
    file = next(iter(files)) or name
    told = [f"{key}={value}" for key, value in _shared(overrides).items() if key.lstrip("+") not in _replaced(more)]
    told += [f"{key}={','.join(values)}" for key, values in _swept(overrides).items()]
    if again or file != name:
        told.append(f"sweep={name}-again" if again else f"sweep={name}")
    told += [f"seed={','.join(map(str, seeds))}", *more]
    return shlex.join(["harness", "sweep", file, *told])


@lru_cache(maxsize=1024)
def _overrides(command: str) -> Mapping[str, str]:
    try:
        words = shlex.split(command)
    except ValueError:
        return {}
    return {word.partition("=")[0]: word.partition("=")[2] for word in words if "=" in word}


def _replaced(more: Sequence[str]) -> set[str]:
    return {override.partition("=")[0] for override in more}


def _shared(overrides: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first, *others = overrides
    return {
        key: value
        for key, value in first.items()
        if key not in _OWN and all(other.get(key) == value for other in others)
    }


def _swept(overrides: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Return the values of each key that runs differ in, where every combination of them was run: then they are axes of
    the sweep. Else its file has them."""
    keys = [key for key in overrides[0] if key not in _OWN and len({given.get(key) for given in overrides}) > 1]
    points = {tuple(given.get(key) for key in keys) for given in overrides}
    values = {key: list(dict.fromkeys(given[key] for given in overrides if key in given)) for key in keys}
    is_plain = not any(character in value for of_key in values.values() for value in of_key for character in ",[{")
    return values if is_plain and points == set(product(*values.values())) else {}
