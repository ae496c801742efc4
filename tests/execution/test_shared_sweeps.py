"""A sweep that others share or disturb: harnesses, threads, launchers, files that change, plans cut short."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.cli.display import make_display
from harness.devices.device import DeviceError
from harness.execution import hydra_app
from harness.execution import run as story
from harness.execution.build_record import Progress, build_record
from harness.execution.run import Shared, run
from harness.execution.sweep import Sweep
from harness.plan import device as devices
from harness.plan.planner import Planner
from harness.plan.spec import read_spec
from harness.runs import store
from harness.runs.events import TrainingStarted, read
from harness.runs.folder import RunFolder, SweepFolder
from harness.runs.record import Outcome, Record
from tests.conftest import Harness, call, environment
from tests.planning import spec_of, specs_of
from tests.running import SHORT, TINY, only_record, record_in, started, training_has_begun, wait_until

BRIEF = (*SHORT, "device=cpu", "training.max_steps=2", "dataset.train_samples=64")


def rows(file: Path, answer: str = "yes") -> Path:
    file.write_text(json.dumps([{"instruction": f"{n}?", "input": "", "output": answer} for n in range(64)]))
    return file


def test_two_harnesses_on_one_run_train_it_once(tmp_path: Path, cache: Path) -> None:
    arguments = ("run", *BRIEF)
    with started(tmp_path, cache, *arguments) as first, started(tmp_path, cache, *arguments) as second:
        outputs = [process.communicate(timeout=240) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    (waited,) = [output for output, _ in outputs if "another process is at it; waiting" in output]
    assert "completed before" in waited
    (file,) = tmp_path.glob("outputs/*/*/events.jsonl")
    assert len([event for event in read(file) if isinstance(event, TrainingStarted)]) == 1


def test_a_parallel_launcher_runs_the_specs_that_were_made_once_and_every_sweep_is_reported(
    tmp_path: Path, harness: Harness
) -> None:
    parallel = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "sweep=first,second")
    done = harness("run", "--multirun", *parallel, *BRIEF)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("first", "second"):
        (folder,) = SweepFolder(tmp_path / "outputs" / name).runs()
        record = record_in(folder.path)
        assert record.status is Outcome.COMPLETED
        assert (read_spec(folder.spec).parts, "hydra" in record.command) == (record.identity_parts, False)
        table = (tmp_path / "reports" / name / "runs.csv").read_text()
        assert table.count(f"outputs/{name}/lora-seed0-") == 1
        assert table.count("\n") == 2


IN_A_THREAD = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from harness.cli.display import make_display
from harness.execution.run import Shared, run
from harness.plan.planner import Planner
from tests.planning import spec_of

spec = spec_of(*sys.argv[1:])
with ThreadPoolExecutor(1) as pool:
    record = pool.submit(run, spec, Shared(make_display(1), Planner(Path.cwd()))).result()
sys.exit(record.status != "completed")
"""


def test_a_run_lives_in_a_thread_and_in_a_container_where_the_harness_is_process_1(tmp_path: Path, cache: Path) -> None:
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True).returncode:
        alone = []  # The thread alone, where the machine allows no process namespace of one's own.
    program = [sys.executable, "-c", IN_A_THREAD, *BRIEF]
    done = subprocess.run([*alone, *program], cwd=tmp_path, env=environment(cache), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert only_record(tmp_path).status is Outcome.COMPLETED


def test_a_launcher_takes_the_specs_along_and_a_report_needs_neither_the_device_nor_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    specs = specs_of("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1", *BRIEF)
    assert [list(spec.overrides) for spec in specs] == [[f"seed={seed}", *BRIEF] for seed in (0, 1)]
    sweep = pickle.loads(pickle.dumps(Sweep(specs, make_display)))
    assert sweep.specs == specs

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this was planned before")

    for module, name in ((devices, "choose"), (Planner, "spec"), (Planner, "rows")):
        monkeypatch.setattr(module, name, refuse)
    for spec in specs:
        assert sweep.spec_of(list(spec.overrides)) == spec
        spec.folder.path.mkdir(parents=True)
        store.write(spec.folder, build_record(spec, Progress()))
    assert sweep.report() is True
    assert (tmp_path / "reports" / "single" / "report.md").is_file()


def test_files_that_change_in_the_midst_of_a_sweep_cost_no_report(tmp_path: Path, cache: Path) -> None:
    """Rows are read once, so that all runs have the same; a model that is another by then is no longer trained."""
    model, file = tmp_path / "model", rows(tmp_path / "rows.json")
    shutil.copytree(TINY, model)
    given = ("dataset=local", f"dataset.path={file}", f"model.path={model}", "seed=0,1", "sweep=changing")
    with started(
        tmp_path, cache, "run", "--multirun", *SHORT, "device=cpu", "training.max_steps=25", *given
    ) as process:
        wait_until(training_has_begun(tmp_path))
        rows(file, "no").write_text("[")
        weights = bytearray((model / "model.safetensors").read_bytes())
        weights[-1] ^= 1
        # Whoever trains on the old ones has them mapped.
        (model / "new").write_bytes(weights)
        (model / "new").rename(model / "model.safetensors")
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 1, errors
    records = [record_in(folder.path) for folder in SweepFolder(tmp_path / "outputs" / "changing").runs()]
    assert [record.status for record in records] == [Outcome.COMPLETED, Outcome.FAILED]
    assert records[1].reason == f"model.path={model}: holds another model than when the run was planned"
    report = (tmp_path / "reports" / "changing" / "report.md").read_text()
    assert "holds another model than when the run was planned" in report
    assert "Traceback" not in output + errors


def test_a_run_by_its_spec_refuses_rows_and_a_device_that_are_not_those_it_was_planned_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = rows(tmp_path / "rows.json")
    spec = spec_of(*BRIEF, "dataset=local", f"dataset.path={file}")
    rows(file, "no")
    record = run(spec, Shared(make_display(1), Planner(tmp_path)))
    assert record is not None
    assert record.status is Outcome.FAILED
    assert record.reason == f"dataset.path={file}: holds other rows than when the run was planned"
    other = spec.model_copy(update={"device": spec.device.model_copy(update={"product": "a better processor"})})
    record = run(other, Shared(make_display(1), Planner(tmp_path)))
    assert record is not None
    assert (record.reason or "").startswith("device: the run was planned for a better processor x 1, and")
    assert record_in(spec.folder.path) == record


@pytest.mark.parametrize("fault", [ZeroDivisionError("nobody foresaw this"), DeviceError("the driver is gone")])
def test_a_fault_of_any_kind_leaves_a_record_and_the_next_attempt_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = spec_of(*BRIEF)

    def break_down(*_: object) -> None:
        raise fault

    monkeypatch.setattr(devices, "choose", break_down)
    records: list[Record | None] = [run(spec, Shared(make_display(1), Planner(tmp_path))) for _ in range(2)]
    for record in records:
        assert record is not None
        assert record.status is Outcome.FAILED
        assert str(fault) in (record.reason or "")
    assert len(list(spec.sweep_folder.earlier.glob("*/record.json"))) == 1


def test_a_plan_that_is_interrupted_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Planner, "spec", interrupt)
    with pytest.raises(KeyboardInterrupt):
        hydra_app.main(["--multirun", "seed=0,1", *BRIEF], make_display)
    assert not list(tmp_path.iterdir())


def test_a_plan_that_was_half_written_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = spec_of(*BRIEF, "dry_run=true")
    spec.folder.path.mkdir(parents=True)
    spec.folder.config.write_text("model:")
    spec.folder.path.joinpath(".train.yaml.0a1b2c3d").write_text("model_name")
    assert run(spec, Shared(make_display(1), Planner(tmp_path))) is None
    assert yaml.safe_load(spec.folder.config.read_text())["seed"] == 0
    assert yaml.safe_load(spec.folder.train.read_text())["seed"] == 0
    assert not spec.folder.path.joinpath(".train.yaml.0a1b2c3d").exists()


def test_readings_of_an_attempt_that_came_to_nothing_are_not_joined_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a harness that was killed before its worker said a word: a night of idle power would be the run's."""
    monkeypatch.chdir(tmp_path)
    spec = spec_of(*BRIEF)
    spec.folder.path.mkdir(parents=True)
    spec.folder.readings.write_text('{"time": 1.0, "sensor": "nvml", "chip": 0, "power_watts": 200.0}\n')
    monkeypatch.setattr(story, "_train_and_score", lambda *_: None)
    run(spec, Shared(make_display(1), Planner(tmp_path)))
    assert not spec.folder.readings.exists()
    (kept,) = spec.sweep_folder.earlier.iterdir()
    assert RunFolder(kept).readings.exists()


def test_a_run_that_diverges_is_called_so_everywhere(tmp_path: Path, harness: Harness, cache: Path) -> None:
    done = harness(
        *("run", *BRIEF, "training.learning_rate=1e6", "training.max_steps=20", "training.validation_steps=20"),
    )
    assert done.returncode == 0, done.stderr
    record = only_record(tmp_path)
    assert record.status is Outcome.COMPLETED
    assert record.diverged is True
    assert record.divergence is not None
    assert "diverged" in done.stdout + done.stderr
    reported = call("report", "outputs/single", cwd=tmp_path, env=environment(cache))
    assert "diverged" in reported.stdout
    assert "diverged" in (tmp_path / "reports" / "single" / "report.md").read_text()
