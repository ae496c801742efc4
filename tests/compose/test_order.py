"""In which order a sweep runs: the arms of each seed in turn, so that a machine that drifts is not taken for an arm."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from harness.compose.order import split
from harness.execution import hydra_app
from harness.plan.spec import RunSpec
from tests.planning import specs_of
from tests.watching import Watching

Order = list[tuple[str, str]]

QUICKSTART = ("sweeps=quickstart", "method=lora,qlora")
ARMS = "quantization=none,int8,nf4,fp4"
FOUR = ["fp4", "int8", "nf4", "none"]


def order(*overrides: str, sweep: str = "quickstart", seed: object = 0) -> Order:
    """Seed and arm of each point, as they are run. `sweep`, `seed`: of the configuration, where no override has one."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    config = OmegaConf.create({"sweep": sweep, "seed": seed, "method": "???"})
    found = [dict(text.split("=", 1) for text in point) for point in split(parsed, config)]
    return [(point.get("seed", "-"), point.get("quantization", point.get("method", "-"))) for point in found]


def test_all_arms_of_a_seed_follow_each_other_and_seeds_come_as_they_were_given() -> None:
    found = order(ARMS, "seed=3,0,7")
    assert [seed for seed, _ in found] == ["3"] * 4 + ["0"] * 4 + ["7"] * 4
    assert [sorted(arm for seed, arm in found if seed == each) for each in "307"] == [FOUR] * 3


def test_which_arm_goes_first_is_drawn_for_each_seed_and_each_sweep() -> None:
    first = [[arm for _, arm in order(*QUICKSTART, "seed=range(400)", sweep=name)][::2] for name in ("a", "b")]
    for of_sweep in first:
        # Of 400 fair draws: outside of these bounds six times in a hundred thousand.
        assert 160 <= of_sweep.count("lora") <= 240
    assert first[0] != first[1]
    # Whether the name stands in the sweep's file or on the command line.
    assert [arm for _, arm in order(*QUICKSTART, "seed=range(400)", "sweep=b", sweep="a")][::2] == first[1]


def test_the_draw_is_the_same_in_every_version() -> None:
    """Or a sweep that goes on with another version would begin anew with its numbers."""
    assert order(*QUICKSTART, "seed=0,1,2,3,4") == [
        *(("0", "lora"), ("0", "qlora"), ("1", "qlora"), ("1", "lora"), ("2", "lora"), ("2", "qlora")),
        *(("3", "lora"), ("3", "qlora"), ("4", "qlora"), ("4", "lora")),
    ]


def test_a_further_arm_or_seed_moves_no_other() -> None:
    few, more_arms, more_seeds = (
        order(f"quantization={arms}", f"seed={seeds}")
        for arms, seeds in (("none,nf4", "range(20)"), ("int8,none,nf4,fp4", "range(20)"), ("none,nf4", "range(40)"))
    )
    assert [run for run in more_arms if run in few] == few
    assert more_seeds[: len(few)] == few
    # A recipe's seed stands in its file until there are more.
    for seed in range(20):
        alone = [arm for _, arm in order(ARMS, seed=seed)]
        assert [arm for _, arm in order(ARMS, f"seed={seed},20,21")][:4] == alone


def test_machines_that_train_together_number_their_runs_alike() -> None:
    first, second = (
        order(ARMS, "seed=range(20)", f"launch.node_rank={rank}", f"output=on{rank}", f"dry_run={rank}")
        for rank in (0, 1)
    )
    assert first == second == order("seed=range(20)", ARMS)


def test_a_sweep_without_seeds_is_one_block_whatever_names_it() -> None:
    assert sorted(order(ARMS)) == [("-", arm) for arm in FOUR]
    # Filled in by what is swept over.
    assert sorted(order(ARMS, sweep="own-${method}", seed="${method}")) == [("-", arm) for arm in FOUR]
    assert order("seed=2,1") == [("2", "-"), ("1", "-")]
    assert order() == [("-", "-")]


@pytest.mark.parametrize("key", ["sweep", "sweeps"])
def test_several_sweeps_come_one_after_the_other(key: str) -> None:
    parsed = OverridesParser.create().parse_overrides(["method=lora,qlora", "seed=0,1", f"{key}=b,a"])
    points = split(parsed, OmegaConf.create({"sweep": "single", "seed": 0}))
    assert [tuple(point[1:]) for point in points] == [
        (f"seed={seed}", f"{key}={sweep}") for sweep in "ba" for seed in (0, 1) for _ in range(2)
    ]


@pytest.mark.parametrize("how", [["hydra.sweeper.max_batch_size=3"], ["hydra/sweeper=basic"]])
def test_hydra_starts_the_runs_in_the_order_of_their_numbers(
    how: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("sweeps=quickstart", "seed=0,1", "dry_run=true", "device=cpu", *how)
    specs: list[RunSpec] = specs_of(*given)
    watching = Watching()
    assert hydra_app.main(["--multirun", *given], watching) == 0
    assert [label.number for label in watching.planned_runs] == [1, 2, 3, 4]
    names = [label.name for label in watching.planned_runs]
    assert names == [spec.name for spec in specs]
    assert [spec.position for spec in specs] == [1, 2, 3, 4]
    drawn = ["lora-seed0", "qlora-seed0", "qlora-seed1", "lora-seed1"]
    assert names == (["lora-seed0", "lora-seed1", "qlora-seed0", "qlora-seed1"] if "basic" in how[0] else drawn)
