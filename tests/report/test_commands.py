"""The command that goes on with a sweep, from what its runs recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.comparison.runs import Run, load_sweep
from harness.comparison.settings import settings_of
from harness.report.commands import sweep_command
from harness.runs.folder import RunFolder
from harness.runs.record import Adopted
from tests.builders import RunBuilder


def runs(*commands: str, sweep: str = "made") -> list[Run]:
    made = []
    for seed, command in enumerate(commands):
        folder = Path("outputs") / sweep
        record = RunBuilder(folder, "lora", seed).record().model_copy(update={"command": command})
        made.append(Run(RunFolder(folder / f"run{seed}"), record, "lora", settings_of(record)))
    return made


def quickstart(method: str, seed: int, more: str = "") -> str:
    return f"harness run sweeps=quickstart method={method} seed={seed} {more}".strip()


def test_more_seeds_keep_the_sweeps_file_its_axes_and_what_all_runs_share() -> None:
    more = "training.epochs=2 'evaluation.prompts=[{prompt: who}]'"
    made = runs(*(quickstart(method, 0, more) for method in ("lora", "qlora")), sweep="quickstart")
    assert sweep_command(made, [0, 1]) == (
        "harness sweep quickstart training.epochs=2 'evaluation.prompts=[{prompt: who}]' method=lora,qlora seed=0,1"
    )


def test_again_is_under_another_name() -> None:
    made = runs(quickstart("lora", 0, "sweep=mine"), quickstart("qlora", 0, "sweep=mine"), sweep="mine")
    assert sweep_command(made, [0], again=True) == "harness sweep quickstart method=lora,qlora sweep=mine-again seed=0"


def test_a_name_of_its_own_is_kept_and_what_is_given_anew_is_not_there_twice() -> None:
    made = runs(quickstart("lora", 0, "sweep=mine evaluation.limit=20"), sweep="mine")
    assert sweep_command(made, [0, 1], more=["evaluation.limit=null"]) == (
        "harness sweep quickstart method=lora sweep=mine seed=0,1 evaluation.limit=null"
    )


def test_arms_that_are_no_product_are_left_to_the_sweeps_file() -> None:
    made = runs(
        quickstart("lora", 0, "method.rank=8"),
        quickstart("qlora", 0, "method.rank=8"),
        quickstart("qlora", 0, "method.rank=16"),
        sweep="quickstart",
    )
    assert sweep_command(made, [0]) == "harness sweep quickstart seed=0"


def test_runs_of_several_sweeps_or_of_none_have_no_command() -> None:
    made = [*runs(quickstart("lora", 0)), *runs(quickstart("qlora", 0), sweep="other")]
    assert sweep_command(made, [0]) is None
    (one,) = runs(quickstart("lora", 0))
    adopted = one.record.model_copy(update={"adopted": Adopted(folder="saves", told={}, unknown=[])})
    assert sweep_command([Run(one.folder, adopted, "lora", one.settings)], [0]) is None


@pytest.mark.parametrize("command", ["", "harness run 'torn", "llamafactory-cli train train.yaml"])
def test_a_command_that_tells_nothing_names_the_sweep_alone(command: str) -> None:
    assert sweep_command(runs(command), [0, 1]) == "harness sweep made seed=0,1"


def test_the_old_runs_have_one(tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "old_runs" / "sweeps" / "old"
    found = load_sweep(old).runs
    command = sweep_command(found, [0, 1, 2])
    assert command is not None
    assert command.startswith("harness sweep quickstart ")
    assert command.endswith(" sweep=old seed=0,1,2")
