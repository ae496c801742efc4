"""What a run leaves is on the disk before its record is, and what became of it since is named, file by file."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.base import json_lines
from harness.base.yaml_text import to_yaml
from harness.cli import app
from harness.runs import kept, store
from harness.runs.folder import RunFolder, SweepFolder
from harness.runs.record import Answer, Record
from harness.runs.verify import verify
from tests.builders import RunBuilder, questions, reply

WEIGHTS = "adapter/adapter_model.safetensors"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with all that one can leave, its adapter made of a few bytes."""
    sweep = tmp_path / "outputs" / "made"
    told = {"answers": questions(20, 0.5), "merged_answers": questions(20, 0.4), "replies": [reply("a", "b")]}
    folder = RunFolder(RunBuilder(sweep, base_accuracy=0.1, **told).write())
    record = record_of(folder)
    assert record.base_score is not None
    base = folder.sweep.base("0123")
    answered = {folder.evaluation: record.score, folder.evaluation_merged: record.merged_score, base: record.base_score}
    for target, score in answered.items():
        assert score is not None
        target.path.mkdir(exist_ok=True)
        target.score.write_text(score.model_dump_json())
    right = record.base_score.correct
    marks = [index < right for index in range(record.base_score.questions)]
    json_lines.append(base.answers, questions(len(marks), marks))
    folder.evaluation.replies.write_text(json.dumps([one.model_dump(mode="json") for one in record.replies]))
    folder.adapter.mkdir()
    for name in ("adapter_model.safetensors", "adapter_config.json", "README.md"):
        (folder.adapter / name).write_text(name * 100)
    (folder.adapter / "checkpoint-1").mkdir()
    folder.config.write_text(to_yaml(record.config))
    assert record.identity_parts is not None
    folder.spec.write_text(json.dumps({"parts": record.identity_parts.model_dump(mode="json")}))
    files = kept.training(folder)
    for target in (folder.evaluation, folder.evaluation_merged):
        files |= kept.answers(folder, target)
    store.write(folder, record.model_copy(update={"files": files, "base_folder": base.path.name}))
    return folder


def record_of(folder: RunFolder) -> Record:
    record = store.load(folder)
    assert record is not None
    return record


def forget_hashes(folder: RunFolder) -> None:
    """As an earlier version left its records."""
    store.write(folder, record_of(folder).model_copy(update={"files": None}))


def test_a_run_that_is_as_it_was_left_has_no_damage(run: RunFolder) -> None:
    assert verify(run).damages == []
    assert sorted(record_of(run).files or {}) == [
        "adapter/adapter_config.json",
        WEIGHTS,
        "evaluation-merged/answers.jsonl",
        "evaluation-merged/score.json",
        "evaluation/answers.jsonl",
        "evaluation/prompts.json",
        "evaluation/score.json",
        "events.jsonl",
        "readings.jsonl",
    ]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lose(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [flip, lose, cut, empty, become_a_folder]
HASHED = ["events.jsonl", "readings.jsonl", WEIGHTS, "evaluation/answers.jsonl", "evaluation-merged/score.json"]
READ = ["config.yaml", "spec.json", "record.json", "evaluation/prompts.json", "../base-0123/answers.jsonl"]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*HASHED, *READ, "../base-0123/score.json"])
def test_a_file_that_is_damaged_is_named_with_its_fix_and_nothing_else_is(
    run: RunFolder, name: str, damage: Callable[[Path], None]
) -> None:
    path = Path(os.path.normpath(run.path / name))
    # A bit in the middle of a text may leave what is read the same; what is hashed it does not.
    damage = cut if damage is flip and name not in HASHED else damage
    damage(path)
    if name == "record.json" and damage is lose:
        assert verify(run).record is None
        return
    (found,) = verify(run).damages
    assert found.path == path
    assert found.problem
    assert "put back a copy" in found.fix


def test_what_was_trained_is_trained_again_by_the_command_that_is_named(run: RunFolder) -> None:
    cut(run.path / WEIGHTS)
    (found,) = verify(run).damages
    assert found.problem == "has 1,250 bytes, and the run left 2,500"
    assert record_of(run).command in found.fix


@pytest.mark.parametrize(
    ("name", "damage"), [("events.jsonl", cut), ("readings.jsonl", become_a_folder), (WEIGHTS, empty)]
)
def test_without_hashes_what_cannot_be_read_is_named_all_the_same(
    run: RunFolder, name: str, damage: Callable[[Path], None]
) -> None:
    forget_hashes(run)
    assert verify(run).damages == []
    damage(run.path / name)
    assert [found.path for found in verify(run).damages] == [run.path / name]


def test_lines_that_were_torn_when_the_record_was_written_are_no_damage(run: RunFolder) -> None:
    forget_hashes(run)
    with run.events.open("a") as events:
        events.write('{"kind": "loss", "st')
    store.write(run, record_of(run).model_copy(update={"unread_lines": 1}))
    assert verify(run).damages == []


def test_answers_that_do_not_add_up_to_the_score_are_named_without_hashes(run: RunFolder) -> None:
    forget_hashes(run)
    lines = run.evaluation.answers.read_text().splitlines()
    turned = Answer.model_validate_json(lines[0])
    lines[0] = turned.model_copy(update={"correct": not turned.correct}).model_dump_json()
    run.evaluation.answers.write_text("\n".join(lines) + "\n")
    (found,) = verify(run).damages
    assert re.fullmatch(r"has \d+ right of 20 answers, and the score is \d+ of 20", found.problem)


def test_a_model_card_may_be_changed_and_a_checkpoint_taken_away(run: RunFolder) -> None:
    (run.adapter / "README.md").write_text("mine")
    (run.adapter / "checkpoint-1").rmdir()
    assert verify(run).damages == []


@pytest.mark.parametrize("damage", [lose, cut, empty, become_a_folder])
def test_a_run_whose_weights_are_not_whole_is_not_completed(run: RunFolder, damage: Callable[[Path], None]) -> None:
    assert kept.lost_weights(run, record_of(run)) is None
    damage(run.path / WEIGHTS)
    assert str(run.path / WEIGHTS) in (kept.lost_weights(run, record_of(run)) or "")


def test_an_adapter_that_was_taken_away_whole_or_whose_files_nobody_recorded_is_nobodys_loss(run: RunFolder) -> None:
    record = record_of(run)
    empty(run.path / WEIGHTS)
    assert kept.lost_weights(run, record.model_copy(update={"files": None})) is None
    shutil.rmtree(run.adapter)
    assert kept.lost_weights(run, record) is None
    assert {found.path.name for found in verify(run).damages} == {"adapter_config.json", "adapter_model.safetensors"}


def test_what_a_run_left_and_its_name_are_synced_before_it_is_told_of(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", watched)
    files = kept.training(run)
    assert {run.path / name for name in files} <= set(synced)
    folders = [path for path in synced if stat.S_ISDIR(path.stat().st_mode)]
    assert set(folders) == {run.sweep.path, run.path, run.adapter}
    # A name is on the disk only where what it names is there before.
    assert synced[-len(folders) :] == folders


def test_answers_of_a_target_take_the_place_of_its_earlier_ones_and_of_no_other(run: RunFolder) -> None:
    before = record_of(run)
    run.evaluation.answers.unlink()
    run.evaluation.score.write_text("{}")
    files = kept.with_answers(before, run, run.evaluation)
    assert files is not None
    assert before.files is not None
    assert set(before.files) - set(files) == {"evaluation/answers.jsonl"}
    assert [name for name in files if files[name] != before.files[name]] == ["evaluation/score.json"]
    # The base is of no run, and may be asked again for another.
    assert kept.with_answers(before, run, run.sweep.base("0123")) == before.files
    assert kept.with_answers(before.model_copy(update={"files": None}), run, run.evaluation) is None


def test_the_verb_names_each_run_and_ends_with_1_where_anything_is_damaged(run: RunFolder) -> None:
    older = RunFolder(RunBuilder(run.sweep.path, "qlora", quantized=True).write())
    older.config.write_text(to_yaml(record_of(older).config))
    killed = run.sweep.run("lora-seed7-abc")
    killed.logs.mkdir(parents=True)
    (run.sweep.run("lora-seed8-abc").path).mkdir()
    whole = CliRunner().invoke(app, ["verify", str(run.sweep.path)])
    assert whole.exit_code == 0, whole.output
    lines = [re.sub(" +", " ", line) for line in whole.stdout.splitlines()]
    assert lines == [
        f"ok {run.name} completed; 9 files (0.0 MiB) as the run left them",
        f"warning lora-seed7-abc {killed.record}: there is none, so the run goes on still or was killed",
        " fix: wait for it, or give the sweep's command again",
        "ok lora-seed8-abc planned, and not started yet",
        f"ok {older.name} completed; what can be read is whole, its hashes were not recorded",
        "3 ok, 1 warning, 0 failed",
    ]
    flip(run.path / WEIGHTS)
    damaged = CliRunner().invoke(app, ["verify", str(run.sweep.path)])
    assert damaged.exit_code == 1
    assert f"{run.path / WEIGHTS}: has other content than the run left" in damaged.stdout
    assert damaged.stdout.splitlines()[-1] == "2 ok, 1 warning, 1 failed"


def test_where_no_run_lies_is_a_mistake(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["verify", str(tmp_path), str(tmp_path / "nowhere")])
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        f"error: {tmp_path}: no run lies in it; a sweep's folder is outputs/NAME",
        f"error: {tmp_path / 'nowhere'}: no such folder; a sweep's folder is outputs/NAME",
    ]
    assert SweepFolder(tmp_path).is_sweep() is False
