"""Which runs belong together: those that differ in nothing but the seed, as far as their records tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations

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


@dataclass
class _Pool:
    arm: str
    members: dict[int, tuple[Record, Settings]] = field(default_factory=dict)
    """By their place among all records."""

    def __iter__(self) -> Iterator[int]:
        return iter(self.members)

    @property
    def records(self) -> list[Record]:
        return [record for record, _ in self.members.values()]

    @property
    def settings(self) -> list[Settings]:
        return [settings for _, settings in self.members.values()]

    def takes(self, record: Record, settings: Settings) -> bool:
        if record.arm != self.arm:
            return False
        # With one seed, another identity is another run, also where what differs was not recorded.
        if any(other.seed == record.seed and other.identity != record.identity for other in self.records):
            return False
        if any(contradictions(other, settings) for other in self.settings):
            return False
        return any(
            other.identity == record.identity or not differences(other_settings, settings)
            for other, other_settings in self.members.values()
        )


def started(record: Record) -> datetime:
    """Return when a run started, also where its record names no time zone."""
    return record.started_at if record.started_at.tzinfo else record.started_at.replace(tzinfo=UTC)


def labels(records: Sequence[Record]) -> list[str]:
    """Return one label for each record, the same for those that are pooled.

    It is the arm's name, and `[key=value]` where that name stands for several configurations."""
    pools = _pools(records)
    names = {index: name for arm in {pool.arm for pool in pools} for pool, name in _named(arm, pools) for index in pool}
    return [names[index] for index in range(len(records))]


def _pools(records: Sequence[Record]) -> list[_Pool]:
    """Pool runs whose parts were recorded by these. Others are pooled among themselves, and with those only as a whole:
    what they do not tell speaks neither for nor against it."""
    settings = [settings_of(record) for record in records]

    def order(index: int) -> tuple[bool, datetime]:
        return "weights" not in settings[index].known, started(records[index])

    pools: dict[bool, list[_Pool]] = {True: [], False: []}
    for index in sorted(range(len(records)), key=order):
        group = pools[settings[index].complete]
        pool = next((pool for pool in group if pool.takes(records[index], settings[index])), None)
        if pool is None:
            pool = _Pool(records[index].arm)
            group.append(pool)
        pool.members[index] = records[index], settings[index]
    apart = []
    for old in pools[False]:
        taking = (new for new in pools[True] if all(new.takes(*member) for member in old.members.values()))
        pool = next(taking, None)
        if pool is None:
            apart.append(old)
        else:
            pool.members |= old.members
    return pools[True] + apart


def _named(arm: str, pools: Sequence[_Pool]) -> list[tuple[_Pool, str]]:
    same = [pool for pool in pools if pool.arm == arm]
    if len(same) == 1:
        return [(same[0], arm)]
    candidates = [_candidates(pool) for pool in same]
    keys = _distinguishing_keys(candidates)
    values = [{key: candidate.get(key) for key in keys} for candidate in candidates]
    if not _are_distinct(values):
        keys.append("identity")
        for pool, value in zip(same, values, strict=True):
            value["identity"] = min(pool.records, key=started).identity
    shown = [[_short(key, values, index) for key in keys] for index in range(len(same))]
    return [
        (pool, f"{arm} [{', '.join(f'{key}={text}' for key, text in zip(keys, texts, strict=True))}]")
        for pool, texts in zip(same, shown, strict=True)
    ]


def _candidates(pool: _Pool) -> dict[str, object]:
    """Return what may tell a pool apart: every key that has one value in all of its runs."""
    found: dict[str, object] = {}
    for settings in pool.settings:
        for key, value in (settings.stand_ins | settings.names).items():
            found.setdefault(key, value)
    for key, value in list(found.items()):
        if any((settings.stand_ins | settings.names).get(key) != value for settings in pool.settings):
            del found[key]
    return found | dict(merged(pool.settings).known)


def _are_distinct(values: Sequence[Mapping[str, object]]) -> bool:
    return len({repr(sorted(value.items())) for value in values}) == len(values)


def _distinguishing_keys(candidates: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the fewest keys whose values tell all pools apart: first those that a reader knows, then the shortest."""
    keys = sorted({key for candidate in candidates for key in candidate})
    differing = [
        key
        for key in keys
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


def _short(key: str, values: Sequence[Mapping[str, object]], index: int) -> str:
    """Return the value of `key` in a label: of a long one as much as tells it from the others."""
    texts = {str(value[key]) for value in values}
    text = str(values[index][key])
    size = _HASH_CHARACTERS if _HASH.fullmatch(text) else _VALUE_CHARACTERS
    while len({other[:size] for other in texts}) < len(texts):
        size += 1
    return text if len(text) <= size else f"{text[:size]}…"
