"""From run folders to one row a run, and which runs may be pooled."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

import harness
from harness.comparison.arms import arms_of
from harness.comparison.fairness import UnprovenQuantization, fairness, unproven_quantization
from harness.comparison.runs import load_sweep
from harness.runs.record import Outcome
from tests.builders import START, RunBuilder, questions, reply


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "made"


def test_one_row_a_run_with_units_in_the_names(folder: Path) -> None:
    RunBuilder(folder, "lora", 0, answers=questions(10, 1.0), base_accuracy=0.1).write()
    RunBuilder(folder, "qlora", 0, quantized=True, status=Outcome.FAILED, reason="made for tests").write()
    runs = harness.load_runs(folder).set_index("arm")
    assert runs.loc["lora", "accuracy"] == 1.0
    assert runs.loc["lora", "base_accuracy"] == 0.1
    assert runs.loc["lora", "peak_host_mib"] == pytest.approx(405.0)
    assert runs.loc["lora", "evaluate_peak_host_mib"] == pytest.approx(405.0 * 1.4)
    assert runs.loc["qlora", "status"] == "failed"
    assert runs.loc["qlora", "reason"] == "made for tests"
    # Not measured is nothing, never 0.
    assert runs["peak_device_mib"].isna().all()
    assert runs.loc[["qlora"], "accuracy"].isna().all()


def test_prompts_are_counted_and_the_merged_model_has_columns_of_its_own(folder: Path) -> None:
    RunBuilder(
        folder,
        "qlora",
        0,
        quantized=True,
        answers=questions(10, 1.0),
        merged_answers=questions(10, [True] * 6 + [False] * 4),
        merged_peak_mib=900.0,
        replies=[reply("a", "yes", "yes"), reply("b", "no", "yes"), reply("c", "?")],
        base_replies=[reply("a", "no", "yes"), reply("b", "no", "yes"), reply("c", "?")],
    ).write()
    RunBuilder(folder, "lora", 0, answers=questions(10, 1.0), replies=[reply("c", "?")]).write()
    runs = harness.load_runs(folder).set_index("arm")
    told = runs.loc["qlora"]
    assert (told["prompts_passed"], told["base_prompts_passed"], told["prompts_expected"]) == (1, 0, 2)
    assert (told["accuracy"], told["merged_accuracy"], told["merged_correct"]) == (1.0, 0.6, 6)
    # The adapter's own peak is another process's.
    assert told["merged_evaluate_peak_host_mib"] == 900.0
    assert told["evaluate_peak_host_mib"] == pytest.approx(405.0 * 1.4)
    nothing = ["prompts_passed", "merged_prompts_passed", "prompts_expected", "merged_accuracy"]
    assert runs.loc["lora", nothing].isna().all()


def test_runs_that_differ_in_prompts_and_targets_are_pooled(folder: Path) -> None:
    for seed in (0, 1):
        asked: dict[str, object] = {"targets": ["base", "merged"][:seed], "prompts": [{"prompt": str(seed)}]}
        RunBuilder(folder, "lora", seed, config={"evaluation": asked}).write()
    assert [arm.label for arm in arms_of(load_sweep(folder))] == ["lora"]


def test_every_column_is_documented(folder: Path) -> None:
    RunBuilder(folder, "lora", 0).write()
    documentation = harness.load_runs.__doc__ or ""
    quantities = ("device", "process", "allocator_reserved", "allocator_allocated", "host", "resident")
    for column in harness.load_runs(folder).columns:
        general = column
        for quantity in sorted(quantities, key=len, reverse=True):
            general = general.replace(quantity, "Q") if "_mib" in column or "sensor_" in column else general
        if column.startswith("phase_"):
            general = f"phase_P_{column.rpartition('_')[2]}"
        assert column in documentation or general in documentation, column


def test_device_memory_is_told_above_its_level_before_the_run(folder: Path) -> None:
    RunBuilder(folder, "lora", 0, device="cuda", peak_mib=1000).write()
    runs = harness.load_runs(folder)
    assert runs.loc[0, "peak_device_mib"] == 1500
    assert runs.loc[0, "peak_device_above_baseline_mib"] == 1000


def test_several_sweeps_are_read_from_the_folder_that_holds_them(folder: Path) -> None:
    RunBuilder(folder, "lora", 0).write()
    RunBuilder(folder.parent / "other", "lora", 1).write()
    assert len(harness.load_runs(folder.parent)) == 2


def test_no_folder_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="give the folder of a sweep"):
        harness.load_runs(tmp_path / "nowhere")


def test_runs_of_one_name_and_two_configurations_are_not_pooled(folder: Path) -> None:
    for rank in (8, 16):
        RunBuilder(folder, "lora", 0, config={"method": {"name": "lora", "rank": rank}}).write()
    assert [arm.label for arm in arms_of(load_sweep(folder))] == ["lora [method.rank=8]", "lora [method.rank=16]"]


def test_of_one_run_made_twice_the_newest_completed_counts_and_it_is_said(folder: Path) -> None:
    other = folder.parent / "again"
    RunBuilder(folder, "lora", 0, train_seconds=10).write()
    RunBuilder(other, "lora", 0, train_seconds=20, started_at=START + timedelta(days=1)).write()
    RunBuilder(other, "qlora", 0, identity="bbbbbbbb", status=Outcome.INTERRUPTED).write()
    sweep = load_sweep(folder, other)
    (run,) = [run for run in sweep.runs if run.label == "lora"]
    assert run.record.training is not None
    assert run.record.training.train_seconds == 20
    (superseded,) = sweep.superseded
    assert (superseded.folder.parent, superseded.by.parent, superseded.why) == (folder, other, "older")


def test_a_copy_of_a_run_is_called_one(folder: Path) -> None:
    run = RunBuilder(folder, "lora", 0).write()
    shutil.copytree(run, folder / "lora-seed0-aaaaaaaaaa")
    sweep = load_sweep(folder)
    assert (len(sweep.runs), [each.why for each in sweep.superseded]) == (1, ["copy"])


def test_a_damaged_record_is_reported_and_left_alone(folder: Path) -> None:
    RunBuilder(folder, "lora", 0).write()
    damaged = RunBuilder(folder, "qlora", 0).write() / "record.json"
    damaged.write_text("{")
    sweep = load_sweep(folder)
    assert len(sweep.runs) == 1
    assert str(damaged) in sweep.damaged[0]
    assert damaged.read_text() == "{"


def test_what_earlier_attempts_left_is_not_counted(folder: Path) -> None:
    RunBuilder(folder, "lora", 0).write()
    RunBuilder(folder / "earlier", "lora", 0).write()
    assert len(load_sweep(folder).runs) == 1


def test_another_batch_size_is_named_as_another_cause(folder: Path) -> None:
    RunBuilder(folder, "lora", 0).write()
    RunBuilder(
        folder, "qlora", 0, quantized=True, config={"training": {"batch_size": 2, "learning_rate": 1e-3}}
    ).write()
    lora, qlora = arms_of(load_sweep(folder))
    assert [(cause.key, cause.arm_values, cause.baseline_values) for cause in fairness(qlora, lora).causes] == [
        ("training.batch_size", ("2",), ("8",))
    ]


def test_an_arm_without_proof_of_its_quantization_is_called_out(folder: Path) -> None:
    RunBuilder(folder, "qlora", 0, quantized=True, quantized_modules=0).write()
    (qlora,) = arms_of(load_sweep(folder))
    assert unproven_quantization(qlora) == UnprovenQuantization("qlora", 4, (0,))
