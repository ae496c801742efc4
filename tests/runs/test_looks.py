"""Looks: a report that was made of other runs than any before is noted, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.runs import looks
from harness.runs.folder import SweepFolder
from harness.runs.record import Outcome
from tests.builders import RunBuilder


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path)


def test_a_look_is_noted_once_for_each_set_of_runs(folder: SweepFolder) -> None:
    assert looks.read(folder) == []
    for seen in (["b", "a"], ["a", "b"], [], ["a", "b", "c"], ["b", "a", "b"]):
        looks.note(folder, seen)
    assert [look.completed for look in looks.read(folder)] == [["a", "b"], ["a", "b", "c"]]
    first, second = (look.time for look in looks.read(folder))
    assert first <= second


def test_a_look_is_of_the_completed_runs(folder: SweepFolder) -> None:
    made = [RunBuilder(folder.path, arm=arm, seed=seed).write().name for arm in ("lora", "qlora") for seed in (0, 1)]
    RunBuilder(folder.path, seed=2, status=Outcome.FAILED).write()
    (RunBuilder(folder.path, seed=3).write() / "record.json").write_text("{")
    folder.run("lora-seed4-0a1b2c3d4e").path.mkdir()
    assert sorted(looks.completed_in(folder)) == sorted(made)


@pytest.mark.parametrize("damage", ["{", '{"time": 1}', '{"completed": ["a"]}', "\x00\xff", "[]"])
def test_a_damaged_line_costs_itself_alone(folder: SweepFolder, damage: str) -> None:
    looks.note(folder, ["a"])
    with folder.looks.open("a") as file:
        file.write(damage)
    looks.note(folder, ["a", "b"])
    assert [look.completed for look in looks.read(folder)] == [["a"], ["a", "b"]]


def test_a_folder_that_cannot_be_written_costs_no_report(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below_a_file = SweepFolder(tmp_path / "file")
    looks.note(below_a_file, ["a"])
    assert looks.read(below_a_file) == []
    in_the_way = SweepFolder(tmp_path / "other")
    in_the_way.looks.mkdir(parents=True)
    looks.note(in_the_way, ["a"])
    assert looks.read(in_the_way) == []
