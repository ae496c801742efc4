"""The runs of a sweep tokenize their rows once, though they start at the same moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data import prepare
from harness.data.sources import SourceReader
from harness.plan import files
from harness.processes.jobs import TrainJob
from harness.runs.folder import SweepFolder
from tests.conftest import Harness
from tests.planning import specs_of
from tests.running import SHORT, TINY, record_in


def test_runs_of_a_sweep_that_start_together_tokenize_their_rows_once(
    tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of it is left: neither in the sweep's folder and the runs', nor in the user's cache."""
    user_s = tmp_path / "user's"
    monkeypatch.setenv("HF_DATASETS_CACHE", str(user_s))
    # One set of rows alone: of two, each run may make one.
    rows = (f"model.path={TINY}", "dataset.train_samples=2000", "dataset.validation_samples=0")
    together = ("--multirun", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "method.rank=4,8", "sweep=shared")
    done = harness("run", *together, *SHORT, *rows, "training.max_steps=2", "device=cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    sweep = SweepFolder(tmp_path / "outputs" / "shared")
    runs = list(sweep.runs())
    first, second = (record_in(run.path) for run in runs)
    assert first.rows is not None
    assert second.rows is not None
    assert [first.rows.tokenize_seconds, second.rows.tokenize_seconds].count(None) == 1
    assert first.rows.rows == second.rows.rows == 2000
    assert first.trained is not None
    assert second.trained is not None
    assert first.trained.digest == second.trained.digest
    logs = [run.log("training").read_text(encoding="utf-8") for run in runs]
    assert not any("for this run alone" in log for log in logs)
    assert [log.count("Running tokenizer on dataset: 100%") > 0 for log in logs].count(True) == 1
    assert all("training example:" in log for log in logs)
    assert list(sweep.tokenized.glob("*/")) == []
    assert not any(run.cache.exists() for run in runs)
    assert not user_s.exists()


@pytest.mark.parametrize("multirun", [True, False])
def test_a_run_by_itself_shares_its_rows_with_nobody(
    multirun: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (spec,) = specs_of("device=cpu", multirun=multirun)
    files.write(spec, prepare.draw(spec.config.dataset, SourceReader(tmp_path)), {})
    job = TrainJob.model_validate_json(spec.folder.job("train").read_bytes())
    assert job.tokenized == (spec.sweep_folder.tokenized if multirun else None)
    assert job.cache == spec.folder.cache
