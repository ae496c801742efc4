"""Where everything is: the names of a sweep's folder, and which of its folders are runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.base.paths import PACKAGE
from harness.runs.folder import RunFolder, SweepFolder, TargetFolder

# What runs of the version before are made of: they are to be read for ever.
OLD_NAMES = {
    "config": "config.yaml",
    "train": "train.yaml",
    "command": "command.sh",
    "events": "events.jsonl",
    "readings": "readings.jsonl",
    "logs": "logs",
    "adapter": "adapter",
    "merged": "merged",
    "record": "record.json",
}


@pytest.mark.parametrize(("name", "file"), OLD_NAMES.items())
def test_a_run_is_laid_out_as_it_always_was(name: str, file: str) -> None:
    assert getattr(RunFolder(Path("/s/r")), name) == Path("/s/r", file)


def test_answers_lie_where_they_always_did() -> None:
    run = RunFolder(Path("/s/r"))
    assert run.evaluation == TargetFolder(Path("/s/r/evaluation"))
    assert run.evaluation_merged == TargetFolder(Path("/s/r/evaluation-merged"))
    assert run.sweep.base("0f") == TargetFolder(Path("/s/base-0f"))
    assert (run.evaluation.answers, run.evaluation.score, run.evaluation.replies) == (
        Path("/s/r/evaluation/answers.jsonl"),
        Path("/s/r/evaluation/score.json"),
        Path("/s/r/evaluation/prompts.json"),
    )


def test_no_two_things_of_a_run_have_one_name() -> None:
    run = RunFolder(Path("/s/r"))
    names = {name for kind in RunFolder.__mro__[:-1] for name in vars(kind) if not name.startswith("_")}
    places = [getattr(run, name) for name in names]
    paths = [place.path if isinstance(place, TargetFolder) else place for place in places]
    paths = [path for path in paths if isinstance(path, Path)]
    assert len(set(paths)) == len(paths) > 12


def test_a_run_s_lock_is_beside_its_folder_so_that_putting_it_aside_keeps_the_lock() -> None:
    run = RunFolder(Path("/s/lora-seed0-0f"))
    assert run.lock.parent == Path("/s")
    assert run.lock.name not in {run.name, "", "."}


def test_runs_are_the_folders_with_a_record_or_the_name_of_a_run(tmp_path: Path) -> None:
    for name in (
        "qlora-seed1-0f3a",
        "lora,rank=8-seed0-9c",
        "renamed by a user/record.json",
        "base-0f3a/score.json",
        "earlier/lora-seed0-9c-20260101T000000.000001/record.json",
        "nodes/lora-seed0-9c-node1/record.json",
        "swanlog",
        "lora-seedless-9c",
    ):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lora-seed2-9c").touch()
    (tmp_path / ".lora-seed0-9c.lock").touch()
    sweep = SweepFolder(tmp_path)
    assert [run.name for run in sweep.runs()] == ["lora,rank=8-seed0-9c", "qlora-seed1-0f3a", "renamed by a user"]
    assert sweep.is_sweep()
    assert not SweepFolder(tmp_path / "swanlog").is_sweep()


def test_a_machine_that_only_helps_leaves_its_folder_out_of_the_runs(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    helper = sweep.helper("lora-seed0-9c", 1)
    helper.path.mkdir(parents=True)
    assert list(sweep.runs()) == []
    assert helper.path != sweep.helper("lora-seed0-9c", 2).path


SPELT_ONCE = (
    *("events.jsonl", "readings.jsonl", "record.json", "spec.json", "config.yaml", "train.yaml", "command.sh"),
    *("answers.jsonl", "score.json", "prompts.json", "job.json", "/adapter", "evaluation-merged"),
)


def literals(source: str) -> Iterator[str]:
    """Every string in a module, those within f-strings too, but for docstrings."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_the_names_of_a_runs_folder_are_spelt_in_one_module() -> None:
    spelling = {
        (file.relative_to(PACKAGE).as_posix(), name)
        for file in PACKAGE.rglob("*.py")
        for text in literals(file.read_text(encoding="utf-8"))
        for name in SPELT_ONCE
        if name in text
    }
    elsewhere = sorted(place for place in spelling if place[0] != "runs/folder.py")
    assert elsewhere == [], "take the name from harness.runs.folder"
    assert ("runs/folder.py", "record.json") in spelling


def test_the_name_of_a_file_without_its_folder_is_that_of_the_class() -> None:
    assert f"{RunFolder.record}, {TargetFolder.events}" == "record.json, events.jsonl"
