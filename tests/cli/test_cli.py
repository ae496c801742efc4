"""The verbs, and what they do not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import Harness

WHAT_HELP_IMPORTS = """
import sys
try:
    from harness.cli.app import app
    app(["--help"])
except SystemExit:
    pass
print(sorted({"torch", "transformers", "pandas", "hydra", "pydantic", "numpy"} & set(sys.modules)), file=sys.stderr)
"""


def test_help_loads_no_library_that_takes_time() -> None:
    done = subprocess.run([sys.executable, "-c", WHAT_HELP_IMPORTS], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for verb in ("run", "sweep", "report", "watch"):
        assert verb in done.stdout


def test_a_dry_run_writes_every_point_and_trains_none(tmp_path: Path, harness: Harness) -> None:
    done = harness("sweep", "quickstart", "dry_run=true", "seed=0")
    assert done.returncode == 0, done.stderr
    folders = sorted(tmp_path.glob("outputs/quickstart/[!.]*-seed0-*"))
    assert [folder.name.split("-")[0] for folder in folders] == ["lora", "qlora"]
    for folder in folders:
        assert {"config.yaml", "train.yaml", "command.sh", "dataset"} == {path.name for path in folder.iterdir()}
        assert yaml.safe_load((folder / "train.yaml").read_text())["stage"] == "sft"
    assert not list(tmp_path.glob("outputs/*/*/record.json"))
    assert not (tmp_path / "reports").exists()


def test_plain_hydra_is_the_same_application(tmp_path: Path, harness: Harness) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness", "--cfg", "job", "method=qlora"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["quantization"]["bits"] == 4
    assert harness("run", "--cfg", "job", "method=qlora").stdout == done.stdout


def test_a_report_of_nothing_is_a_message(tmp_path: Path, harness: Harness) -> None:
    done = harness("report", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "no such folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_watch_says_when_there_is_nothing_to_watch(harness: Harness) -> None:
    done = harness("watch")
    assert done.returncode == 2
    assert "run a sweep" in done.stderr
