"""Slurm on one machine: munge, the controller and a node with NPUs, all of this user and in one folder."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.launchers.launched import NotStartedError
from tests.running import wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=npu
NodeName={host} NodeAddr=127.0.0.1 CPUs={chips} RealMemory=1000 Gres=npu:{chips}
PartitionName=short Nodes=ALL Default=YES MaxTime=01:30:00 State=UP
PartitionName=long Nodes=ALL MaxTime=UNLIMITED State=UP
"""


class Slurm:
    """A cluster that runs."""

    def __init__(self, conf: Path) -> None:
        self.conf = conf
        """What its commands need as $SLURM_CONF."""
        self.environment = os.environ | {"SLURM_CONF": str(conf)}

    def is_idle(self) -> bool:
        command = ["sinfo", "--noheader", "--format=%t", "--partition=short"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        return done.stdout.strip() == "idle"

    def ask(self, *command: str) -> str:
        """What one of its commands prints."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def started(folder: Path, chips: int = 4) -> Iterator[Slurm]:
    """A cluster that ends with the body. Raises NotStartedError."""
    if missing := [program for program in PROGRAMS if shutil.which(program, path=_PATH) is None]:
        raise NotStartedError(
            f"{', '.join(missing)} not installed: apt-get install slurmctld slurmd slurm-client munge"
        )
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for chip in range(chips):
        (folder / f"npu{chip}").touch()
    (folder / "munge.key").write_bytes(secrets.token_bytes(64))
    (folder / "munge.key").chmod(0o600)
    host = socket.gethostname().partition(".")[0]
    with socket.create_server(("", 0)) as one, socket.create_server(("", 0)) as other:
        ports = one.getsockname()[1], other.getsockname()[1]
    (folder / "slurm.conf").write_text(
        _CONF.format(host=host, user=getpass.getuser(), ports=ports, folder=folder, chips=chips)
    )
    (folder / "gres.conf").write_text(f"Name=npu File={folder}/npu[0-{chips - 1}]\n")
    slurm = Slurm(folder / "slurm.conf")
    paths = {"socket": "munge.socket", "key-file": "munge.key", "log-file": "munged.log", "pid-file": "munged.pid"}
    options = [f"--{option}={folder / name}" for option, name in (paths | {"seed-file": "munged.seed"}).items()]
    with ExitStack() as running:
        try:
            for command in (["munged", "--foreground", "--force", *options], ["slurmctld", "-D"], ["slurmd", "-D"]):
                running.enter_context(_daemon(command, folder, slurm.environment))
                if command[0] == "munged":
                    wait_until((folder / "munge.socket").exists)
            wait_until(slurm.is_idle)
        except AssertionError:
            said = [line for out in sorted(folder.glob("*.out")) for line in out.read_text().splitlines()[-3:]]
            raise NotStartedError(f"Slurm does not start on this machine: {'; '.join(said)}") from None
        try:
            yield slurm
        finally:
            # A test that failed may leave some, and jobs outlive the daemons.
            slurm.ask("scancel", f"--user={getpass.getuser()}")
            wait_until(lambda: not slurm.ask("squeue", "--noheader"))


@contextmanager
def _daemon(command: list[str], folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    with (folder / f"{command[0]}.out").open("wb") as output:
        program = shutil.which(command[0], path=_PATH)
        assert program is not None
        process = subprocess.Popen([program, *command[1:]], env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
