"""The verdict alone, for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from harness.comparison.arms import arms_of
from harness.comparison.differences import compare
from harness.comparison.runs import load_sweep
from harness.comparison.verdict import verdict


def verdict_of(sweep_dirs: Sequence[Path], only: Collection[Path] | None = None) -> list[str]:
    """What the report on these sweeps, or on the runs `only`, opens with, a sentence an item."""
    arms = arms_of(load_sweep(*sweep_dirs, only=only))
    said = verdict(arms, compare(arms))
    return [*said.sentences, *said.others, *said.caveats]
