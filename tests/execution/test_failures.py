"""What goes wrong is a result: recorded with its reason, shown in the report, and nothing is left behind."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file, save_file

from harness.cli.display import Display
from harness.execution.run import Shared, run
from harness.plan.planner import Planner
from harness.processes.child import Ended
from harness.runs.folder import RunFolder
from harness.runs.record import Outcome
from tests.conftest import FinishedSweep, Harness, call, command, environment
from tests.planning import spec_of
from tests.running import (
    SHORT,
    TINY,
    family,
    left_by_a_killed_harness,
    only_record,
    record_in,
    started,
    training_has_begun,
    wait_until,
)


def test_a_killed_child_is_a_failed_run_and_the_sweep_goes_on(tmp_path: Path, cache: Path) -> None:
    arguments = ("sweep", "quickstart", *SHORT, "method=lora", "seed=0,1", "training.max_steps=25", "retry.attempts=0")
    with started(tmp_path, cache, *arguments) as process:
        wait_until(training_has_begun(tmp_path))
        kill_training(process)
        _, errors = process.communicate(timeout=240)
    assert process.returncode == 1
    loaded = [record_in(file.parent) for file in tmp_path.glob("outputs/*/*/record.json")]
    records = {record.seed: record for record in loaded}
    assert records[0].status is Outcome.FAILED
    assert records[0].reason == "the process was killed by SIGKILL, not by the harness"
    assert records[0].log_tail
    assert max(peak.peak_mib for peak in records[0].memory) > 100
    assert records[1].status is Outcome.COMPLETED
    assert "killed by SIGKILL" in errors
    report = (tmp_path / "reports" / "quickstart" / "report.md").read_text()
    assert "killed by SIGKILL" in report


def kill_training(process: subprocess.Popen[str]) -> None:
    (child,) = [one for one in family(process) if one.name() == "train"]
    child.send_signal(signal.SIGKILL)


def test_a_run_that_something_killed_is_tried_again_and_the_first_attempt_is_kept(tmp_path: Path, cache: Path) -> None:
    with started(tmp_path, cache, "run", *SHORT, "training.max_steps=5") as process:
        wait_until(training_has_begun(tmp_path))
        kill_training(process)
        output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "lora-seed0: tried again, 1 of 2 times: the process was killed by SIGKILL" in output
    record = only_record(tmp_path)
    assert (record.status, record.attempt, record.transient) == (Outcome.COMPLETED, 2, False)
    (kept,) = (tmp_path / "outputs" / "single" / "earlier").iterdir()
    first = record_in(kept)
    assert (first.status, first.attempt, first.transient) == (Outcome.FAILED, 1, True)


def test_ctrl_c_records_the_run_and_leaves_no_process(tmp_path: Path, cache: Path) -> None:
    arguments = ("sweep", "quickstart", *SHORT, "seed=0", "training.max_steps=2000")
    with started(tmp_path, cache, *arguments) as process:
        wait_until(training_has_begun(tmp_path))
        children = family(process)
        assert children
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert only_record(tmp_path).status is Outcome.INTERRUPTED
    assert "Traceback" not in errors
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    # The same command takes up what was not completed, and keeps what was there.
    again = call(*arguments[:-1], "training.max_steps=2000", "dry_run=true", cwd=tmp_path, env=environment(cache))
    assert again.returncode == 0, again.stderr
    assert list(tmp_path.glob("outputs/quickstart/earlier/lora-seed0-*/record.json"))


def test_a_killed_parent_takes_its_child_along(tmp_path: Path, cache: Path) -> None:
    assert not left_by_a_killed_harness(tmp_path, cache, *SHORT)
    assert not list(tmp_path.glob("outputs/*/*/record.json"))
    assert list(tmp_path.glob("outputs/*/*/readings.jsonl"))


def test_out_of_memory_is_a_result(tmp_path: Path, cache: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (3 * 2**30, 3 * 2**30))

    done = subprocess.run(
        command("run", *SHORT, "training.batch_size=16384", "dataset.train_samples=16384", "training.max_steps=1"),
        cwd=tmp_path,
        env=environment(cache),
        capture_output=True,
        text=True,
        preexec_fn=limit,
        timeout=240,
    )
    found = only_record(tmp_path)
    assert done.returncode == 1
    assert found.status is Outcome.OUT_OF_MEMORY, found.reason
    assert "allocate" in (found.reason or "")
    assert "Traceback" not in done.stdout


def test_a_quantized_arm_that_was_not_quantized_is_no_result(tmp_path: Path, harness: Harness) -> None:
    """LLaMA-Factory ignores quantization_bit, with a warning, on a checkpoint that says it is quantized already."""
    model = tmp_path / "model"
    shutil.copytree(TINY, model)
    config = json.loads((model / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": False}
    (model / "config.json").write_text(json.dumps(config))
    done = harness("run", *SHORT, "method=qlora", f"model.path={model}", "training.max_steps=3")
    found = only_record(tmp_path)
    assert done.returncode == 1
    assert found.status is Outcome.FAILED
    assert "quantization=nf4 was not applied" in (found.reason or ""), found.reason


def test_an_adapter_that_is_not_what_was_trained_is_a_failed_run_without_a_score(
    sweep: FinishedSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The training is that of the shared sweep, whose adapter is damaged before it is scored; the rest is real."""
    limit = ("evaluation=arithmetic", "evaluation.limit=1", "tracking=disabled")
    spec = spec_of("method=qlora", "device=cpu", *limit, f"output={tmp_path}")
    trained = RunFolder(sweep.run("qlora"))

    def train(*_: object) -> Ended:
        shutil.copytree(trained.adapter, spec.folder.adapter)
        shutil.copy(trained.check, spec.folder.check)
        file = spec.folder.adapter / "adapter_model.safetensors"
        weights = load_file(file)
        save_file({name: np.zeros_like(weight) for name, weight in weights.items()}, file, {"format": "pt"})
        return Ended(Outcome.COMPLETED, None, 1.0, [])

    monkeypatch.setattr("harness.execution.run._train", train)
    record = run(spec, Shared(Display(1), Planner(tmp_path)))
    assert record is not None
    assert record.status is Outcome.FAILED
    checked = record.adapter_check
    assert checked is not None
    why = record.reason or ""
    assert why.startswith("evaluation: AdapterMismatchError: what was loaded to be scored is not what was trained")
    assert f"{checked.loaded_loss:.3f}" in why
    assert f"{checked.trained_loss:.3f}" in why
    assert record.score is None
    assert not spec.folder.evaluation.score.exists()
    assert "is not what was trained" in capsys.readouterr().err


def test_a_damaged_record_is_reported_and_kept(tmp_path: Path, harness: Harness) -> None:
    planned = harness("run", *SHORT, "training.max_steps=1", "dry_run=true")
    assert planned.returncode == 0, planned.stderr
    (folder,) = [path.parent for path in tmp_path.glob("outputs/*/*/train.yaml")]
    (folder / "record.json").write_text('{"status": "comp')
    again = harness("run", *SHORT, "training.max_steps=1", "dry_run=true")
    assert "damaged record" in again.stderr
    kept = list(tmp_path.glob("outputs/single/earlier/*/record.json"))
    assert [file.read_text() for file in kept] == ['{"status": "comp']


def test_mistakes_start_nothing_and_end_with_2(tmp_path: Path, harness: Harness) -> None:
    done = harness("sweep", "quickstart", "method.rank=-1", "trainin.epochs=2")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: trainin.epochs: no such key; did you mean training.epochs?",
        "error: method.rank=-1: must be greater than 0",
    ]
    assert not list(tmp_path.iterdir())


def test_a_tracker_that_cannot_work_costs_no_run(tmp_path: Path, harness: Harness) -> None:
    """SwanLab's cloud cannot be reached from here; the run completes all the same and says so."""
    options = [option for option in SHORT if not option.startswith("tracking")]
    done = harness("run", *options, "tracking=cloud", "training.max_steps=2", "dataset.train_samples=64")
    assert done.returncode == 0, done.stderr
    found = only_record(tmp_path)
    assert found.status is Outcome.COMPLETED
    assert found.tracking is not None
    assert found.tracking.problem
    assert found.tracking.diagnosis is not None
    assert f"warning: lora-seed0: {found.tracking.problem}\n  cause: {found.tracking.diagnosis.cause}\n" in done.stderr
