"""A sample of what `python -m benchmarks.fuzz_commands` tries a thousand times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.mutated_commands import an_attempt, violations


@pytest.mark.parametrize("first", range(50, 150, 20))
def test_no_command_ends_with_a_traceback_or_steers_the_terminal(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + 20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        attempt = an_attempt(seed)
        assert violations(attempt, folder) == [], (seed, attempt)


def test_the_same_seed_makes_the_same_attempt() -> None:
    assert [an_attempt(seed) for seed in range(50)] == [an_attempt(seed) for seed in range(50)]
