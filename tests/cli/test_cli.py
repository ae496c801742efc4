"""The verbs, and what they do not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import FinishedSweep, Harness

VERBS = (
    *("run", "sweep", "report", "compare", "adopt", "doctor", "merge"),
    *("chat", "serve", "webchat", "import", "data", "watch"),
)
# Typer itself loads pydantic for a verb's help.
HELP = """
import sys
from harness.cli import app
for verb in ([], *([verb] for verb in sys.argv[1:])):
    try:
        app([*verb, "--help"])
    except SystemExit as end:
        assert not end.code
slow = {"torch", "transformers", "pandas", "hydra", "omegaconf", "numpy", "rich.progress", "matplotlib", "httpx"}
print(sorted(slow & set(sys.modules)), file=sys.stderr)
"""


def test_help_loads_no_library_that_takes_time() -> None:
    done = subprocess.run([sys.executable, "-c", HELP, *VERBS], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for verb in VERBS:
        assert f" {verb} [OPTIONS]" in done.stdout


def test_a_dry_run_writes_every_point_and_trains_none(tmp_path: Path, harness: Harness) -> None:
    done = harness("sweep", "quickstart", "dry_run=true", "seed=0")
    assert done.returncode == 0, done.stderr
    folders = sorted(tmp_path.glob("outputs/quickstart/[!.]*-seed0-*"))
    assert [folder.name.split("-")[0] for folder in folders] == ["lora", "qlora"]
    for folder in folders:
        assert {"config.yaml", "train.yaml", "command.sh", "spec.json", "dataset", "jobs"} == {
            path.name for path in folder.iterdir()
        }
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


def test_a_spec_says_all_of_a_run_in_whatever_folder_it_is_taken_up(
    sweep: FinishedSweep, harness: Harness, tmp_path: Path
) -> None:
    done = harness("run", "--spec", str(sweep.run("lora") / "spec.json"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[1/1] lora-seed0 completed before\n"
    assert list(tmp_path.iterdir()) == []
