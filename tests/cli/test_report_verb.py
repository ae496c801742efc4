"""`harness report` is a look at the results too."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from harness.cli import app
from harness.runs import looks
from harness.runs.folder import SweepFolder
from harness.runs.record import Outcome
from tests.builders import RunBuilder


def test_a_report_that_is_rendered_again_counts_as_a_look_where_it_is_of_other_runs(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "sweep")
    made = [RunBuilder(folder.path, arm=arm).write().name for arm in ("lora", "qlora")]
    failed = RunBuilder(folder.path, seed=1, status=Outcome.FAILED).write().name
    arguments = ["report", str(folder.path), "--output", str(tmp_path / "report")]
    for _ in range(2):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    assert [look.completed for look in looks.read(folder)] == [sorted(made)]
    again = RunBuilder(folder.path, seed=1).write().name
    assert again == failed
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert [look.completed for look in looks.read(folder)] == [sorted(made), sorted([*made, again])]
