"""What launcher=... makes of a command line, before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from harness.base import paths
from harness.base.errors import UserError
from harness.cli.display import make_display
from harness.compose import hydra_plugins
from harness.devices.ascend import device as ascend_device
from harness.execution import hydra_app, launchers, slurm_queue
from tests.conftest import Harness
from tests.launchers.launched import TINY_RUN, four_npus
from tests.planning import specs_of
from tests.running import SHORT

CPU = (*SHORT, "device=cpu")
NPU = ("device=ascend", 'device.stand_in="none but in name"')


@pytest.fixture(autouse=True)
def npus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("PATH", four_npus(tmp_path / "npu-smi").environment()["PATH"])
    ascend_device._chips.cache_clear()


def launcher_of(*overrides: str) -> dict[str, Any]:
    """What Hydra gives to its launcher."""
    hydra_plugins.register()
    launchers.register()
    with initialize_config_dir(str(paths.configuration_folder("conf").resolve()), version_base="1.3"):
        composed = compose("config", list(overrides), return_hydra_config=True)
        resolved = OmegaConf.to_container(composed.hydra.launcher, resolve=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


@pytest.mark.parametrize(
    ("given", "runs"),
    [
        (NPU, 4),
        ((*NPU, "device.count=2"), 2),
        ((*NPU, "device.count=3"), 1),
        (("device=cpu",), 1),
    ],
)
def test_joblib_starts_as_many_runs_as_have_chips_beside_each_other(given: tuple[str, ...], runs: int) -> None:
    assert launcher_of("launcher=joblib", *given)["n_jobs"] == runs


def test_what_is_typed_goes_before_what_a_launcher_asks_by_itself() -> None:
    assert launcher_of("launcher=joblib", "hydra.launcher.n_jobs=2", *NPU)["n_jobs"] == 2
    assert launcher_of("launcher=slurm", "hydra.launcher.gres=gpu:ascend:1", *NPU)["gres"] == "gpu:ascend:1"


@pytest.mark.parametrize(
    ("given", "chips", "gres"),
    [(NPU, 1, "npu:1"), ((*NPU, "device.count=4"), 4, "npu:4"), (("device=cpu",), 0, None)],
)
def test_ray_and_slurm_are_asked_for_the_chips_of_a_run(given: tuple[str, ...], chips: int, gres: str | None) -> None:
    remote = launcher_of("launcher=ray", *given)["ray"]["remote"]
    assert (remote["resources"], remote["num_gpus"]) == ({"NPU": chips}, 0)
    assert launcher_of("launcher=slurm", *given)["gres"] == gres


@pytest.mark.parametrize("launcher", ["local", "joblib", "ray", "slurm"])
def test_a_launcher_is_no_part_of_a_run(launcher: str) -> None:
    plain = specs_of("seed=0,1", *CPU)
    launched = specs_of(f"launcher={launcher}", "seed=0,1", *CPU)
    for one, other in zip(plain, launched, strict=True):
        assert (one.folder, one.command, one.overrides) == (other.folder, other.command, other.overrides)


@pytest.mark.parametrize(
    ("given", "plugin", "extra"),
    [
        ("launcher=joblib", "joblib", "joblib"),
        ("launcher=ray", "ray", "ray"),
        ("launcher=slurm", "submitit_slurm", "slurm"),
        ("hydra/launcher=submitit_slurm", "submitit_slurm", "slurm"),
    ],
)
def test_a_launcher_that_is_not_installed_is_one_message_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, given: str, plugin: str, extra: str
) -> None:
    specs_of(*CPU)  # Now Hydra knows its plugins.
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], f"{plugin}.yaml")
    with pytest.raises(UserError) as refused:
        specs_of(given, "seed=0,1", *CPU)
    assert refused.value.mistakes == [f"launcher={extra}: it is not installed; pip install 'qlora-harness[{extra}]'"]


@pytest.mark.parametrize("given", ["launcher=local,joblib", "hydra/launcher=basic,joblib"])
def test_several_launchers_are_refused(given: str) -> None:
    with pytest.raises(UserError) as refused:
        specs_of(given, *CPU)
    assert refused.value.mistakes == [f"{given}: one launcher starts all runs of a sweep; give one"]


@pytest.mark.parametrize("given", ["launcher=ray", "hydra/launcher=joblib"])
def test_one_run_has_no_launcher(given: str) -> None:
    with pytest.raises(UserError) as refused:
        specs_of(given, *CPU, multirun=False)
    assert refused.value.mistakes == [
        f"{given}: a launcher starts the runs of a sweep; use `harness sweep`, or --multirun, or leave it out"
    ]
    assert len(specs_of("launcher=local", *CPU, multirun=False)) == 1


def test_a_missing_file_of_another_group_is_no_launcher(tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "mine.yaml").write_text("defaults:\n  - override /dataset: ray\n")
    with pytest.raises(UserError) as refused:
        specs_of("sweeps=mine", *CPU)
    assert "launcher" not in str(refused.value)


def test_slurm_where_no_jobs_can_be_submitted_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="launcher=slurm: there is no sbatch and no srun here; start the sweep on"):
        hydra_app.main(["--multirun", "launcher=slurm", *CPU], make_display)


def test_ray_without_a_cluster_is_one_message(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    done = harness("run", "--multirun", "launcher=ray", *CPU)
    assert done.returncode == 2, done.stderr
    assert "error: launcher=ray: Could not find any running Ray instance." in done.stderr
    assert "`ray start --head`, or name it: RAY_ADDRESS=HOST:6379" in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_that_a_launcher_lost_are_told_in_its_words() -> None:
    with pytest.raises(launchers.LostRunsError) as lost, launchers.losses_told(launcher("JoblibLauncher")):
        raise RuntimeError("\nA worker process was killed.\n")
    assert str(lost.value) == (
        "RuntimeError: A worker process was killed; the same command goes on with what is not done"
    )


FAILED = """Job (task=0) failed during processing with trace:
----------------------
Traceback (most recent call last):
  File "run.py", line 1, in <module>
harness.base.errors.UserError: plan.json: node7 does not see it
----------------------
You can check full logs with 'job.stderr(0)' and 'job.stdout(0)'"""


def test_slurm_tells_the_fault_of_a_job_once_no_other_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchers, "_answer", lambda *_: None)
    shown = ["7_0 FAILED\n7_1 RUNNING\n", "7_0 FAILED\n7_1 RUNNING\n", "7_0 FAILED\n7_1 COMPLETED\n"]
    monkeypatch.setattr("subprocess.check_output", lambda *_, **__: shown.pop(0).encode())
    monkeypatch.setattr(slurm_queue, "_POLL_SECONDS", 0.01)
    at_once = slurm_queue.QueueWatcher.update_if_long_enough
    monkeypatch.setattr(
        slurm_queue.QueueWatcher,
        "update_if_long_enough",
        lambda self, mode: at_once(self, "force" if mode == "standard" else mode),
    )
    watcher = slurm_queue.QueueWatcher()
    for job in ("7_0", "7_1"):
        watcher.register_job(job)
    monkeypatch.setattr(slurm_queue, "watch", lambda: None)
    monkeypatch.setattr(slurm_queue.submitit.SlurmJob, "watcher", watcher)
    with pytest.raises(launchers.LostRunsError) as lost, launchers.losses_told(launcher("SlurmLauncher")):
        raise RuntimeError(FAILED)
    assert shown == []
    assert "UserError: plan.json: node7 does not see it; the same command goes on" in str(lost.value)


@pytest.mark.parametrize("fault", [UserError("device: gone"), HydraException("no such group")])
def test_what_a_run_cannot_take_is_told_as_it_is(fault: Exception) -> None:
    with pytest.raises(type(fault), match=str(fault)), launchers.losses_told(launcher("RayLauncher")):
        raise fault


def test_a_fault_without_a_launcher_is_no_lost_run() -> None:
    with pytest.raises(ZeroDivisionError), launchers.losses_told(launcher("BasicLauncher")):
        raise ZeroDivisionError


def launcher(name: str) -> DictConfig:
    return OmegaConf.create({"_target_": f"hydra_plugins.some.{name}"})


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        ("30:00", 30),
        ("1:30:00", 90),
        ("2-00:00:00", 2880),
        ("1-12:00:00", 2160),
        ("0:30", 1),
        ("30:59", 30),
        ("infinite", None),
    ],
)
def test_slurms_limits_are_minutes(limit: str, minutes: int | None) -> None:
    assert launchers.minutes_of(limit) == minutes


@pytest.mark.parametrize(
    ("shown", "chips"),
    [
        ("   JOB_GRES=npu:2\n     Nodes=a CPU_IDs=1 Mem=0 GRES=npu:2(IDX:0-1)\n", [0, 1]),
        ("     Nodes=a CPU_IDs=0-7 Mem=0 GRES=npu:910b:3(IDX:1,6-7)\n", [1, 6, 7]),
        ("     Nodes=a CPU_IDs=0 Mem=0 GRES=gpu:1(IDX:5)\n", [5]),
        ("     Nodes=a CPU_IDs=0 Mem=0 GRES=license:1,npu:1(IDX:2)\n", [2]),
        ("     Nodes=a CPU_IDs=0 Mem=0 GRES=nic:1(IDX:0),npu:1(IDX:2)\n", [2]),
        ("     Nodes=a CPU_IDs=0 Mem=0 GRES=npu:1\n", []),
        ("     Nodes=a CPU_IDs=0 Mem=0 GRES=\n", []),
    ],
)
def test_the_chips_of_a_job_are_those_that_slurm_names(shown: str, chips: list[int]) -> None:
    assert launchers.chips_shown(shown) == chips


def test_where_slurm_does_not_tell_a_jobs_chips_none_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str | None] = [None, None, "     Nodes=a CPU_IDs=0 Mem=0 GRES=npu:1(IDX:5)\n"]
    monkeypatch.setattr(launchers, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(launchers, "_answer", lambda *_: answers.pop(0))
    assert launchers._chips_of_job("7") == [5]
    answers += [None] * 5
    with pytest.raises(UserError, match="SLURM_JOB_ID=7: `scontrol show job -d 7` does not tell which chips"):
        launchers._chips_of_job("7")


def test_a_machine_that_does_not_see_the_commands_folder_says_so(tmp_path: Path) -> None:
    (spec,) = specs_of(*TINY_RUN)
    with pytest.raises(UserError, match=r"plan\.json: .* does not see what the command has just written; start"):
        launchers.settle(spec, None)


def test_without_accounting_a_job_that_squeue_knows_as_ended_or_not_at_all_is_waited_for_no_longer() -> None:
    watcher = slurm_queue.QueueWatcher()
    for job in ("7_0", "7_1", "7_2", "7_3", "7_4"):
        watcher.register_job(job)
    watcher._info_dict = watcher.read_info("7_0 RUNNING\n7_1 COMPLETED\n7_2 REQUEUED\n7_3 CONFIGURING\n8_0 FAILED\n")
    ended = [job for job in sorted(watcher._registered) if watcher.is_done(job, mode="cache")]
    assert ended == ["7_1", "7_4"]
