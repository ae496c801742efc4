"""Whatever stands in a record or lies in a run's folder costs that run alone; `benchmarks/fuzz_runs.py` tries more."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.comparison.runs import load_sweep
from harness.runs.folder import SweepFolder
from tests.runs.mutated_runs import a_sweep, mutate, violations


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    return a_sweep(tmp_path / "made")


def test_a_sweep_that_nothing_happened_to_is_read_whole(sweep: SweepFolder, tmp_path: Path) -> None:
    assert list(violations(sweep, tmp_path / "report")) == []
    found = load_sweep(sweep.path)
    assert (len(found.runs), found.damaged) == (4, [])


@pytest.mark.parametrize("seed", range(20))
def test_a_run_that_is_damaged_is_named_or_counts_and_costs_no_report(
    seed: int, sweep: SweepFolder, tmp_path: Path
) -> None:
    done = mutate(seed, sweep)
    assert list(violations(sweep, tmp_path / "report")) == [], done
