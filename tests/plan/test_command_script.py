"""What a run starts from: command.sh does what the harness did and nothing else, and no file holds a secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import yaml

from harness.data import prepare
from harness.data.sources import SourceReader
from harness.plan import files
from tests.planning import spec_of

HOSTILE = [
    *("a b", "a\ntouch injected #", "\ntouch injected", "$(touch injected)", "`touch injected`", "${HOME}", "~", "*"),
    *(
        "'; touch injected; '",
        '"; touch injected; "',
        "--rf",
        "a\\",
        "# x",
        "a\r\ntouch injected",
        "!x",
        "&& touch injected",
    ),
    *(
        "| touch injected",
        "> injected",
        "\\\ntouch injected",
        "你\u202e",
        "'$(touch injected)'\n'",
        "\x1b[31m",
        "EOF\ntouch injected",
    ),
]
STAND_IN = """#!/bin/sh
printf '%s\\0' "$PWD" "$A_VALUE" "$@" > "$TOLD"
"""


def written(folder: Path, environment: dict[str, str], *overrides: str) -> tuple[Path, list[str]]:
    """The command.sh of a run that is planned in `folder`, and the command that it is of."""
    spec = spec_of("device=cpu", "dry_run=true", *overrides)
    rows = prepare.draw(spec.config.dataset, SourceReader(folder))
    return spec.folder.command, files.write(spec, rows, environment)


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_shell_runs_the_training_and_nothing_else(
    name: str, shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, told = tmp_path / f"py {name}".replace("/", ""), tmp_path / "told"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    home = tmp_path / name
    home.mkdir()
    monkeypatch.chdir(home)
    with mock.patch.object(sys, "executable", str(python)):
        script, command = written(home, {"A_VALUE": name})
    before = sorted(path for path in tmp_path.rglob("*"))
    done = subprocess.run(
        [shell, script],
        env={"PATH": "/nowhere", "TOLD": str(told)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        executable=f"/bin/{shell}",
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert told.read_bytes().decode().split("\0")[:-1] == [str(home), name, *command[1:]]
    assert sorted(path for path in tmp_path.rglob("*") if path != told) == before


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_commented_stays_a_comment(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / name
    home.mkdir()
    monkeypatch.chdir(home)
    script, _ = written(home, {})
    behind = script.read_bytes().partition(b"# The same training without the harness")[2].split(b"\n")[1:]
    assert len(behind) >= 4
    assert all(line.startswith(b"#") for line in behind[:-1])
    assert behind[-1] == b""


def test_no_file_of_a_run_holds_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    secrets = {
        "GITHUB_PAT": "pat-4711-x",
        "DB_PASSWD": "first \u00efne 4711's\nsecond line: 4711",
        "SENTRY_DSN": "https://key4711@sentry.example/1",
        "MIRROR": "https://bob:horse-4711@mirror/x",
    }
    prompt = "evaluation.prompts=[{prompt: 'ask bob:horse-4711, pat-4711-x'}]"
    with mock.patch.dict(os.environ, secrets):
        script, _ = written(tmp_path, {"EXTRA": " ".join(secrets.values())}, prompt, "output=out-pat-4711-x")
        # A job names the folder itself, which is called so.
        found = [file for file in script.parent.rglob("*") if file.is_file() and file.parent.name != "jobs"]
        assert {"command.sh", "train.yaml", "config.yaml", "spec.json"} <= {file.name for file in found}
        for file in found:
            assert "4711" not in file.read_text(encoding="utf-8"), file
        assert "[GITHUB_PAT]" in yaml.safe_load((script.parent / "train.yaml").read_text())["output_dir"]
