"""A run counts as completed only as long as what it trained is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.display import Display
from harness.execution import run as story
from harness.execution.run import Shared, run
from harness.plan.planner import Planner
from harness.runs.record import Record
from harness.runs.verify import verify
from tests.planning import spec_of

BRIEF = ("device=cpu", "evaluation=none", "tracking=disabled", "dataset.train_samples=20")
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The adapters that were trained: a stand-in writes each."""
    adapters: list[Path] = []

    def train(spec: story.RunSpec, *_: object) -> None:
        spec.folder.adapter.mkdir()
        (spec.folder.adapter / WEIGHTS).write_bytes(b"weights")
        adapters.append(spec.folder.adapter)

    monkeypatch.setattr(story, "_train_and_score", train)
    return adapters


def start(output: Path) -> Record:
    record = run(spec_of(*BRIEF, f"output={output}"), Shared(Display(1), Planner(output)))
    assert record is not None
    return record


@pytest.mark.parametrize("damage", ["0 bytes", "cut off", "gone"])
def test_a_run_whose_adapter_is_damaged_is_not_completed_before_and_is_kept(
    damage: str, trained: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start(tmp_path)
    weights = trained[0] / WEIGHTS
    weights.unlink() if damage == "gone" else weights.write_bytes(b"" if damage == "0 bytes" else b"wei")
    start(tmp_path)
    assert len(trained) == 2
    assert f"damaged, run again: {weights}: " in capsys.readouterr().err
    assert len(list(tmp_path.glob("*/earlier/*/record.json"))) == 1


def test_a_run_that_is_whole_and_one_whose_adapter_was_taken_away_are_completed_before(
    trained: list[Path], tmp_path: Path
) -> None:
    start(tmp_path)
    assert verify(spec_of(*BRIEF, f"output={tmp_path}").folder).damages == []
    start(tmp_path)
    (trained[0] / WEIGHTS).unlink()
    trained[0].rmdir()
    start(tmp_path)
    assert len(trained) == 1
