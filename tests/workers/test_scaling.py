"""The largest batch that fits, found from a few small ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.workers.tracing.scaling import Scaling, UnlikeError

_MIB = 2**20
_SIZES = st.tuples(*[st.integers(1, 3 * _MIB), *[st.integers(0, 3 * _MIB)] * 2])


def _process(sizes: list[tuple[int, int, int]], kept: int) -> Any:
    """What makes tensors of (a + b * rows + c * rows * tokens / 256) bytes, and gives back all but the first `kept`."""

    def train(rows: int, tokens: int) -> Any:
        made = [(number, a + b * rows + c * rows * tokens // 256) for number, (a, b, c) in enumerate(sizes, 1)]
        return SimpleNamespace(events=[*made, *((number, 0) for number, _ in made[kept:]), (len(made) + 1, 512)])

    return train


@settings(max_examples=60, deadline=None)
@given(st.lists(_SIZES, min_size=1, max_size=8), st.integers(0, 8), st.integers(1, 80), st.booleans())
def test_no_larger_batch_fits_than_the_one_that_is_found(
    sizes: list[tuple[int, int, int]], kept: int, limit_mib: int, expandable: bool
) -> None:
    scaling = Scaling(_process(sizes, kept), expandable)
    limit = limit_mib * _MIB
    most = scaling.most_rows(1024, limit)
    assert most == 0 or scaling.fits(most, 1024, limit)
    assert most == 4096 or not scaling.fits(most + 1, 1024, limit)


def test_a_batch_of_another_size_is_as_if_it_were_followed() -> None:
    train = _process([(100, 20, 3), (7, 0, 5 * 256), (2**20, 1, 1)], 1)
    assert Scaling(train).events(37, 8192) == train(37, 8192).events


def test_batches_of_other_operators_tell_nothing_of_each_other() -> None:
    with pytest.raises(UnlikeError):
        Scaling(lambda rows, tokens: SimpleNamespace(events=[(1, 512)] * (1 + (tokens > 512))))  # type: ignore[arg-type, return-value]
