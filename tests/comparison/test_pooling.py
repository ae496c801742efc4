"""Which runs are pooled over seeds: by what decides a result, as the record tells it, and by nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.comparison.arms import arms_of
from harness.comparison.runs import load_sweep
from tests.builders import RunBuilder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made"


def arms(folder: Path) -> dict[str, list[int]]:
    return {arm.label: arm.seeds for arm in arms_of(load_sweep(folder))}


@pytest.mark.parametrize(
    "another",
    [
        {"launch": {"name": "nodes", "nnodes": 1, "nproc": 1, "master_port": 29501}},
        {"training": {"batch_size": 8, "learning_rate": 1e-3, "logging_steps": 10, "save_steps": 5}},
        {"dataset": {"name": "copy", "path": "/mnt/copy.json", "seed": 42}},
        {"model": {"path": "/mnt/model", "template": "qwen"}},
        {"device": {"chips": [3], "interval_seconds": 0.1, "threads": None}},
        {"tracking": {"mode": "cloud"}, "output": "elsewhere", "reports": "elsewhere"},
        {"evaluation": {"name": "other", "benchmark": "arithmetic", "limit": 200, "targets": ["merged"]}},
    ],
    ids=lambda another: ",".join(another),
)
def test_what_decides_no_result_keeps_no_seeds_apart(folder: Path, another: dict[str, Any]) -> None:
    RunBuilder(folder, "lora", 0).write()
    RunBuilder(folder, "lora", 1, config=another).write()
    assert arms(folder) == {"lora": [0, 1]}


@pytest.mark.parametrize(
    ("another", "labels"),
    [
        ({"weights": "bbbbbbbbbb"}, ("model=0c0ffe…", "model=bbbbbb…")),
        ({"base_weights": "bbbbbbbbbb"}, ("weights=0c0ffe…", "weights=bbbbbb…")),
        ({"rows_digest": "bbbbbbbbbb"}, ("rows=1f3a5b…", "rows=bbbbbb…")),
        ({"rows_digest": "1f3a5b7c00"}, ("rows=1f3a5b7c9…", "rows=1f3a5b7c0…")),
        ({"questions_digest": "bbbbbbbbbb"}, ("questions=5e5e5e…", "questions=bbbbbb…")),
        ({"precision": "fp16"}, ("precision=bf16", "precision=fp16")),
        ({"processes": 2}, ("processes=1", "processes=2")),
        ({"threads": 4}, ("threads=None", "threads=4")),
        ({"versions": {"torch": "0.0.1"}}, ("versions.torch=0.0.0", "versions.torch=0.0.1")),
        ({"versions": {"torch-npu": "1"}}, ("versions.torch-npu=None", "versions.torch-npu=1")),
        ({"product": "Another"}, ("hardware=Processor made for tests", "hardware=Another")),
        ({"config": {"method": {"name": "lora", "rank": 16}}}, ("method.rank=8", "method.rank=16")),
        ({"config": {"llamafactory": {"seed": 3}}}, ("llamafactory.seed=None", "llamafactory.seed=3")),
    ],
    ids=lambda another: str(another),
)
def test_what_decides_a_result_keeps_seeds_apart_under_a_short_label(
    folder: Path, another: dict[str, Any], labels: tuple[str, str]
) -> None:
    RunBuilder(folder, "lora", 0).write()
    RunBuilder(folder, "lora", 1, **another).write()
    assert arms(folder) == {f"lora [{labels[0]}]": [0], f"lora [{labels[1]}]": [1]}


def test_the_same_seed_on_other_rows_supersedes_nothing(folder: Path) -> None:
    RunBuilder(folder, "lora", 0).write()
    RunBuilder(folder, "lora", 0, rows_digest="bbbbbbbbbb").write()
    sweep = load_sweep(folder)
    assert sweep.superseded == []
    assert len(sweep.runs) == 2


def test_a_key_that_the_reader_knows_names_an_arm_before_a_hash_does(folder: Path) -> None:
    for rows, count in (("aaaaaaaaaa", 100), ("bbbbbbbbbb", 200)):
        dataset = {"name": "made", "path": "/data/made.json", "seed": 42, "train_samples": count}
        RunBuilder(folder, "lora", 0, rows_digest=rows, config={"dataset": dataset}).write()
    assert list(arms(folder)) == ["lora [dataset.train_samples=100]", "lora [dataset.train_samples=200]"]


def test_of_records_without_parts_the_paths_stand_for_rows_that_were_not_recorded(folder: Path) -> None:
    RunBuilder(folder, "lora", 0, parts=False).write()
    moved = {"name": "made", "path": "/mnt/other.json", "seed": 42}
    RunBuilder(folder, "lora", 1, parts=False, config={"dataset": moved}).write()
    assert arms(folder) == {"lora [dataset.path=/data/made.json]": [0], "lora [dataset.path=/mnt/other.json]": [1]}


def test_of_records_without_parts_weights_that_were_hashed_count_and_not_their_path(folder: Path) -> None:
    moved: dict[str, object] = {"model": {"path": "/mnt/model", "template": "qwen"}}
    RunBuilder(folder, "lora", 0, parts=False).write()
    RunBuilder(folder, "lora", 1, parts=False, config=moved).write()
    RunBuilder(folder, "lora", 2, parts=False, base_weights="bbbbbbbbbb").write()
    assert arms(folder) == {"lora [weights=0c0ffe…]": [0, 1], "lora [weights=bbbbbb…]": [2]}


def test_a_run_that_ended_before_its_weights_were_hashed_belongs_to_its_arm(folder: Path) -> None:
    RunBuilder(folder, "lora", 0, parts=False, base_weights="-").write()
    RunBuilder(folder, "lora", 1, parts=False).write()
    assert arms(folder) == {"lora": [0, 1]}


def test_one_seed_twice_without_parts_and_with_two_identities_is_two_runs(folder: Path) -> None:
    """A data file that was edited between two runs of the version before left no other trace."""
    RunBuilder(folder, "lora", 0, parts=False).write()
    RunBuilder(folder, "lora", 0, parts=False, rows_digest="bbbbbbbbbb").write()
    sweep = load_sweep(folder)
    assert sweep.superseded == []
    assert len({run.label for run in sweep.runs}) == 2
    assert all(run.label.startswith("lora [identity=") for run in sweep.runs)


def test_an_old_run_and_a_new_one_with_one_identity_are_the_same_run(folder: Path) -> None:
    RunBuilder(folder, "lora", 0, parts=False).write()
    other = folder.parent / "again"
    RunBuilder(other, "lora", 0).write()
    sweep = load_sweep(folder, other)
    assert [run.label for run in sweep.runs] == ["lora"]
    assert len(sweep.superseded) == 1
