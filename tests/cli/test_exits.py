"""How every verb ends when something is wrong: a message, an exit status, and never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import app
from harness.cli.exits import Verbs
from tests.builders import RunBuilder
from tests.conftest import Harness
from tests.devices.stand_ins import wait_until

A_VERB = """
import typer
from harness.base.errors import UserError
from harness.cli.exits import Verbs

app = typer.Typer(cls=Verbs, pretty_exceptions_enable=False)

@app.command()
def one():
    {0}

@app.command()
def another():
    pass

app(["one"])
"""


def ended(statement: str) -> subprocess.CompletedProcess[str]:
    """How a program ends whose verb does this."""
    return subprocess.run(
        [sys.executable, "-c", A_VERB.format(statement)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("statement", "status", "message"),
    [
        ("raise UserError(['a: is wrong', 'b: too'])", 2, "error: a: is wrong\nerror: b: too\n"),
        ("open('/nowhere/file')", 2, "error: /nowhere/file: No such file or directory\n"),
        ("raise OSError('without a number')", 2, "error: without a number\n"),
        ("raise KeyboardInterrupt", 130, ""),
        ("raise typer.Exit(1)", 1, ""),
        ("pass", 0, ""),
    ],
)
def test_what_a_verb_raises_becomes_a_message_and_an_exit_status(statement: str, status: int, message: str) -> None:
    done = ended(statement)
    assert (done.returncode, done.stderr) == (status, message)


def test_what_is_a_fault_of_the_harness_keeps_its_traceback() -> None:
    done = ended("raise ZeroDivisionError")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_reader_that_goes_away_gets_no_message() -> None:
    program = A_VERB.format("[print('line', flush=True) for _ in range(100000)]")
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(60) == 1


def test_all_verbs_are_of_the_group_that_ends_them_so() -> None:
    assert app.info.cls is Verbs


def test_a_report_that_cannot_be_written_is_a_message(harness: Harness, tmp_path: Path) -> None:
    RunBuilder(tmp_path / "sweep").write()
    (tmp_path / "file").touch()
    done = harness("report", str(tmp_path / "sweep"), "--output", str(tmp_path / "file" / "report"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --output={tmp_path / 'file'}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", [["run"], ["sweep", "quickstart", "seed=0"]])
def test_runs_whose_output_cannot_be_written_are_a_message(verb: list[str], harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = harness(*verb, f"output={tmp_path / 'file' / 'outputs'}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--spec", "FILE", "seed=1"], "error: --spec FILE: says all of a run; leave out seed=1\n"),
        (["report", ".", "--language", "xx"], "error: language xx: a report can be written in "),
        (["watch"], "error: outputs: holds no files of SwanLab's; run a sweep with tracking=local first\n"),
        (["doctor", "--log", "nowhere"], "error: nowhere: No such file or directory; a run's logs are in "),
        (["import", "nowhere.yaml"], "error: nowhere.yaml: No such file or directory\n"),
        (["data", "dataset=arithmetic", "--output", "FILE/rows"], "error: --output=FILE/rows: "),
        (["data", "dataset=arithmetic", "--output", "a/" * 2000], "error: --output=a/a/a"),
        (["report", ".", "--output", "a/" * 2000], "error: --output=a/a/a"),
        (["adopt", "LOOP"], "error: "),
        (["merge", "LOOP"], "error: "),
        (["import", "LOOP.yaml"], "error: LOOP.yaml: No such file or directory\n"),
        (["import", "LOOP"], "error: LOOP: Too many levels of symbolic links\n"),
        (["run", "device=cpu", "dry_run=true", "output=LOOP"], "error: output=LOOP: "),
        (["run", "training.max_step=1"], "error: training.max_step"),
    ],
)
def test_mistakes_in_other_verbs_are_messages_too(
    arguments: list[str], message: str, harness: Harness, tmp_path: Path
) -> None:
    (tmp_path / "FILE").touch()
    (tmp_path / "LOOP").symlink_to("LOOP")
    done = harness(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["-m", "harness"], ["-c", "from harness.cli import app; app()", "run"]])
def test_ctrl_c_says_how_to_go_on(arguments: list[str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, *arguments, "training.max_steps=100000", "evaluation=none", "tracking=disabled"],
        cwd=tmp_path,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: any(tmp_path.glob("outputs/single/lora-*/logs/training.log")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.endswith("interrupted; the same command goes on where this stopped\n")
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("hydra.run.dir=/proc/none", "/proc/none: No such file or directory"),
        ("hydra.run.dir=${nothing}", "Interpolation key 'nothing' not found"),
        ("hydra/launcher=nothing", "In 'hydra/config': Could not find 'hydra/launcher/nothing'"),
    ],
)
def test_what_hydra_itself_cannot_do_is_a_message_too(given: str, message: str, harness: Harness) -> None:
    done = harness("run", "device=cpu", "dry_run=true", given)
    assert done.returncode == 2
    assert done.stderr.endswith(f"error: {message}\n")
    assert "Traceback" not in done.stderr
