"""Hydra's launchers: what conf/launcher asks their schedulers for, and what a process that they started needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.base.errors import UserError
from harness.config.schema import Config
from harness.devices.ascend.device import VISIBLE
from harness.devices.device import Device
from harness.plan import device as devices
from harness.plan.spec import RunSpec

_LOCAL = "BasicLauncher"
_RAY = "RayLauncher"
_SLURM = "SlurmLauncher"
_GRES = {"ascend": "npu", "cuda": "gpu"}
_INDEX = re.compile(r"\bGRES=\S*?\b(?:npu|gpu)\b[^()\s,]*\(IDX:([\d,-]+)\)")
_SECONDS = 60
_TRIES = 5
_PAUSE_SECONDS = 5.0
_THREADS = "OMP_NUM_THREADS"


class LostRunsError(Exception):
    """A launcher has lost runs, or what became of them; in its words."""


def register() -> None:
    """Teach OmegaConf what conf/launcher asks of the device. May be called again.

    Those of the device raise DeviceError once they are resolved, where it is not here."""
    OmegaConf.register_new_resolver("runs_at_once", lambda *, _root_: runs_at_once(_config(_root_)), replace=True)
    OmegaConf.register_new_resolver("chips", lambda kind, *, _root_: chips_of(_config(_root_), kind), replace=True)
    OmegaConf.register_new_resolver("gres", lambda *, _root_: gres(_config(_root_)), replace=True)
    OmegaConf.register_new_resolver("job_minutes", job_minutes, replace=True)


def runs_at_once(config: Config) -> int:
    """Return how many runs have room on this machine beside each other. Raises DeviceError."""
    device = devices.choose(config)
    return max(1, len(device.visible) // max(1, _taken(config, device)))


def chips_of(config: Config, kind: str) -> int:
    """Return how many chips of a kind (cuda, ascend) a run takes; 0 where its device is another. Raises DeviceError."""
    device = devices.choose(config)
    return _taken(config, device) if device.kind == kind else 0


def gres(config: Config) -> str | None:
    """Return what a run takes in Slurm's words, `npu:1`; None on a CPU. Raises DeviceError."""
    device = devices.choose(config)
    return f"{_GRES[device.kind]}:{_taken(config, device)}" if device.kind in _GRES else None


def job_minutes(most: int, partition: str | None) -> int:
    """Return `most`, or what the partition (None: Slurm's default) allows: a job that asks for more waits for ever."""
    for line in (_answer("sinfo", "--noheader", "--format=%P %l") or "").splitlines():
        name, _, limit = line.partition(" ")
        if name.rstrip("*") == partition or (partition is None and name.endswith("*")):
            return min(most, minutes_of(limit.strip()) or most)
    return most


def minutes_of(limit: str) -> int | None:
    """Return the minutes of Slurm's [DAYS-][HOURS:]MINUTES:SECONDS; None where it is a word, such as infinite."""
    days, _, rest = limit.rpartition("-")
    try:
        _, minutes, hours = (*(int(part) for part in reversed(rest.split(":"))), 0, 0)[:3]
        return max(1, (int(days or 0) * 24 + hours) * 60 + minutes)
    except ValueError:
        return None


def _answer(*command: str) -> str | None:
    """What one of Slurm's commands prints; None where it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _taken(config: Config, device: Device) -> int:
    return config.device.chip_count if device.chips else 0


def _config(root: DictConfig) -> Config:
    asked = OmegaConf.to_object(root.device)
    return Config(device=asked)  # type: ignore[arg-type]


def refuse_absent(launcher: DictConfig) -> None:
    """Raises UserError where the scheduler of a launcher is not on this machine."""
    if launcher._target_.endswith(_SLURM) and (missing := [one for one in ("sbatch", "srun") if not shutil.which(one)]):
        raise UserError(
            f"launcher=slurm: there is no {' and no '.join(missing)} here; start the sweep on a machine from which "
            "jobs are submitted"
        )


@contextmanager
def losses_told(launcher: DictConfig) -> Iterator[None]:
    """Raises LostRunsError for what a scheduler says of runs that it lost, UserError where it took none."""
    if launcher._target_.endswith(_SLURM) and _answer("sacct", "--noheader", "--allocations") is None:
        from harness.execution import slurm_queue  # It brings submitit along, which is an extra.

        slurm_queue.watch()
    try:
        yield
    except (UserError, HydraException, OmegaConfBaseException):
        raise
    except Exception as error:
        if launcher._target_.endswith(_LOCAL):
            raise
        said = _said_by(error)
        if isinstance(error, ConnectionError) and launcher._target_.endswith(_RAY):
            raise UserError(
                f"launcher=ray: {said[0]} Start one with `ray start --head`, or name it: RAY_ADDRESS=HOST:6379"
            ) from error
        if any(line.startswith("sbatch: error") for line in said):
            raise UserError(f"launcher=slurm: {said[0]}; hydra.launcher.* says what a job asks for") from error
        if launcher._target_.endswith(_SLURM):
            from harness.execution import slurm_queue

            # Hydra's launcher hears of the first that is lost, and the others go on.
            slurm_queue.wait()
        # A task's traceback of Ray's tells the fault last.
        why = said[-1 if said[0].startswith("ray::") else 0].rstrip(".")
        raise LostRunsError(f"{type(error).__name__}: {why}; the same command goes on with what is not done") from error


def _said_by(error: Exception) -> list[str]:
    """The lines of an error; of a job that failed with a traceback, which submitit has between dashes, its last one."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    dashes = [number for number, line in enumerate(said) if set(line) == {"-"}]
    return said[dashes[1] - 1 : dashes[1]] if len(dashes) == 2 else said


def threads_of_command() -> str | None:
    """Return what the command's environment says of threads, for `settle`."""
    return os.environ.get(_THREADS)


def settle(spec: RunSpec, threads: str | None) -> None:
    """Make this process, which a launcher started, like the command's: its folder, its threads, and its own chips.

    Raises UserError where the machine does not see the command's folder."""
    if not (spec.config.dry_run or spec.is_helper or spec.sweep_folder.plan.is_file()):
        raise UserError(
            f"{spec.sweep_folder.plan}: {os.uname().nodename} does not see what the command has just written; start "
            "the sweep in a folder on a disk that all machines share"
        )
    os.chdir(spec.started_in)
    # Ray sets it to the CPUs of a task where it is not set, and a run would be timed with one thread.
    if threads is None:
        os.environ.pop(_THREADS, None)
    else:
        os.environ[_THREADS] = threads
    if spec.device.kind == "ascend" and (chips := _chips_of_job(os.environ.get("SLURM_JOB_ID"))):
        # Slurm sets CUDA_VISIBLE_DEVICES, and knows no such variable for other chips.
        os.environ[VISIBLE] = ",".join(map(str, chips))


def _chips_of_job(job: str | None) -> list[int]:
    """Return the chips that Slurm gave to a job of this node; none where it does not count them one by one.

    Raises UserError where Slurm does not answer: any chip might be another job's."""
    if job is None:
        return []
    for _ in range(_TRIES):
        if (shown := _answer("scontrol", "show", "job", "-d", job)) is not None:
            return chips_shown(shown)
        time.sleep(_PAUSE_SECONDS)
    raise UserError(f"SLURM_JOB_ID={job}: `scontrol show job -d {job}` does not tell which chips are this job's")


def chips_shown(job: str) -> list[int]:
    """Return the chips in what `scontrol show job -d` prints, ascending: 0, 1 and 3 of `GRES=npu:3(IDX:0-1,3)`."""
    found = _INDEX.search(job)
    chips: set[int] = set()
    for part in found[1].split(",") if found else ():
        first, _, last = part.partition("-")
        chips.update(range(int(first), int(last or first) + 1))
    return sorted(chips)
