"""Which runs belong together: those that differ in nothing but the seed, as far as their records tell."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import combinations
from typing import NamedTuple

from harness.comparison.settings import (
    CONTENT,
    Settings,
    absence_tells,
    contradict,
    differences,
    hashable_items,
    merged,
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


class _Pool:
    """Runs of one arm that belong together. What they differ in is compared once for runs of equal settings."""

    def __init__(self, entries: Sequence[_Entry]) -> None:
        self.entries: list[_Entry] = []
        self.settings: dict[Settings, None] = {}
        self._identities: dict[int, str] = {}
        """By seed: with one seed, another identity is another run, also where what differs was not recorded."""
        self.extend(entries)

    @property
    def arm(self) -> str:
        return self.entries[0].record.arm

    def extend(self, entries: Sequence[_Entry]) -> None:
        self.entries.extend(entries)
        self.settings |= dict.fromkeys(entry.settings for entry in entries)
        self._identities |= {entry.record.seed: entry.record.identity for entry in entries}

    def takes(self, entry: _Entry) -> bool:
        record, settings = entry.record, entry.settings
        if record.arm != self.arm or self._identities.get(record.seed, record.identity) != record.identity:
            return False
        if settings in self.settings:
            return True
        if any(contradict(other, settings) for other in self.settings):
            return False
        return record.identity in self._identities.values() or any(
            not differences(other, settings) for other in self.settings
        )


def started(record: Record) -> datetime:
    """Return when a run started, also where its record names no time zone."""
    return record.started_at if record.started_at.tzinfo else record.started_at.replace(tzinfo=UTC)


def labels(records: Sequence[Record], settings: Sequence[Settings]) -> list[str]:
    """Return one label for each record, the same for those that are pooled. `settings` are those of each record.

    It is the arm's name, and `[key=value]` where that name stands for several configurations."""
    by_arm: dict[str, list[_Pool]] = {}
    for pool in _pools([_Entry(place, *entry) for place, entry in enumerate(zip(records, settings, strict=True))]):
        by_arm.setdefault(pool.arm, []).append(pool)
    names: dict[int, str] = {}
    for arm, pools in by_arm.items():
        for pool, name in zip(pools, _names(arm, pools), strict=True):
            names |= {entry.place: name for entry in pool.entries}
    return [names[place] for place in range(len(records))]


def _pools(entries: Sequence[_Entry]) -> list[_Pool]:
    """Pool runs whose parts were recorded by these. Others are pooled among themselves, and with those only as a whole:
    what they do not tell speaks neither for nor against it."""
    pools: dict[Hashable, list[_Pool]] = {}
    old: list[_Pool] = []
    complete: list[_Pool] = []
    apart: list[_Pool] = []
    told: dict[Settings, Hashable] = {}
    for entry in sorted(entries, key=lambda entry: ("weights" not in entry.settings.known, started(entry.record))):
        if entry.settings not in told:
            told[entry.settings] = _told(entry.settings)
        possible = pools.setdefault((entry.record.arm, told[entry.settings]), [])
        pool = next((pool for pool in possible if pool.takes(entry)), None)
        if pool is not None:
            pool.extend([entry])
            continue
        possible.append(_Pool([entry]))
        (complete if entry.settings.complete else old).append(possible[-1])
    for several in old:
        pool = next((pool for pool in complete if all(map(pool.takes, several.entries))), None)
        if pool is not None:
            pool.extend(several.entries)
        else:
            apart.append(several)
    return complete + apart


def _told(settings: Settings) -> Hashable:
    """Return what must be equal for runs to be pooled: that of which the absence is told too."""
    speaks = absence_tells if not settings.complete else lambda key: key != "weights" and key not in CONTENT
    told = {key: value for key, value in settings.known.items() if value is not None and speaks(key)}
    return settings.complete, hashable_items(told)


def _names(arm: str, pools: Sequence[_Pool]) -> list[str]:
    if len(pools) == 1:
        return [arm]
    candidates = [_candidates(pool) for pool in pools]
    keys = _distinguishing_keys(candidates)
    values = [{key: candidate.get(key) for key in keys} for candidate in candidates]
    if not _are_distinct(values):
        for pool, value in zip(pools, values, strict=True):
            value["identity"] = min((entry.record for entry in pool.entries), key=started).identity
    names = list(values[0])
    shown = [_shortened([str(value[name]) for value in values]) for name in names]
    return [
        f"{arm} [{', '.join(f'{name}={text}' for name, text in zip(names, of_pool, strict=True))}]"
        for of_pool in zip(*shown, strict=True)
    ]


def _candidates(pool: _Pool) -> Mapping[str, object]:
    """Return what may tell a pool apart: every key that has one value in all of its runs."""
    of_all = merged(pool.settings)
    led = {
        key: value
        for key, value in of_all.leads.items()
        if all(settings.leads.get(key) == value for settings in pool.settings)
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


def _shortened(texts: Sequence[str]) -> list[str]:
    """Return the values of one key as they stand in labels: of long ones as much as tells them from each other."""
    sizes = {}
    for least in (_HASH_CHARACTERS, _VALUE_CHARACTERS):
        size = least
        while len({text[:size] for text in texts}) < len(set(texts)):
            size += 1
        sizes[least] = size
    lengths = [sizes[_HASH_CHARACTERS if _HASH.fullmatch(text) else _VALUE_CHARACTERS] for text in texts]
    return [text if len(text) <= size else f"{text[:size]}…" for text, size in zip(texts, lengths, strict=True)]
