"""Kills a sweep's processes at random moments, starts it again until it is complete, and looks at what is left.

    python -m benchmarks.chaos [--kills 200] [--seed 0] [--at-once 2] [--launcher joblib|ray|slurm]

A sweep of two arms and a seed is run undisturbed first. Then, in one empty folder after another, the same command is
started, and after a random time SIGKILL is sent to the harness itself or to one of the processes that it has started:
a training, a scoring, the server that they are forked from, a tracker, a launcher's worker. Every other folder is run
below a process that adopts orphans (a subreaper), as in a container or under systemd. What is killed is started again,
up to three times, and then left alone.

In the end every folder must hold what the undisturbed one holds: each run completed once and no more, its adapter the
same to the byte; and of what was killed no process may be left after a few seconds. But Slurm's jobs outlive the
command: the next start waits for them, so that none may be left in the end.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psutil

from benchmarks.chips import LAUNCHERS, launcher_started
from harness.runs import store
from harness.runs.folder import RunFolder, SweepFolder
from harness.runs.record import Outcome
from tests.conftest import command

SWEEP = ("quickstart", "method=lora,qlora", "seed=0", "device=cpu", "training.max_steps=8", "evaluation.limit=16")
FASTER = ("training.validation_steps=null", "training.logging_steps=1", "tracking=offline", "device.forecast=false")
_MARK = "HARNESS_CHAOS"
_GONE_SECONDS = 20.0
_ENDED_SECONDS = 600.0
_ADOPTER = """
import ctypes, subprocess, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
sys.exit(subprocess.call(sys.argv[1:]))
"""
"""Runs a command below itself, and is handed its orphans."""


@dataclass
class Found:
    """What the kills came to."""

    kills: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


@dataclass
class Chaos:
    """Sweeps that are killed, in folders below `home`."""

    home: Path
    seed: int
    launcher: str = "local"
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """In which the launcher finds its scheduler."""
    found: Found = field(default_factory=Found)

    def undisturbed(self) -> tuple[dict[str, str], float]:
        """Return each run's adapter as a hash, by the name of the run's folder, and how long the sweep took."""
        began = time.monotonic()
        folder = self.home / "undisturbed"
        process, _ = self._start(folder, below_subreaper=False)
        self._wait(process, folder)
        if process.returncode:
            raise SystemExit(f"the undisturbed sweep failed; see {folder / 'log'}")
        return adapters(folder), time.monotonic() - began

    def disturb(self, number: int, most_kills: int, seconds: float) -> Path:
        """Kill a sweep a few times, each within `seconds` of its start; then let it end. Return its folder."""
        folder = self.home / f"{number:03}"
        lots = random.Random(f"{self.seed}-{number}")
        for _ in range(lots.randint(1, most_kills)):
            process, mark = self._start(folder, below_subreaper=bool(number % 2))
            time.sleep(lots.uniform(0.0, seconds))
            self._kill_one(process, mark, folder, lots)
            self._wait(process, folder)
            if self.launcher != "slurm":
                self._expect_nobody(mark, folder)
        process, mark = self._start(folder, below_subreaper=bool(number % 2))
        self._wait(process, folder)
        self._expect_nobody(mark, folder)
        if process.returncode:
            self.found.faults.append(f"{folder}: left alone, the sweep ended with status {process.returncode}")
        return folder

    def compare(self, folder: Path, expected: dict[str, str]) -> None:
        """Take in what of a folder is not as it should be."""
        if (made := adapters(folder)) != expected:
            self.found.faults.append(f"{folder}: adapters {sorted(made.items())}, not {sorted(expected.items())}")
        completed: Counter[str] = Counter()
        sweep = SweepFolder(folder / "outputs" / "quickstart")
        for run in [*sweep.runs(), *(RunFolder(path) for path in sweep.earlier.glob("*"))]:
            record = store.load(run)
            if record is not None and record.status is Outcome.COMPLETED:
                completed[f"{record.arm}-seed{record.seed}"] += 1
        if set(completed.values()) != {1} or len(completed) != len(expected):
            self.found.faults.append(f"{folder}: completed runs {dict(completed)}")

    def _start(self, folder: Path, below_subreaper: bool) -> tuple[subprocess.Popen[bytes], str]:
        folder.mkdir(exist_ok=True)
        mark = uuid.uuid4().hex
        words = command("sweep", *SWEEP, *FASTER, f"launcher={self.launcher}")
        if below_subreaper:
            words = [sys.executable, "-c", _ADOPTER, *words]
        environment = {**self.environment, **places(self.home), _MARK: mark}
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log), mark

    def _kill_one(self, process: subprocess.Popen[bytes], mark: str, folder: Path, lots: random.Random) -> None:
        victims = [one for one in _started_for(mark, folder) if one.pid != process.pid or not _adopts(one)]
        if not victims:
            return
        # The harness itself as often as all others together: what it started must end by itself then.
        harness = [one for one in victims if _kind(one) == "harness"]
        victim = lots.choice(harness if harness and lots.random() < 0.5 else victims)
        self.found.kills[_kind(victim)] += 1
        victim.send_signal(signal.SIGKILL)

    def _wait(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        try:
            process.wait(_ENDED_SECONDS)
        except subprocess.TimeoutExpired:
            self.found.faults.append(f"{folder}: the sweep did not end")
            process.kill()
            process.wait()

    def _expect_nobody(self, mark: str, folder: Path) -> None:
        deadline = time.monotonic() + _GONE_SECONDS
        while (left := _started_for(mark, folder)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            self.found.faults.append(f"{folder}: left behind: {[' '.join(_words(one))[:120] for one in left]}")
            for one in left:
                one.kill()


def adapters(folder: Path) -> dict[str, str]:
    """Return the adapter of each run below a folder, as a hash."""
    runs = SweepFolder(folder / "outputs" / "quickstart").runs()
    weights = ((run.name, run.adapter / "adapter_model.safetensors") for run in runs)
    return {name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for name, file in weights if file.is_file()}


def places(home: Path) -> dict[str, str]:
    """What is added to the environment of a sweep, and to that of a Ray cluster, of which its tasks have theirs."""
    return {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "HARNESS_CACHE": str(home / "cache"),
        "HARNESS_LEASES": str(home / "leases"),
    }


def _started_for(mark: str, folder: Path) -> list[psutil.Process]:
    """The processes that a start brought about: by what they have in their environment or, where a scheduler that is
    nobody's child started them, by the folder that they work in. Ray keeps a worker that has done its task."""
    found = []
    for one in psutil.process_iter():
        try:
            is_of = one.environ().get(_MARK) == mark or (one.cwd() == str(folder) and _is_pythons(one))
            if is_of and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except psutil.Error:
            continue
    return found


def _is_pythons(one: psutil.Process) -> bool:
    words = _words(one)
    return (
        bool(words)
        and (Path(words[0]).name.startswith("python") or words[0].startswith("ray::"))
        and "IDLE" not in words[0]
    )


def _words(one: psutil.Process) -> list[str]:
    try:
        return list(one.cmdline())
    except psutil.Error:
        return []


def _adopts(one: psutil.Process) -> bool:
    return _ADOPTER in _words(one)


def _kind(one: psutil.Process) -> str:
    words = " ".join(_words(one))
    workers = ("train", "evaluate", "track", "merge")
    if "workers.standby" in words:
        with suppress(psutil.Error):
            return name if (name := one.name()) in workers else "fork server"
    if words.startswith("ray::") or "submitit.core._submit" in words:
        return "launcher's worker"
    return next((name for name in workers if f"workers.{name}" in words), "harness")


def main() -> None:
    """Kill, and print what that came to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=1, help="sweeps")
    parser.add_argument("--launcher", choices=("local", *LAUNCHERS), default="local")
    asked = parser.parse_args()
    with ExitStack() as opened:
        home = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        env = {**os.environ, **places(home)}
        chaos = Chaos(
            home, asked.seed, asked.launcher, opened.enter_context(launcher_started(asked.launcher, 2, home, env))
        )
        expected, seconds = chaos.undisturbed()
        print(f"undisturbed: {seconds:.0f} s, {len(expected)} runs", flush=True)
        numbers = count(1)

        def disturb() -> None:
            while chaos.found.kills.total() < asked.kills:
                before = len(chaos.found.faults)
                folder = chaos.disturb(next(numbers), 3, seconds)
                chaos.compare(folder, expected)
                print(f"{chaos.found.kills.total()} kills, {len(chaos.found.faults)} faults", flush=True)
                for fault in chaos.found.faults[before:]:
                    print(fault, (folder / "log").read_text()[-2000:], sep="\n", flush=True)

        with ThreadPoolExecutor(asked.at_once) as pool:
            for working in [pool.submit(disturb) for _ in range(asked.at_once)]:
                working.result()
        kills, faults = chaos.found.kills, len(chaos.found.faults)
        of_kinds = ", ".join(f"{number} {kind}" for kind, number in kills.most_common())
        print(f"{kills.total()} kills ({of_kinds}) in {next(numbers) - 1} sweeps: {faults} faults")
    sys.exit(bool(chaos.found.faults))


if __name__ == "__main__":
    main()
