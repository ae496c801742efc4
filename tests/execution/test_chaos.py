"""The short form of benchmarks/chaos.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos import Chaos


@pytest.mark.timeout(900)
def test_sweeps_whose_processes_are_killed_at_random_moments_end_as_if_nothing_had_been(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path, seed=0)
    expected, seconds = chaos.undisturbed()
    assert len(expected) == 2
    for number in (1, 2):  # Below a subreaper, and not.
        chaos.compare(chaos.disturb(number, 2, seconds), expected)
    assert chaos.found.kills.total() >= 1
    assert chaos.found.faults == []
