"""What a training logged, whatever became of it."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.adoption import log
from harness.devices.reading import Quantity
from tests.adoption.conftest import Home


def logged(folder: Path, *lines: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / log.LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def line(step: int, loss: float, elapsed: str = "0:00:01", **more: Any) -> dict[str, Any]:
    return {"current_steps": step, "total_steps": 16, "loss": loss, "lr": 1e-4, "elapsed_time": elapsed} | more


def test_a_finished_training_tells_its_losses_and_how_long_it_took(trained: Home) -> None:
    state = json.loads((trained.lora / "trainer_state.json").read_text())
    results = json.loads((trained.lora / "all_results.json").read_text())
    found = log.read(trained.lora)
    assert found is not None
    assert found.reached_its_end
    history = [entry for entry in state["log_history"] if "loss" in entry]
    assert [(each.step, each.loss, each.gradient_norm) for each in found.losses] == [
        (entry["step"], entry["loss"], entry["grad_norm"]) for entry in history
    ]
    assert [each.step for each in found.validation] == [3, 6]
    assert (found.step, found.total_steps, found.unread_lines, found.outdated) == (6, 6, 0, False)
    assert found.loop_seconds == results["train_runtime"]
    assert found.final_validation_loss == results["eval_loss"]
    runtimes = [entry["eval_runtime"] for entry in state["log_history"] if "eval_runtime" in entry]
    assert found.validation_seconds == pytest.approx(sum(runtimes))
    assert len(runtimes) == 2


def test_the_two_logs_tell_the_same_losses(trained: Home, tmp_path: Path) -> None:
    shutil.copy(trained.lora / log.LOG, tmp_path)
    alone, both = log.read(tmp_path), log.read(trained.lora)
    assert alone is not None
    assert both is not None
    assert [(each.step, each.loss) for each in alone.losses] == [(each.step, each.loss) for each in both.losses]
    assert [(each.step, each.loss) for each in alone.validation] == [(each.step, each.loss) for each in both.validation]
    assert (alone.loop_seconds, alone.validation_seconds, alone.reached_its_end) == (None, None, False)


def test_a_training_that_was_killed_keeps_what_it_logged(tmp_path: Path) -> None:
    logged(tmp_path, line(2, 3.0), line(4, 2.0, "1 day, 2:00:03"))
    with (tmp_path / log.LOG).open("a") as file:
        file.write('{"current_steps": 6, "tot')
    found = log.read(tmp_path)
    assert found is not None
    assert [each.loss for each in found.losses] == [3.0, 2.0]
    assert (found.step, found.total_steps, found.unread_lines) == (4, 16, 1)
    assert found.elapsed_seconds == 26 * 3600 + 3
    assert not found.reached_its_end


def test_what_a_resumed_training_did_again_counts_once(tmp_path: Path) -> None:
    lines = [line(2, 3.0), line(4, 2.5), line(6, 2.4), line(4, 2.6), line(6, 2.2), line(8, 2.0)]
    found = log.read(logged(tmp_path, *lines))
    assert found is not None
    assert [(each.step, each.loss) for each in found.losses] == [(2, 3.0), (4, 2.6), (6, 2.2), (8, 2.0)]


def test_results_of_an_earlier_training_in_the_folder_are_not_those_of_the_last(home: Home) -> None:
    lines = [json.loads(text) for text in (home.lora / log.LOG).read_text().splitlines()]
    for entry in lines:
        entry["loss"] = entry.get("loss", 0) + 0.5
    found = log.read(logged(home.lora, *lines[:3]))
    assert found is not None
    assert found.outdated
    assert (found.loop_seconds, found.final_validation_loss, found.reached_its_end) == (None, None, False)
    assert [each.step for each in found.losses] == [1, 2, 3]


@pytest.mark.parametrize("stopped_itself", [True, False])
def test_a_training_that_ends_early_is_finished_if_it_was_told_to_stop_early(home: Home, stopped_itself: bool) -> None:
    state = json.loads((home.lora / log.STATE).read_text()) | {"max_steps": 99}
    if stopped_itself:
        state["stateful_callbacks"]["EarlyStoppingCallback"] = {"args": {"early_stopping_patience": 1}}
    (home.lora / log.STATE).write_text(json.dumps(state))
    text = (home.lora / log.LOG).read_text()
    (home.lora / log.LOG).write_text(text.replace('"total_steps": 6', '"total_steps": 99'))
    found = log.read(home.lora)
    assert found is not None
    assert not found.outdated
    assert found.reached_its_end is stopped_itself


def test_lines_and_files_nested_deeper_than_python_reads_are_named(tmp_path: Path) -> None:
    (tmp_path / "all_results.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"all_results\.json: cannot be read: is nested too deep"):
        log.of_file(tmp_path / "all_results.json", log.Theirs)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (log.STATE, "{log_history: null}", "log_history: Input should be a valid list"),
        (log.STATE, "{log_history: [{step: [], loss: 1, learning_rate: 1}]}", "log_history.0.step: "),
        (log.STATE, "{log_history: [{step: '2', loss: 1, learning_rate: 1}]}", "log_history.0.step: "),
        (log.STATE, "{log_history: [{step: 2, loss: 1}]}", "log_history.0: Value error, it has a loss, and no "),
        (log.STATE, "{log_history: [{step: 2, eval_a_runtime: null}]}", "log_history.0.eval_runtimes.0: "),
        (log.STATE, "{stateful_callbacks: true}", "stateful_callbacks: "),
        (log.STATE, "{global_step: '2'}", "global_step: "),
        (log.STATE, f"{{global_step: {10**400}}}", "global_step: "),
        (log.STATE, "{max_steps: [2]}", "max_steps: "),
        ("all_results.json", "{train_runtime: '1.5'}", "train_runtime: "),
        ("all_results.json", "{train_runtime: .inf}", "train_runtime: "),
        ("all_results.json", "{train_runtime: .nan}", "train_runtime: "),
        ("all_results.json", "{train_runtime: 1.0e+30}", "train_runtime: "),
        ("all_results.json", '{a: ["\\ud83d"]}', "it holds half a character"),
        ("train_results.json", "{eval_loss: x}", "eval_loss: "),
        ("all_results.json", "[1]", "the file: "),
    ],
)
def test_a_value_of_another_type_is_a_damage_that_is_named(name: str, content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps(yaml.safe_load(content)))
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / name}: cannot be read: {told}")):
        log.read(tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path.name)])
def test_what_is_no_file_is_told_and_not_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / log.STATE)
    with pytest.raises(ValueError, match=r"trainer_state\.json: cannot be read: (Is no file|Too many levels)"):
        log.read(tmp_path)


@pytest.mark.parametrize(
    "odd", [{"vram_allocated": None}, {"lr": None}, {"loss": "x"}, {"elapsed_time": 3}, {"current_steps": 1e400}]
)
def test_a_line_with_a_value_of_another_type_costs_itself_alone(odd: dict[str, Any], tmp_path: Path) -> None:
    found = log.read(logged(tmp_path, line(2, 3.0), line(4, 2.5) | odd, line(6, 2.0)))
    assert found is not None
    assert ([each.step for each in found.losses], found.unread_lines) == ([2, 6], 1)


def test_a_loss_that_is_not_a_number_is_one(tmp_path: Path) -> None:
    state = {"log_history": [{"step": 2, "loss": math.nan, "learning_rate": 1e-4}], "max_steps": 16, "global_step": 2}
    (tmp_path / log.STATE).write_text(json.dumps(state))
    found = log.read(logged(tmp_path, line(2, math.nan)))
    assert found is not None
    assert not found.outdated
    assert math.isnan(found.losses[0].loss)


def test_memory_is_known_where_it_was_asked_for(tmp_path: Path) -> None:
    """RECORD_VRAM=1, and then in GiB to the hundredth."""
    lines = [
        line(2, 3.0, vram_allocated=1.5, vram_reserved=2.25),
        line(4, 2.0, vram_allocated=1.25, vram_reserved=-0.0),
    ]
    found = log.read(logged(tmp_path, *lines))
    assert found is not None
    assert {peak.quantity: peak.peak_mib for peak in found.peaks} == {
        Quantity.ALLOCATOR_ALLOCATED: 1536,
        Quantity.ALLOCATOR_RESERVED: 2304,
    }


def test_how_long_several_validations_took_is_known_for_all_or_not_at_all(tmp_path: Path) -> None:
    entries: list[dict[str, Any]] = [
        {"step": 2, "eval_first_loss": 1.0, "eval_first_runtime": 0.5},
        {"step": 2, "eval_second_loss": 1.0, "eval_second_runtime": 0.25},
    ]
    (tmp_path / log.STATE).write_text(json.dumps({"log_history": entries}))
    found = log.read(tmp_path)
    assert found is not None
    assert found.validation_seconds == 0.75
    del entries[0]["eval_first_runtime"]
    (tmp_path / log.STATE).write_text(json.dumps({"log_history": entries}))
    found = log.read(tmp_path)
    assert found is not None
    assert found.validation_seconds is None
