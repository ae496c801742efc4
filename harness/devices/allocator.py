"""What torch's caching allocator takes from a device for a row of allocations and frees.

The rules are those of c10/cuda/CUDACachingAllocator.cpp (torch 2.13); torch-npu's NPUCachingAllocator has the same,
with the same sizes. A request is rounded up to 512 bytes. Up to 1 MiB it comes from segments of 2 MiB, below 10 MiB
from segments of 20 MiB, else from one of its own, rounded up to 2 MiB. The smallest free block that is large enough is
taken, and split where 512 bytes (of the small) or more than 1 MiB (of the others) are left over. Neighbours that are
free become one. What is free goes back to the driver only where there is no other room. With expandable segments each
of the two pools is one segment, which grows by 2 and by 20 MiB.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Event = tuple[int, int]
"""A number of one's own and the bytes that are asked for; 0 bytes: what has the number is given back."""

MIB = 2**20
_BLOCK = 512
_SMALL = MIB
_SMALL_SEGMENT = 2 * MIB
_LARGE_FROM = 10 * MIB
_LARGE_SEGMENT = 20 * MIB
_ROUND = 2 * MIB


class OutOfMemoryError(Exception):
    """There is no room, though all that is free was given back to the driver."""


def rounded(size: int) -> int:
    """Return the bytes that a request takes."""
    return -(-size // _BLOCK) * _BLOCK


@dataclass(eq=False)
class _Block:
    segment: int
    start: int
    size: int
    is_small: bool
    before: _Block | None = None
    after: _Block | None = None
    is_free: bool = False

    @property
    def key(self) -> tuple[int, int, int]:
        return self.size, self.segment, self.start

    @property
    def is_whole_segment(self) -> bool:
        return self.is_free and self.before is None and self.after is None


class CachingAllocator:
    """Follows allocations and frees, on a device with `limit_bytes` for it; None: with enough for all."""

    def __init__(self, limit_bytes: int | None = None, expandable: bool = False) -> None:
        self.allocated_bytes = self.reserved_bytes = 0
        self.peak_allocated_bytes = self.peak_reserved_bytes = 0
        self._limit_bytes = limit_bytes
        self._expandable = expandable
        self._segments = 0
        self._used: dict[int, _Block] = {}
        self._free: dict[bool, list[_Block]] = {True: [], False: []}
        self._last: dict[bool, _Block | None] = {True: None, False: None}
        """The block at the end of each pool's expandable segment."""

    def replay(self, events: Iterable[Event]) -> None:
        """Follow events in their order. Raises OutOfMemoryError."""
        for number, size in events:
            if size:
                self.allocate(number, size)
            else:
                self.free(number)

    def restart(self) -> None:
        """Forget the peaks, but not what is held."""
        self.peak_allocated_bytes, self.peak_reserved_bytes = self.allocated_bytes, self.reserved_bytes

    def empty_cache(self) -> None:
        """Give what is free in whole segments back to the driver."""
        for is_small, blocks in self._free.items():
            if self._expandable:
                self._shrink(is_small)
                continue
            whole = [block for block in blocks if block.is_whole_segment]
            self.reserved_bytes -= sum(block.size for block in whole)
            self._free[is_small] = [block for block in blocks if not block.is_whole_segment]

    def allocate(self, number: int, size: int) -> None:
        """Give `size` bytes out. Raises OutOfMemoryError."""
        size = rounded(size)
        is_small = size <= _SMALL
        free = self._free[is_small]
        place = bisect_left(free, (size, -1, -1), key=lambda block: block.key)
        block = free.pop(place) if place < len(free) else self._from_driver(size, is_small)
        rest = block.size - size
        if rest >= _BLOCK if is_small or self._expandable else rest > _SMALL:
            left = _Block(block.segment, block.start + size, rest, is_small, block, block.after, True)
            if block.after is not None:
                block.after.before = left
            if self._last[is_small] is block:
                self._last[is_small] = left
            block.after, block.size = left, size
            self._keep(left)
        block.is_free = False
        self._used[number] = block
        self.allocated_bytes += block.size
        self.peak_allocated_bytes = max(self.peak_allocated_bytes, self.allocated_bytes)

    def free(self, number: int) -> None:
        """Take back what has the number."""
        block = self._used.pop(number)
        self.allocated_bytes -= block.size
        if block.before is not None and block.before.is_free:
            self._drop(block.before)
            block = self._join(block.before, block)
        if block.after is not None and block.after.is_free:
            self._drop(block.after)
            block = self._join(block, block.after)
        block.is_free = True
        self._keep(block)

    def _join(self, first: _Block, second: _Block) -> _Block:
        first.size += second.size
        first.after = second.after
        if second.after is not None:
            second.after.before = first
        if self._last[first.is_small] is second:
            self._last[first.is_small] = first
        return first

    def _from_driver(self, size: int, is_small: bool) -> _Block:
        if self._expandable:
            return self._expand(size, is_small)
        shared = _SMALL_SEGMENT if is_small else _LARGE_SEGMENT
        room = shared if size < _LARGE_FROM else -(-size // _ROUND) * _ROUND
        self._reserve(lambda: room)
        self._segments += 1
        return _Block(self._segments, 0, room, is_small)

    def _shrink(self, is_small: bool) -> None:
        """Give the whole pages that are free at the end of an expandable segment back to the driver."""
        last = self._last[is_small]
        if last is None or not last.is_free:
            return
        self._drop(last)
        page = _SMALL_SEGMENT if is_small else _LARGE_SEGMENT
        self.reserved_bytes -= last.size // page * page
        last.size %= page
        if last.size:
            self._keep(last)
            return
        self._last[is_small] = last.before
        if last.before is not None:
            last.before.after = None

    def _expand(self, size: int, is_small: bool) -> _Block:
        page = _SMALL_SEGMENT if is_small else _LARGE_SEGMENT

        def missing() -> int:
            last = self._last[is_small]
            return -(-(size - (last.size if last is not None and last.is_free else 0)) // page) * page

        room = self._reserve(missing)
        last = self._last[is_small]
        start = 0 if last is None else last.start + last.size
        block = _Block(int(is_small), start, room, is_small, last)
        if last is not None:
            last.after = block
        self._last[is_small] = block
        if last is not None and last.is_free:
            self._drop(last)
            block = self._join(last, block)
        return block

    def _reserve(self, needed: Callable[[], int]) -> int:
        """Take what is needed from the driver, and return it: more once what is free was given back."""
        room = needed()
        if self._limit_bytes is not None and self.reserved_bytes + room > self._limit_bytes:
            self.empty_cache()
            room = needed()
            if self.reserved_bytes + room > self._limit_bytes:
                raise OutOfMemoryError
        self.reserved_bytes += room
        self.peak_reserved_bytes = max(self.peak_reserved_bytes, self.reserved_bytes)
        return room

    def _keep(self, block: _Block) -> None:
        insort(self._free[block.is_small], block, key=lambda kept: kept.key)

    def _drop(self, block: _Block) -> None:
        free = self._free[block.is_small]
        place = bisect_left(free, block.key, key=lambda kept: kept.key)
        assert free[place] is block
        del free[place]
