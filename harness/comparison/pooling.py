"""Which runs belong together: those that differ in nothing but the seed, as far as their records tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import combinations
from typing import NamedTuple, TypeAlias

from harness.comparison.settings import (
    CONTENT,
    Settings,
    absence_tells,
    contradictions,
    differences,
    merged,
    settings_of,
)
from harness.runs.record import Record

_HASH = re.compile(r"[0-9a-f]{10,}")
_HASH_CHARACTERS = 6
_VALUE_CHARACTERS = 32


class _Entry(NamedTuple):
    place: int
    """Among all records."""
    record: Record
    settings: Settings


_Pool: TypeAlias = list[_Entry]


def started(record: Record) -> datetime:
    """Return when a run started, also where its record names no time zone."""
    return record.started_at if record.started_at.tzinfo else record.started_at.replace(tzinfo=UTC)


def labels(records: Sequence[Record]) -> list[str]:
    """Return one label for each record, the same for those that are pooled.

    It is the arm's name, and `[key=value]` where that name stands for several configurations."""
    by_arm: dict[str, list[_Pool]] = {}
    for pool in _pools([_Entry(place, record, settings_of(record)) for place, record in enumerate(records)]):
        by_arm.setdefault(pool[0].record.arm, []).append(pool)
    names: dict[int, str] = {}
    for arm, pools in by_arm.items():
        for pool, name in zip(pools, _names(arm, pools), strict=True):
            names |= {entry.place: name for entry in pool}
    return [names[place] for place in range(len(records))]


def _pools(entries: Sequence[_Entry]) -> list[_Pool]:
    """Pool runs whose parts were recorded by these. Others are pooled among themselves, and with those only as a whole:
    what they do not tell speaks neither for nor against it."""
    complete: list[_Pool] = []
    old: list[_Pool] = []
    apart: list[_Pool] = []
    for entry in sorted(entries, key=lambda entry: ("weights" not in entry.settings.known, started(entry.record))):
        group = complete if entry.settings.complete else old
        _join([entry], group, otherwise=group)
    for pool in old:
        _join(pool, complete, otherwise=apart)
    return complete + apart


def _join(several: _Pool, pools: list[_Pool], otherwise: list[_Pool]) -> None:
    """Add them to the first pool that takes each of them; where none does, they are a pool of their own."""
    for pool in pools:
        if all(_takes(pool, entry) for entry in several):
            pool.extend(several)
            return
    otherwise.append(several)


def _takes(pool: _Pool, entry: _Entry) -> bool:
    record, settings = entry.record, entry.settings
    if record.arm != pool[0].record.arm or any(contradictions(other.settings, settings) for other in pool):
        return False
    # With one seed, another identity is another run, also where what differs was not recorded.
    if any(other.record.seed == record.seed and other.record.identity != record.identity for other in pool):
        return False
    return any(other.record.identity == record.identity or not differences(other.settings, settings) for other in pool)


def _names(arm: str, pools: Sequence[_Pool]) -> list[str]:
    if len(pools) == 1:
        return [arm]
    candidates = [_candidates(pool) for pool in pools]
    keys = _distinguishing_keys(candidates)
    values = [{key: candidate.get(key) for key in keys} for candidate in candidates]
    if not _are_distinct(values):
        for pool, value in zip(pools, values, strict=True):
            value["identity"] = min((entry.record for entry in pool), key=started).identity
    texts = [{key: str(value) for key, value in shown.items()} for shown in values]
    parts = [
        [f"{key}={_short(text, [other[key] for other in texts])}" for key, text in shown.items()] for shown in texts
    ]
    return [f"{arm} [{', '.join(of_pool)}]" for of_pool in parts]


def _candidates(pool: _Pool) -> Mapping[str, object]:
    """Return what may tell a pool apart: every key that has one value in all of its runs."""
    of_all = merged(entry.settings for entry in pool)
    led = {
        key: value
        for key, value in of_all.leads.items()
        if all(entry.settings.leads.get(key) == value for entry in pool)
    }
    return {**led, **of_all.known}


def _are_distinct(values: Sequence[Mapping[str, object]]) -> bool:
    return len({repr(sorted(value.items())) for value in values}) == len(values)


def _distinguishing_keys(candidates: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the fewest keys whose values tell all pools apart: first those that a reader knows, then the shortest."""
    differing = [
        key
        for key in sorted({key for candidate in candidates for key in candidate})
        if len({repr(candidate.get(key)) for candidate in candidates}) > 1
        and (absence_tells(key) or all(key in candidate for candidate in candidates))
    ]

    def unreadable(key: str) -> int:
        if key in CONTENT or key == "weights":
            return 2
        return int(any("/" in str(candidate.get(key)) for candidate in candidates))

    def cost(chosen: Sequence[str]) -> tuple[int, int]:
        return sum(map(unreadable, chosen)), sum(map(len, chosen))

    for count in (1, 2, 3):
        for chosen in sorted(combinations(differing, count), key=cost):
            if _are_distinct([{key: candidate.get(key) for key in chosen} for candidate in candidates]):
                return list(chosen)
    return sorted(differing, key=lambda key: cost([key]))[:3]


def _short(text: str, texts: Sequence[str]) -> str:
    """Return a value in a label: of a long one as much as tells it from the others."""
    size = _HASH_CHARACTERS if _HASH.fullmatch(text) else _VALUE_CHARACTERS
    while len({other[:size] for other in texts}) < len(set(texts)):
        size += 1
    return text if len(text) <= size else f"{text[:size]}…"
