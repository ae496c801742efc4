"""Sweeps that joblib, Ray and Slurm start, for real; the NPUs alone are stand-ins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.chips import asked, at_once, spans
from harness.runs.folder import SweepFolder
from harness.runs.record import Outcome
from tests.conftest import Harness, environment
from tests.devices.ascend.stand_in import StandInNpuSmi
from tests.launchers import slurm
from tests.launchers.launched import TINY_RUN, NotStartedError, chips_of, completed, four_npus, ray_nodes
from tests.running import record_in, started, training_has_begun, wait_until

pytestmark = pytest.mark.timeout(600)
ARMS = ("method=lora,qlora", "sweep=arms")


@pytest.fixture(autouse=True)
def npus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandInNpuSmi:
    """Four, by stand-in, of which nobody has leased any."""
    npu_smi = four_npus(tmp_path / "npu-smi")
    monkeypatch.setenv("PATH", npu_smi.environment()["PATH"])
    monkeypatch.setenv("HARNESS_LEASES", str(tmp_path / "leases"))
    return npu_smi


@pytest.fixture
def ray_cluster(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two nodes with two NPUs each."""
    try:
        with ray_nodes(environment(cache), "0,1", "2,3") as address:
            monkeypatch.setenv("RAY_ADDRESS", address)
            yield
    except NotStartedError as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def slurm_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Slurm]:
    try:
        with slurm.started(tmp_path_factory.mktemp("slurm")) as cluster:
            yield cluster
    except NotStartedError as why:
        pytest.skip(str(why))


def test_joblib_gives_each_of_two_runs_at_once_a_chip_of_its_own_and_asks_the_driver_once_an_interval(
    tmp_path: Path, harness: Harness, npus: StandInNpuSmi
) -> None:
    done = harness("run", "--multirun", "launcher=joblib", *ARMS, *TINY_RUN)
    assert done.returncode == 0, done.stdout + done.stderr
    records = completed(tmp_path, "arms")
    one, other = chips_of(records)
    assert one != other
    assert {one, other} < {"0", "1", "2", "3"}
    leased = spans(records)
    assert [span.chip.split()[-1] for span in leased] == sorted(f"npu{chip}-0" for chip in (one, other))
    assert max(span.since for span in leased) < min(span.until for span in leased), "they ran at once"
    assert at_once(leased) == []
    (interval_seconds,) = {record.sampling.interval_seconds for record in records if record.sampling}
    readings = asked(npus.calls()).readings
    # One more than intervals, and as much as the stand-in may take to start.
    assert len(readings) <= (readings[-1] - readings[0]) / interval_seconds + 2


@pytest.mark.usefixtures("ray_cluster")
def test_ray_runs_the_arms_on_the_chips_of_two_machines(tmp_path: Path, harness: Harness) -> None:
    before = set(Path("/").iterdir())
    done = harness("run", "--multirun", "launcher=ray", *ARMS, *TINY_RUN)
    assert done.returncode == 0, done.stdout + done.stderr
    # The first chip of each.
    assert sorted(chips_of(completed(tmp_path, "arms"))) == ["0", "2"]
    assert (tmp_path / "reports" / "arms" / "report.md").is_file()
    assert set(Path("/").iterdir()) == before


def test_slurm_runs_the_arms_on_the_chips_that_it_has_left(
    tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch, slurm_cluster: slurm.Slurm
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm_cluster.conf))
    other = slurm_cluster.ask("sbatch", "--parsable", "--gres=npu:2", "--output=/dev/null", "--wrap=sleep 600")
    wait_until(lambda: slurm_cluster.ask("squeue", "--noheader", "--format=%t", f"--jobs={other}") == "R")
    done = harness("run", "--multirun", "launcher=slurm", *ARMS, *TINY_RUN)
    slurm_cluster.ask("scancel", other)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(chips_of(completed(tmp_path, "arms"))) == ["2", "3"]
    assert (tmp_path / "reports" / "arms" / "report.md").is_file()
    (script,) = tmp_path.glob("outputs/arms/.submitit/*/*_submission.sh")
    asked = script.read_text()
    # As long as the partition allows, which is less than a day.
    for line in ("gres=npu:1", "time=90", "array=0-1%2", "requeue", "signal=USR2@120"):
        assert f"#SBATCH --{line}\n" in asked


def test_jobs_that_slurm_does_not_take_are_one_message(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, slurm_cluster: slurm.Slurm
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm_cluster.conf))
    done = harness("run", "--multirun", "launcher=slurm", "hydra.launcher.partition=nowhere", *TINY_RUN)
    assert done.returncode == 2, done.stdout + done.stderr
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert told.startswith(
        "error: launcher=slurm: sbatch: error: invalid partition specified: nowhere; hydra.launcher.*"
    )


def test_a_run_whose_job_was_killed_is_told_as_lost_without_accounting_too_and_made_by_the_next_start(
    tmp_path: Path, cache: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch, slurm_cluster: slurm.Slurm
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm_cluster.conf))
    words = ("run", "--multirun", "launcher=slurm", "sweep=lost", *TINY_RUN, "training.max_steps=60")
    with started(tmp_path, cache, *words) as process:
        wait_until(training_has_begun(tmp_path))
        (job,) = [
            one
            for one in psutil.process_iter(["name", "cmdline", "cwd"])
            if "submitit.core._submit" in (one.info["cmdline"] or ())
            and one.info["cwd"] == str(tmp_path)
            and one.info["name"] != "srun"
        ]
        job.kill()
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 1, output + errors
    assert "the same command goes on with what is not done" in errors
    done = harness(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(completed(tmp_path, "lost")) == 1


def test_a_job_that_runs_out_of_its_time_leaves_a_record_that_says_so(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, slurm_cluster: slurm.Slurm
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm_cluster.conf))
    launched = ("--multirun", "launcher=slurm", "hydra.launcher.timeout_min=5", "sweep=long")
    with started(tmp_path, cache, "run", *launched, *TINY_RUN, "training.max_steps=4000") as process:
        wait_until(training_has_begun(tmp_path))
        # What Slurm does two minutes before the end.
        slurm_cluster.ask("scancel", "--signal=USR2", "--name=harness")
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 1, output + errors
    (folder,) = SweepFolder(tmp_path / "outputs" / "long").runs()
    record = record_in(folder.path)
    assert record.status is Outcome.FAILED
    assert record.reason == "UncompletedJobError: Job not requeued because: timed-out too many times."
    assert "timed-out" in (tmp_path / "reports" / "long" / "report.md").read_text()
