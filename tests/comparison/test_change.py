"""One sweep made twice: what moved by more than its noise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.comparison.change import Change, Move, change
from harness.comparison.facts import Fact
from harness.comparison.metrics import ACCURACY, HOST, STEP_SECONDS
from harness.runs.record import Outcome
from tests.builders import RunBuilder, questions

SEEDS = range(5)
NOISE = (0.01, -0.02, 0.0, 0.02, -0.01)


def sweep(folder: Path, slower: float = 1.0, skill: float = 0.7, **changed: object) -> Path:
    """Two arms with five seeds; times and answers vary with the seed and from sweep to sweep."""
    for seed in SEEDS:
        for arm in ("lora", "qlora"):
            own = {"lora": 0, "qlora": 3}[arm] + len(folder.name)
            noise = NOISE[(seed + own) % 5]
            right = [(37 * index % 200) / 200 < skill + noise for index in range(200)]
            RunBuilder(
                folder,
                arm,
                seed,
                quantized=arm == "qlora",
                train_seconds=40 * slower * (1 + noise),
                peak_mib=405 * (1 + noise / 10),
                answers=questions(200, right),
                **changed,  # type: ignore[arg-type]
            ).write()
    return folder


def move(found: Change, arm: str, key: str) -> Move:
    (of_arm,) = [each for each in found.arms if each.new.label == arm]
    return next(metric.move for metric in of_arm.metrics if metric.paired.metric.key == key)


def test_the_same_again_is_within_its_noise(tmp_path: Path) -> None:
    found = change(sweep(tmp_path / "old"), sweep(tmp_path / "newer"))
    assert [arm.new.label for arm in found.arms] == ["lora", "qlora"]
    assert all(
        move(found, arm, metric.key) is Move.WITHIN_NOISE
        for arm in ("lora", "qlora")
        for metric in (ACCURACY, HOST, STEP_SECONDS)
    )
    assert not found.is_worse


def test_an_upgrade_that_slows_and_answers_better_is_told_with_the_versions(tmp_path: Path) -> None:
    old = sweep(tmp_path / "old", versions={"torch": "1.0"})
    found = change(old, sweep(tmp_path / "new", slower=1.3, skill=0.9, versions={"torch": "2.0"}))
    for arm in ("lora", "qlora"):
        assert move(found, arm, STEP_SECONDS.key) is Move.WORSE
        assert move(found, arm, ACCURACY.key) is Move.BETTER
    assert found.is_worse
    assert {(cause.fact, cause.key) for cause in found.arms[0].causes} >= {(Fact.VERSIONS, "torch")}


def test_another_machine_is_still_the_same_sweep(tmp_path: Path) -> None:
    old = sweep(tmp_path / "old", product="Chip A")
    assert len(change(old, sweep(tmp_path / "new", product="Chip B")).arms) == 2


def test_other_settings_are_another_arm(tmp_path: Path) -> None:
    old = sweep(tmp_path / "old")
    found = change(old, sweep(tmp_path / "new", config={"training": {"batch_size": 8, "learning_rate": 5e-4}}))
    assert not found.arms
    assert [arm.label for arm in found.only_old] == [arm.label for arm in found.only_new] == ["lora", "qlora"]


def test_a_run_that_fails_now_is_worse(tmp_path: Path) -> None:
    old, new = sweep(tmp_path / "old"), sweep(tmp_path / "newer")
    RunBuilder(new, "qlora", 4, quantized=True, status=Outcome.OUT_OF_MEMORY, reason="tried to allocate 9 GiB").write()
    found = change(old, new)
    assert found.is_worse
    assert [run.record.seed for run in found.arms[1].failing] == [4]


def test_one_seed_has_no_noise_to_be_held_against(tmp_path: Path) -> None:
    for name, seconds in (("old", 40.0), ("new", 60.0)):
        RunBuilder(tmp_path / name, "lora", 0, train_seconds=seconds).write()
    found = change(tmp_path / "old", tmp_path / "new")
    assert move(found, "lora", STEP_SECONDS.key) is Move.UNKNOWN
    assert not found.is_worse


@pytest.mark.parametrize(("slower", "status"), [(1.0, 0), (1.3, 1)])
def test_the_exit_status_says_whether_something_got_worse(tmp_path: Path, slower: float, status: int) -> None:
    old, new = sweep(tmp_path / "old"), sweep(tmp_path / "newer", slower=slower)
    words = CliRunner().invoke(app, ["compare", str(old), str(new)])
    plain = CliRunner().invoke(app, ["compare", str(old), str(new), "--json"])
    assert words.exit_code == plain.exit_code == status
    told = json.loads(plain.stdout)
    assert told["worse"] is bool(status)
    step = told["arms"][0]["metrics"]["step_seconds"]
    assert step["interval"][0] < step["ratio"] < step["interval"][1]
    assert ("worse: " in words.stdout) is bool(status)


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["compare", str(tmp_path / "no"), str(tmp_path)])
    assert done.exit_code == 2
