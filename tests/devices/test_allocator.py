"""The rules of torch's caching allocator, by hand; what holds whatever is asked for; and torch's own beside it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from harness.devices.allocator import MIB, CachingAllocator, Event, OutOfMemoryError, rounded

Figures = tuple[int, int, int]
"""Allocated, reserved and the highest that was reserved, in bytes."""


def figures(events: Sequence[Event], limit_bytes: int | None = None, expandable: bool = False) -> Figures:
    allocator = CachingAllocator(limit_bytes, expandable)
    allocator.replay(events)
    return allocator.allocated_bytes, allocator.reserved_bytes, allocator.peak_reserved_bytes


@pytest.mark.parametrize(("size", "taken"), [(1, 512), (512, 512), (513, 1024), (3 * MIB, 3 * MIB)])
def test_a_request_is_rounded_up_to_512_bytes(size: int, taken: int) -> None:
    assert rounded(size) == taken
    assert figures([(1, size)])[0] == taken


@pytest.mark.parametrize(
    ("size", "reserved"),
    [
        (1, 2 * MIB),
        (MIB, 2 * MIB),
        (MIB + 1, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB - 1, 10 * MIB),  # rounded up first
        (10 * MIB, 10 * MIB),
        (10 * MIB + 1, 12 * MIB),
        (21 * MIB - 512, 22 * MIB),
    ],
)
def test_a_request_has_a_segment_of_the_size_that_its_own_decides(size: int, reserved: int) -> None:
    assert figures([(1, size)]) == (rounded(size), reserved, reserved)


@pytest.mark.parametrize(
    ("sizes", "reserved_mib"),
    [
        ([MIB, MIB], 2),
        ([MIB, MIB, 1], 4),
        ([2 * MIB - 512, 512], 22),  # the small pool and the large one lend each other nothing
        ([9 * MIB, 9 * MIB, 2 * MIB], 20),
        ([9 * MIB, 9 * MIB, 2 * MIB + 1], 40),
        ([11 * MIB, 2 * MIB], 32),
        ([19 * MIB, MIB + 512], 40),  # 20 MiB less 19: 1 MiB is left over, and is not split off
    ],
)
def test_requests_share_a_segment_as_long_as_it_lasts(sizes: list[int], reserved_mib: int) -> None:
    assert figures(list(enumerate(sizes)))[1] == reserved_mib * MIB


def test_a_small_block_is_split_down_to_512_bytes() -> None:
    assert figures([(1, MIB), (2, MIB - 512), (3, 512)])[1] == 2 * MIB


@pytest.mark.parametrize(("size", "allocated"), [(19 * MIB, 20 * MIB), (19 * MIB - 512, 19 * MIB - 512)])
def test_of_a_large_block_one_mib_or_less_is_not_split_off(size: int, allocated: int) -> None:
    assert figures([(1, 20 * MIB), (1, 0), (2, size)])[:2] == (allocated, 20 * MIB)


def test_the_smallest_free_block_that_is_large_enough_is_taken() -> None:
    allocator = CachingAllocator()
    allocator.replay([(1, 40 * MIB), (2, 30 * MIB), (3, 50 * MIB), (1, 0), (2, 0), (3, 0)])
    allocator.allocate(4, 29 * MIB)
    assert allocator.allocated_bytes == 30 * MIB  # of 30 one is left over
    allocator.allocate(5, 40 * MIB)
    allocator.allocate(6, 50 * MIB)
    assert allocator.reserved_bytes == allocator.allocated_bytes == 120 * MIB


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (1, 3, 2), (2, 1, 3)])
def test_free_neighbours_become_one(order: tuple[int, ...]) -> None:
    filled = [(1, 6 * MIB), (2, 6 * MIB), (3, 8 * MIB)]
    freed = [(number, 0) for number in order]
    assert figures([*filled, *freed, (4, 20 * MIB)]) == (20 * MIB, 20 * MIB, 20 * MIB)


def test_free_blocks_that_are_no_neighbours_stay_two() -> None:
    assert figures([(1, 6 * MIB), (2, 6 * MIB), (3, 8 * MIB), (1, 0), (3, 0), (4, 9 * MIB)])[1] == 40 * MIB


def test_what_is_freed_is_reserved_still_and_is_given_out_again() -> None:
    assert figures([(1, 30 * MIB), (1, 0)]) == (0, 30 * MIB, 30 * MIB)
    assert figures([(1, 30 * MIB), (1, 0), (2, 30 * MIB)]) == (30 * MIB, 30 * MIB, 30 * MIB)


def test_emptying_the_cache_gives_back_whole_segments_alone() -> None:
    allocator = CachingAllocator()
    allocator.replay([(1, 30 * MIB), (2, 6 * MIB), (3, 6 * MIB), (1, 0), (2, 0)])
    allocator.empty_cache()
    assert (allocator.allocated_bytes, allocator.reserved_bytes) == (6 * MIB, 20 * MIB)
    assert allocator.peak_reserved_bytes == 50 * MIB


def test_what_is_free_is_given_back_where_there_is_no_other_room() -> None:
    asked = [(1, 30 * MIB), (1, 0), (2, 40 * MIB)]
    assert figures(asked) == (40 * MIB, 70 * MIB, 70 * MIB)
    assert figures(asked, 69 * MIB) == (40 * MIB, 40 * MIB, 40 * MIB)
    with pytest.raises(OutOfMemoryError):
        figures(asked, 39 * MIB)


def test_free_blocks_beside_used_ones_are_no_room() -> None:
    """Fragmentation: 14 MiB are free, and 12 find no place."""
    asked = [(1, 6 * MIB), (2, 6 * MIB), (3, 8 * MIB), (1, 0), (3, 0), (4, 12 * MIB)]
    assert figures(asked, 32 * MIB)[1] == 32 * MIB
    with pytest.raises(OutOfMemoryError):
        figures(asked, 31 * MIB)


def test_a_restart_forgets_the_peaks_but_not_what_is_held() -> None:
    allocator = CachingAllocator()
    allocator.replay([(1, 30 * MIB), (2, 40 * MIB), (2, 0)])
    allocator.empty_cache()
    allocator.restart()
    assert (allocator.peak_allocated_bytes, allocator.peak_reserved_bytes) == (30 * MIB, 30 * MIB)


@pytest.mark.parametrize(
    ("sizes", "reserved_mib"),
    [
        ([1], 2),
        ([MIB, MIB, 512], 4),
        ([MIB + 512], 20),
        ([10 * MIB], 20),
        ([21 * MIB], 40),
        ([30 * MIB, 9 * MIB, 2 * MIB], 60),
        ([512, 30 * MIB], 42),
    ],
)
def test_expandable_segments_grow_by_2_and_by_20_mib(sizes: list[int], reserved_mib: int) -> None:
    assert figures(list(enumerate(sizes)), expandable=True)[1] == reserved_mib * MIB


def test_an_expandable_segment_grows_by_what_its_free_end_lacks() -> None:
    asked = [(1, 30 * MIB), (2, 25 * MIB), (2, 0), (3, 40 * MIB)]
    assert figures(asked, expandable=True)[1] == 80 * MIB
    assert figures(asked)[1] == 96 * MIB


def test_an_expandable_segment_gives_back_its_free_end_alone() -> None:
    allocator = CachingAllocator(expandable=True)
    allocator.replay([(1, 20 * MIB), (2, 20 * MIB), (3, 20 * MIB), (1, 0), (3, 0)])
    allocator.empty_cache()
    assert allocator.reserved_bytes == 40 * MIB


def test_an_expandable_segment_makes_room_within_a_limit() -> None:
    asked = [(1, 20 * MIB), (2, 20 * MIB), (1, 0), (2, 0), (3, 512)]
    assert figures(asked, 40 * MIB, expandable=True) == (512, 2 * MIB, 40 * MIB)


def drawn(seed: int, requests: int) -> list[Event]:
    """Allocations of all sizes, freed in any order; in the end all are."""
    lots = random.Random(seed)
    events: list[Event] = []
    alive: list[int] = []
    for number in range(requests):
        size = lots.choice([lots.randint(1, MIB), lots.randint(MIB, 10 * MIB), lots.randint(10 * MIB, 60 * MIB)])
        events.append((number, size))
        alive.append(number)
        while alive and lots.random() < 0.48:
            events.append((alive.pop(lots.randrange(len(alive))), 0))
    lots.shuffle(alive)
    return [*events, *((number, 0) for number in alive)]


@pytest.mark.parametrize("limit_mib", [None, 600])
@pytest.mark.parametrize("expandable", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_asked_for_the_figures_are_consistent(seed: int, expandable: bool, limit_mib: int | None) -> None:
    limit = None if limit_mib is None else limit_mib * MIB
    allocator = CachingAllocator(limit, expandable)
    asked: dict[int, int] = {}
    for number, size in drawn(seed, 300):
        if not size and number not in asked:
            continue
        try:
            allocator.replay([(number, size)])
        except OutOfMemoryError:
            continue
        asked = {**asked, number: size} if size else {key: value for key, value in asked.items() if key != number}
        least = sum(map(rounded, asked.values()))
        assert least <= allocator.allocated_bytes <= least + len(asked) * MIB * (1 - expandable)
        assert allocator.allocated_bytes <= allocator.reserved_bytes <= allocator.peak_reserved_bytes
        assert allocator.allocated_bytes <= allocator.peak_allocated_bytes
        assert limit is None or allocator.reserved_bytes <= limit
        assert_blocks_fill_their_segments(allocator)
    assert allocator.allocated_bytes == 0
    allocator.empty_cache()
    assert allocator.reserved_bytes == 0


def assert_blocks_fill_their_segments(allocator: CachingAllocator) -> None:
    """Side by side without gap or overlap, no two free ones beside each other, and together what is reserved."""
    blocks = [*allocator._used.values(), *(block for free in allocator._free.values() for block in free)]
    for block in blocks:
        after = block.after
        assert after is None or (after.before is block and after.start == block.start + block.size)
        assert after is None or not (block.is_free and after.is_free)
    assert sum(block.size for block in blocks) == allocator.reserved_bytes


@pytest.mark.parametrize("expandable", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_limit_that_is_never_reached_changes_nothing(seed: int, expandable: bool) -> None:
    events = drawn(seed, 200)
    free = CachingAllocator(expandable=expandable)
    free.replay(events)
    limited = CachingAllocator(free.peak_reserved_bytes, expandable)
    limited.replay(events)
    assert (limited.peak_allocated_bytes, limited.peak_reserved_bytes, limited.reserved_bytes) == (
        free.peak_allocated_bytes,
        free.peak_reserved_bytes,
        free.reserved_bytes,
    )
    with pytest.raises(OutOfMemoryError):
        CachingAllocator(free.peak_allocated_bytes - 1, expandable).replay(events)


def test_torch_itself_allocates_and_reserves_the_same() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch has its caching allocator on a GPU alone")
    ours, held = CachingAllocator(), {}
    for number, size in drawn(0, 500):
        ours.replay([(number, size)])
        if size:
            held[number] = torch.empty(size, dtype=torch.uint8, device="cuda")
        else:
            del held[number]
        assert (torch.cuda.memory_allocated(), torch.cuda.memory_reserved()) == (
            ours.allocated_bytes,
            ours.reserved_bytes,
        )
    assert torch.cuda.max_memory_reserved() == ours.peak_reserved_bytes
