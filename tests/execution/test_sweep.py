"""A real sweep from the command line to the report: both arms trained, scored, tracked and compared."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import harness
from harness.devices.reading import Quantity
from harness.plan.spec import read_spec
from harness.report.render import render
from harness.runs import looks
from harness.runs.events import Phase, PhaseStarted, TrainingLoss, ValidationLoss, read
from harness.runs.folder import RunFolder, SweepFolder
from harness.runs.measurements import read_readings
from harness.runs.record import Answer, Outcome, Record
from tests.conftest import SECRET, FinishedSweep, call, command, environment
from tests.planning import spec_of
from tests.running import record_in


@pytest.fixture(scope="module")
def lora(sweep: FinishedSweep) -> Record:
    return record_in(sweep.run("lora"))


@pytest.fixture(scope="module")
def qlora(sweep: FinishedSweep) -> Record:
    return record_in(sweep.run("qlora"))


def test_a_sweep_completes_both_arms(sweep: FinishedSweep, lora: Record, qlora: Record) -> None:
    assert sweep.output.returncode == 0, sweep.output.stderr
    assert (lora.status, qlora.status) == (Outcome.COMPLETED, Outcome.COMPLETED)


def test_a_sweep_says_first_what_it_compares_and_its_runs_know_their_place(
    sweep: FinishedSweep, lora: Record, qlora: Record
) -> None:
    lines = sweep.output.stdout.splitlines()
    assert lines[0] == "quickstart: 2 arms (lora, qlora), 1 seed (0), 2 runs"
    assert "allows no verdict on the methods, which takes 5 seeds: seed=0,1,2,3,4" in lines[2]
    first, second = sorted((lora, qlora), key=lambda record: record.started_at)
    assert (first.position, second.position) == (1, 2)
    (look,) = looks.read(SweepFolder(sweep.folder))
    assert look.completed == sorted(sweep.run(arm).name for arm in ("lora", "qlora"))


def test_quantization_is_proved_and_only_where_it_was_asked_for(lora: Record, qlora: Record) -> None:
    assert lora.evidence is not None
    assert qlora.evidence is not None
    assert lora.evidence.quantized_modules == 0
    assert "nf4" not in lora.evidence.weight_bytes_by_dtype
    # Every linear layer but the output head.
    assert qlora.evidence.quantized_modules == qlora.evidence.linear_modules - 1
    assert lora.evidence.linear_modules == qlora.evidence.linear_modules
    assert lora.evidence.total_parameters == qlora.evidence.total_parameters
    assert sum(qlora.evidence.weight_bytes_by_dtype.values()) < sum(lora.evidence.weight_bytes_by_dtype.values())


def test_both_arms_train_the_same_parameters_on_the_same_tokens(lora: Record, qlora: Record) -> None:
    assert lora.evidence is not None
    assert qlora.evidence is not None
    assert lora.training is not None
    assert qlora.training is not None
    assert lora.evidence.trainable_parameters == qlora.evidence.trainable_parameters > 0
    assert (lora.training.steps, lora.training.tokens) == (qlora.training.steps, qlora.training.tokens)


def test_memory_is_kept_by_phase_with_its_sensor(lora: Record) -> None:
    by_phase = {(peak.phase, peak.quantity): peak for peak in lora.memory}
    for phase in (Phase.LOAD, Phase.TRAIN, Phase.EVALUATE):
        assert by_phase[phase, Quantity.HOST].peak_mib > 100
        assert by_phase[phase, Quantity.HOST].sensor == "psutil"
    assert by_phase[Phase.TRAIN, Quantity.RESIDENT].peak_mib > 100
    # A CPU has no allocator of torch's, so nothing is claimed of one.
    assert not [peak for peak in lora.memory if peak.quantity is Quantity.ALLOCATOR_RESERVED]


def test_the_validation_loss_is_taken_during_training_and_falls(sweep: FinishedSweep) -> None:
    events = read(sweep.run("lora") / "events.jsonl")
    losses = [event for event in events if isinstance(event, ValidationLoss)]
    assert [event.step for event in losses] == [20, 40]
    assert losses[-1].loss < losses[0].loss
    assert [event.step for event in events if isinstance(event, TrainingLoss)] == [10, 20, 30, 40]
    assert Phase.VALIDATE in [event.phase for event in events if isinstance(event, PhaseStarted)]


def test_readings_were_taken_before_the_child_and_while_it_ran(sweep: FinishedSweep) -> None:
    readings = read_readings(sweep.run("qlora") / "readings.jsonl")
    assert readings[0].process_mib is None
    assert max(reading.process_mib or 0 for reading in readings) > 100


def test_every_question_has_its_answer_and_arms_can_be_paired(sweep: FinishedSweep, lora: Record) -> None:
    answers = {
        arm: [
            Answer.model_validate_json(line)
            for line in (sweep.run(arm) / "evaluation" / "answers.jsonl").read_text().splitlines()
        ]
        for arm in ("lora", "qlora")
    }
    assert [answer.index for answer in answers["lora"]] == list(range(40))
    assert [answer.question for answer in answers["lora"]] == [answer.question for answer in answers["qlora"]]
    assert lora.score is not None
    assert lora.score.correct == sum(answer.correct for answer in answers["lora"])
    assert lora.score.questions == 40


def test_the_base_is_scored_once_for_the_sweep(sweep: FinishedSweep, lora: Record, qlora: Record) -> None:
    assert len(list(sweep.folder.glob("base-*"))) == 1
    assert lora.base_score is not None
    assert lora.base_score == qlora.base_score
    assert lora.base_score.accuracy <= 0.1


def test_prompts_are_put_to_base_and_adapters(sweep: FinishedSweep, lora: Record, qlora: Record) -> None:
    for found in (lora, qlora):
        assert [reply.prompt for reply in found.replies] == ["What is 2 + 3?", "你是谁"]
        assert [reply.passed for reply in found.replies] == [True, None]
        assert [reply.passed for reply in found.base_replies] == [False, None]
    assert "right, prompts: 1 of 1 passed" in sweep.output.stdout
    assert "the base before training: 0 of 40 right, prompts: 0 of 1 passed" in sweep.output.stdout


def test_a_completed_run_is_scored_merged_without_training_again(
    sweep: FinishedSweep, qlora: Record, cache: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(sweep.home, home)
    (run,) = (home / "outputs" / "quickstart").glob("qlora-seed0-*")
    trained = {file: file.stat().st_mtime_ns for file in (run / "adapter").iterdir()}
    done = call(
        *sweep.arguments, "method=qlora", "evaluation.targets=[base,adapter,merged]", cwd=home, env=environment(cache)
    )
    assert done.returncode == 0, done.stderr
    assert {file: file.stat().st_mtime_ns for file in (run / "adapter").iterdir()} == trained
    found = record_in(run)
    assert found.merged_score is not None, found.unscored
    assert (found.score, found.training, found.memory) == (qlora.score, qlora.training, qlora.memory)
    assert found.merged_score.questions == 40
    assert [reply.passed for reply in found.merged_replies] == [True, None]
    # The merged model is a whole one of its own: no adapter, and nothing quantized.
    job = json.loads((run / "evaluation-merged" / "job.json").read_text())["model_arguments"]
    assert job["model_name_or_path"] == str(run / "merged")
    assert not {"adapter_name_or_path", "quantization_bit"} & set(job)
    peaks = {peak.quantity: peak.peak_mib for peak in found.merged_memory if peak.phase is Phase.EVALUATE}
    assert peaks[Quantity.HOST] > 100
    report = render([run.parent], tmp_path / "report").path.read_text()
    assert "| Prompt | Expected | base | lora, seed 0 | qlora, seed 0 | qlora merged, seed 0 |" in report
    (asked,) = [line for line in report.splitlines() if line.startswith("| What is 2 + 3? |")]
    assert [cell.split("**")[1] for cell in asked.split(" | ")[2:]] == ["fail", "pass", "pass", "pass"]
    assert "## What merging costs" in report
    assert "| Accuracy merged into the unquantized base (%) | lora | - | - | - |" in report


def test_train_yaml_repeats_the_training_without_the_harness(sweep: FinishedSweep, tmp_path: Path) -> None:
    """The same seed and arguments give the same loss, to the last digit that is logged."""
    arguments = yaml.safe_load((sweep.run("lora") / "train.yaml").read_text())
    short = tmp_path / "train.yaml"
    short.write_text(yaml.safe_dump(arguments | {"output_dir": str(tmp_path / "adapter"), "logging_steps": 10}))
    plain = subprocess.run(
        [command()[0], "-m", "harness.workers.compat", "train", str(short)],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert plain.returncode == 0, plain.stderr[-2000:]
    state = json.loads((tmp_path / "adapter" / "trainer_state.json").read_text())
    plain_losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    events = read(sweep.run("lora") / "events.jsonl")
    assert plain_losses == [event.loss for event in events if isinstance(event, TrainingLoss)]


def test_load_runs_gives_one_row_a_run(sweep: FinishedSweep) -> None:
    runs = harness.load_runs(sweep.folder)
    assert sorted(runs["arm"]) == ["lora", "qlora"]
    assert list(runs["status"]) == ["completed", "completed"]
    assert runs["accuracy"].between(0, 1).all()
    assert (runs["peak_host_mib"] > 100).all()
    assert runs["peak_allocator_reserved_mib"].isna().all()


def test_the_report_has_verdict_arms_and_figures(sweep: FinishedSweep) -> None:
    report = (sweep.report / "report.md").read_text()
    record = record_in(sweep.run("qlora"))
    assert record.evidence is not None
    assert f"| qlora | {record.evidence.quantized_modules} of {record.evidence.linear_modules} |" in report
    assert f"{record.environment.device} x 1" in report
    figures = [path for path in (sweep.report / "figures").glob("*.png") if not path.stem.endswith("-dark")]
    assert len(figures) >= 3
    for figure in figures:
        assert f"figures/{figure.name}" in report
    table = (sweep.report / "runs.csv").read_text()
    assert table.count("\n") == 3
    # What is passed on names no user's home.
    assert str(sweep.home) not in table + report
    assert "data:image/png;base64" in (sweep.report / "report.html").read_text()
    assert "report:" in sweep.output.stdout


def test_swanlab_has_an_experiment_for_each_run(sweep: FinishedSweep, lora: Record) -> None:
    assert len(list((sweep.folder / "swanlog").glob("run-*/*.swanlab"))) == 2
    assert lora.tracking is not None
    assert lora.tracking.problem is None


def test_no_secret_stands_in_any_file(sweep: FinishedSweep) -> None:
    for file in sweep.home.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file


def test_started_again_a_sweep_trains_nothing(sweep: FinishedSweep, cache: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in sweep.folder.rglob("record.json")}
    again = call(*sweep.arguments, cwd=sweep.home, env=environment(cache))
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("completed before") == 2
    assert {file: file.stat().st_mtime_ns for file in sweep.folder.rglob("record.json")} == before


def test_a_report_is_rendered_again_from_the_records_alone(sweep: FinishedSweep, cache: Path, tmp_path: Path) -> None:
    """Without the data, the weights, the events and the device: with what was measured over time goes its figure."""
    home = tmp_path / "quickstart"
    for arm in ("lora", "qlora"):
        (home / sweep.run(arm).name).mkdir(parents=True)
        shutil.copy(sweep.run(arm) / "record.json", home / sweep.run(arm).name)
        shutil.copytree(sweep.run(arm) / "evaluation", home / sweep.run(arm).name / "evaluation")
    done = call("report", str(home), "--output", str(tmp_path / "again"), cwd=tmp_path, env=environment(cache))
    assert done.returncode == 0, done.stderr
    first, again = ((folder / "report.md").read_text() for folder in (sweep.report, tmp_path / "again"))
    figures = "## Figures"
    assert again.partition(figures)[0] == first.partition(figures)[0]


def test_a_run_can_be_repeated_by_its_own_command_and_by_its_spec(
    sweep: FinishedSweep, lora: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sweep.home)
    assert lora.command.startswith("harness run ")
    assert spec_of(*shlex.split(lora.command)[2:]).identity == lora.identity
    spec = read_spec(RunFolder(sweep.run("lora")).spec)
    assert (spec.identity, spec.folder.path) == (lora.identity, sweep.run("lora"))
    assert lora.identity_parts == spec.parts


def test_every_file_of_a_run_is_in_its_owners_list(sweep: FinishedSweep) -> None:
    for arm in ("lora", "qlora"):
        folder = RunFolder(sweep.run(arm))
        named = {folder.config, folder.train, folder.command, folder.spec, folder.events, folder.readings}
        named |= {folder.record, folder.dataset, folder.adapter, folder.evaluation.path, folder.logs}
        named |= {folder.job("train").parent, folder.check, folder.holder}
        assert set(folder.path.iterdir()) == named
        answers = folder.evaluation
        named = {answers.answers, answers.score, answers.replies, answers.job, answers.evalscope}
        assert set(answers.path.iterdir()) == named
        assert {file.name for file in folder.logs.iterdir()} == {
            folder.log(name).name for name in ("training", "evaluation", "tracking")
        }
    files = {path.name for path in sweep.folder.iterdir() if path.is_file() and not path.name.endswith(".lock")}
    assert files == {"multirun.yaml", SweepFolder.looks.name, SweepFolder.plan.name}  # The first is Hydra's own.
