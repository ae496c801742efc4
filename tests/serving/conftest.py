"""The runs of the one real sweep, copied: what is done to a finished run is done to the copies."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.base.paths import PACKAGE
from harness.runs.record import Answer
from tests.conftest import FinishedSweep, call, environment

TINY = PACKAGE / "models" / "tiny"


@dataclass(frozen=True)
class Runs:
    lora: Path
    qlora: Path
    base: Path
    """Where the answers of the base are."""


@dataclass(frozen=True)
class Merged:
    run: Path
    output: subprocess.CompletedProcess[str]

    @property
    def folder(self) -> Path:
        return self.run / "merged"


@pytest.fixture(scope="session")
def runs(sweep: FinishedSweep, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Trained and scored; not to be changed."""
    copy = tmp_path_factory.mktemp("serving") / "outputs" / "quickstart"
    shutil.copytree(sweep.folder, copy)
    (base,) = copy.glob("base-*")
    return Runs(copy / sweep.run("lora").name, copy / sweep.run("qlora").name, base)


@pytest.fixture(scope="session")
def merged(runs: Runs, cache: Path) -> Merged:
    """The QLoRA run, merged."""
    output = call("merge", str(runs.qlora), cwd=runs.qlora.parent, env=environment(cache))
    return Merged(runs.qlora, output)


@pytest.fixture
def run(runs: Runs, tmp_path: Path) -> Path:
    """The LoRA run, to be changed."""
    copy = tmp_path / "outputs" / "quickstart" / runs.lora.name
    shutil.copytree(runs.lora, copy)
    return copy


def recorded_answers(folder: Path) -> list[Answer]:
    """What a model answered when it was scored."""
    lines = (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    return [Answer.model_validate_json(line) for line in lines]
