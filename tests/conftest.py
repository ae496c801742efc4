"""What the tests share: the console script in a folder of its own, and one real sweep."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

# Whoever starts the tests in the background may have told them, and so their children, to ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Seconds before each sweep; tests of the forecast turn it on.
os.environ["HARNESS_FORECAST"] = "false"
# Stand-ins of different tests have chips of the same names.
os.environ["HARNESS_LEASES"] = tempfile.mkdtemp(prefix="harness-leases-")
atexit.register(shutil.rmtree, os.environ["HARNESS_LEASES"], ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """Without the test's name in the environment: runs of one environment share a process that has imported."""
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    return (yield)


SECRET = "sk-this-must-stand-in-no-file-4711"

Harness = Callable[..., subprocess.CompletedProcess[str]]


def environment(cache: Path) -> dict[str, str]:
    """As a user's without terminal, with a secret that must never be written."""
    return os.environ | {
        "SWANLAB_API_KEY": SECRET,
        "HARNESS_CACHE": str(cache),
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "CUDA_VISIBLE_DEVICES": "",
        # Two tests run at once: one core each, or their threads would wait for each other.
        "OMP_NUM_THREADS": "1",
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from harness.cli import app; app()", *arguments]


def call(*arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Call the console script."""
    return subprocess.run(command(*arguments), cwd=cwd, env=env, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def harness(tmp_path: Path, cache: Path) -> Harness:
    """Call the console script in an empty folder."""

    def here(*arguments: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return call(*arguments, cwd=cwd, env=environment(cache))

    return here


@dataclass(frozen=True)
class FinishedSweep:
    home: Path
    """Where it was started."""
    arguments: Sequence[str]
    output: subprocess.CompletedProcess[str]

    @property
    def folder(self) -> Path:
        return self.home / "outputs" / "quickstart"

    @property
    def report(self) -> Path:
        return self.home / "reports" / "quickstart"

    def run(self, arm: str) -> Path:
        (folder,) = self.folder.glob(f"{arm}-seed0-*")
        return folder


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> FinishedSweep:
    """The quickstart, shortened: both arms, one seed, forty steps, forty questions; trained, scored and reported.

    Made once for all workers that the tests are divided among."""
    mine = tmp_path_factory.getbasetemp()
    home = (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "shared-sweep"
    done = home / "output.json"
    arguments = (
        "sweep",
        "quickstart",
        "seed=0",
        "training.max_steps=40",
        "training.validation_steps=20",
        "evaluation.limit=40",
        # Answered by their form: the base does not mark its answer so.
        "evaluation.prompts=[{prompt: What is 2 + 3?, expected: '####'}, {prompt: 你是谁}]",
    )
    with FileLock(f"{home}.lock"):
        if not done.exists():
            home.mkdir()
            made = call(*arguments, cwd=home, env=environment(cache) | {"HARNESS_FORECAST": "true"})
            done.write_text(json.dumps([made.returncode, made.stdout, made.stderr]))
    returncode, stdout, stderr = json.loads(done.read_text())
    return FinishedSweep(home, arguments, subprocess.CompletedProcess(command(*arguments), returncode, stdout, stderr))
