"""`harness adopt`: two folders, one command, a report; and the command that measures what nobody has measured."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from harness.cli import app
from harness.cli.adopt import arm_and_folder
from tests.adoption.conftest import ARGUMENTS, Home
from tests.conftest import call, environment


def harness(home: Home, *arguments: str) -> tuple[int, str, str]:
    done = call(*arguments, cwd=home.path, env=environment(home.path / "cache"))
    return done.returncode, done.stdout, done.stderr


def test_two_trainings_of_a_tutorial_give_a_report_at_once(home: Home) -> None:
    status, told, errors = harness(home, "adopt", "saves/tiny/lora/sft", "saves/tiny/qlora/sft")
    assert status == 0, errors
    assert told.count(": adopted: completed, from trainer_state.json") == 2
    assert "not known: its memory, its accuracy" in told
    assert "report: reports/adopted/report.md" in told
    report = (home.path / "reports/adopted/report.md").read_text()
    assert "Adopted from LLaMA-Factory's output folders" in report
    assert "harness run --multirun sweep=adopted-measured method=lora quantization=none,nf4_double" in report
    assert "Memory was not measured." in report
    assert "Accuracy was not measured" in report
    assert "None" not in report
    assert (home.path / "reports/adopted/figures/loss.png").stat().st_size > 1000
    status, told, errors = harness(home, "adopt", "saves/tiny/lora/sft", "saves/tiny/qlora/sft")
    assert (status, told.count("adopted before, nothing has changed")) == (0, 2), errors


def test_the_command_that_measures_them_trains_the_same(home: Home) -> None:
    """Planned, not trained: each train.yaml has what the user's own has, but for where things are, and five seeds."""
    adoption = home.adopt(home.lora, home.qlora)
    (command,) = adoption.measuring.commands
    assert not adoption.measuring.to_give
    name, *overrides = shlex.split(command)
    assert name == "harness"
    status, _, errors = harness(home, *overrides, "seed=42,43", "dry_run=true")
    assert status == 0, errors
    planned = [yaml.safe_load(path.read_text()) for path in home.path.glob("outputs/adopted-measured/*/train.yaml")]
    assert sorted((each["seed"], each.get("quantization_bit", 0)) for each in planned) == [
        (42, 0),
        (42, 4),
        (43, 0),
        (43, 4),
    ]
    assert overrides[-1] == "seed=42,43,44,45,46"
    elsewhere = ("dataset_dir", "output_dir")
    for each in planned:
        assert {key: each.get(key) for key in ARGUMENTS if key not in elsewhere} == {
            key: value for key, value in ARGUMENTS.items() if key not in elsewhere
        }
        assert each.get("double_quantization") in (None, True)


def test_arms_that_differ_in_more_than_quantization_are_measured_by_a_command_each(home: Home) -> None:
    (home.path / "qlora.yaml").write_text(
        (home.path / "qlora.yaml").read_text().replace("cutoff_len: 64", "cutoff_len: 48")
    )
    commands = home.adopt(home.lora, home.qlora).measuring.commands
    assert [shlex.split(command)[4:6] for command in commands] == [
        ["arm=lora", "method=lora"],
        ["arm=qlora", "method=qlora"],
    ]
    assert ["training.cutoff_length=64" in commands[0], "training.cutoff_length=48" in commands[1]] == [True, True]


def test_mistakes_are_told_all_at_once(home: Home) -> None:
    (home.path / "empty").mkdir()
    status, told, errors = harness(home, "adopt", "empty", "gone", "x=saves/tiny/lora/sft", "--sweep", "s")
    assert (status, told) == (2, "")
    assert errors.count("error: ") == 2
    assert "gone: no such folder" in errors
    assert not (home.path / "outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        (["saves/tiny/lora/sft", "./saves/tiny/lora/sft"], "is given twice"),
        (["saves/tiny/lora/sft", "--sweep", "a/b"], "--sweep a/b"),
        (["a/b=saves/tiny/lora/sft"], "cannot name an arm by 'a/b'"),
        (["saves/tiny/lora/sft", "--train", "gone.yaml"], "gone.yaml"),
        (["saves/tiny/lora/sft", "--language", "xx"], "language xx"),
    ],
)
def test_a_mistake_in_the_command_is_told(
    home: Home, capsys: pytest.CaptureFixture[str], arguments: list[str], mistake: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        app(["adopt", *arguments])
    assert ended.value.code == 2
    assert mistake in capsys.readouterr().err
    assert not (home.path / "outputs").exists()


def test_an_arm_is_named_before_its_folder_which_may_have_an_equals_sign(home: Home) -> None:
    (home.path / "rank=8").mkdir()
    assert [arm_and_folder(text) for text in ("qlora=saves", "saves", "rank=8", "lora=rank=8")] == [
        ("qlora", Path("saves")),
        (None, Path("saves")),
        (None, Path("rank=8")),
        ("lora", Path("rank=8")),
    ]
