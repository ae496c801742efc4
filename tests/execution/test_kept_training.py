"""A training is not done again for what failed after it: mended questions are asked of what was trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from harness.base.errors import UserError
from harness.cli.display import Display
from harness.execution import run as story
from harness.execution.run import Shared, run
from harness.plan import device as devices
from harness.plan.planner import Planner
from harness.plan.spec import RunSpec
from harness.processes.child import Ended
from harness.runs.events import TrainingFinished, TrainingLoss, report
from harness.runs.folder import RunFolder
from harness.runs.record import Outcome, Record
from harness.runs.verify import verify
from tests.conftest import FinishedSweep
from tests.planning import spec_of
from tests.running import TINY, record_in


class Harness:
    """Runs in a folder of its own. The training is that of the shared sweep, counted; the rest is real."""

    def __init__(self, home: Path, trained: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trainings = 0
        self.questions = home / "test.jsonl"
        self._home, self._trained = home, trained
        monkeypatch.setattr("harness.execution.run._train", self._train)

    def spec(self, *overrides: str) -> RunSpec:
        asked = (
            "evaluation=gsm8k",
            f"evaluation.path={self.questions}",
            "evaluation.limit=1",
            "evaluation.targets=[adapter]",
        )
        few = ("evaluation.max_new_tokens=8", "tracking=disabled", f"output={self._home}")
        return spec_of("method=lora", "device=cpu", *asked, *few, *overrides)

    def ask(self, question: str) -> None:
        self.questions.write_text(json.dumps({"question": question, "answer": "#### 2"}) + "\n")

    def run(self, spec: RunSpec) -> Record:
        record = run(spec, Shared(Display(1), Planner(self._home)))
        assert record is not None
        assert record_in(spec.folder.path) == record
        return record

    def _train(self, spec: RunSpec, *_: object) -> Ended:
        self.trainings += 1
        shutil.copytree(self._trained.adapter, spec.folder.adapter)
        shutil.copy(self._trained.check, spec.folder.check)
        report(spec.folder.events, TrainingLoss(step=1, loss=0.5, learning_rate=0.1))
        finished = TrainingFinished(train_seconds=1.0, validation_seconds=0.0, steps=1, tokens=10)
        report(spec.folder.events, finished)
        return Ended(Outcome.COMPLETED, None, 1.0, [])


@pytest.fixture
def harness(sweep: FinishedSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    return Harness(tmp_path, RunFolder(sweep.run("lora")), monkeypatch)


def test_mended_questions_are_asked_without_training_again(harness: Harness) -> None:
    harness.ask("1+1?")
    planned = harness.spec()
    harness.questions.write_text('{"question": "1+1?"\n')
    failed = harness.run(planned)
    assert (failed.status, failed.score) == (Outcome.FAILED, None)
    assert (failed.reason or "").startswith("evaluation: ")

    harness.ask("What is 1+1?")
    mended = harness.spec()
    assert mended.identity != planned.identity
    scored = harness.run(mended)
    assert (scored.status, scored.reason, scored.diagnosis, scored.log_tail) == (Outcome.COMPLETED, None, None, [])
    assert scored.score is not None
    assert scored.score.questions == 1
    assert (scored.identity, harness.trainings) == (mended.identity, 1)
    assert scored.training == failed.training
    # What it took is not known: the first time counts a scoring that failed.
    assert (scored.wall_seconds, scored.energy) == (None, None)
    assert scored.training is not None
    assert scored.adapter_check is not None
    assert scored.adapter_check.is_same
    assert not planned.folder.path.exists()
    assert str(mended.folder.adapter) in mended.folder.train.read_text()
    (kept,) = mended.sweep_folder.earlier.glob(f"{planned.folder.name}-*/record.json")
    assert Record.model_validate_json(kept.read_bytes()) == failed

    # It is completed now, and nothing of it is done again.
    assert harness.run(mended) == scored
    assert harness.trainings == 1


def failed_after_training(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> RunSpec:
    """A run whose scoring failed, without the time that takes."""
    harness.ask("1+1?")
    spec = harness.spec()
    for where, why in {"run": "out of luck", "scoring": "still out of luck"}.items():
        ended = Ended(Outcome.FAILED, why, 1.0, [])
        nothing = ended, story.targets.Answered()
        monkeypatch.setattr(f"harness.execution.{where}.score", lambda *_, nothing=nothing: nothing)
    assert harness.run(spec).reason == "evaluation: out of luck"
    return spec


def test_scoring_that_fails_again_is_a_failed_run_again(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = failed_after_training(harness, monkeypatch)
    again = harness.run(spec)
    assert (again.status, again.reason) == (Outcome.FAILED, "evaluation: still out of luck")
    assert harness.trainings == 1


@pytest.mark.parametrize("what", ["adapter", "method.rank", "seed"])
def test_what_is_another_training_is_trained(harness: Harness, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    spec = failed_after_training(harness, monkeypatch)
    if what == "adapter":
        file = spec.folder.adapter / "adapter_model.safetensors"
        weights = load_file(file)
        save_file({name: np.zeros_like(weight) for name, weight in weights.items()}, file, {"format": "pt"})
    else:
        spec = harness.spec(f"{what}=4")
    assert harness.run(spec).reason == "evaluation: out of luck"
    assert harness.trainings == 2


def test_a_run_of_the_same_command_is_not_robbed(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    former = failed_after_training(harness, monkeypatch)
    spec = harness.spec("evaluation.max_new_tokens=9")
    run(spec, Shared(Display(1), Planner(former.started_in), frozenset((former.folder.path, spec.folder.path))))
    assert harness.trainings == 2
    assert former.folder.record.exists()


def test_what_is_no_longer_asked_fails_no_run(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    failed_after_training(harness, monkeypatch)
    spec = harness.spec("evaluation=none", "evaluation.path=null", "evaluation.limit=null")
    record = harness.run(spec)
    assert (record.status, record.unscored, harness.trainings) == (Outcome.COMPLETED, {}, 1)
    assert (record.identity, record.config["evaluation"]["name"]) == (spec.identity, "none")
    assert record.command == spec.command


def test_rows_with_images_are_those_that_were_planned(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(TINY, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "vision_config": {}}))
    (tmp_path / "1.png").write_bytes(b"an image")
    turns = [{"from": "human", "value": "<image>?"}, {"from": "gpt", "value": "a"}]
    (tmp_path / "rows.json").write_text(json.dumps([{"conversations": turns, "images": ["1.png"]}] * 4))
    spec = spec_of(
        *("dataset=local", f"dataset.path={tmp_path}/rows.json", "dataset.formatting=sharegpt"),
        *("dataset.columns={messages: conversations, images: images}", "training.validation_steps=null"),
        *(f"llamafactory.media_dir={tmp_path}", f"model.path={model}", "device=cpu"),
    )
    device = devices.choose(spec.config)
    assert story._as_planned(spec, device, Planner(tmp_path)).media() == ["1.png"]
    (tmp_path / "1.png").write_bytes(b"another")
    with pytest.raises(UserError, match="holds other rows than when the run was planned"):
        story._as_planned(spec, device, Planner(tmp_path))


def test_a_training_that_somebody_is_at_is_left_alone(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    former = failed_after_training(harness, monkeypatch)
    spec = harness.spec("evaluation.max_new_tokens=9")
    with story.store.locked(former.folder.lock, lambda: None):
        harness.run(spec)
    assert harness.trainings == 2
    assert former.folder.record.exists()


def test_a_dry_run_puts_no_training_aside(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = failed_after_training(harness, monkeypatch)
    dry = harness.spec("dry_run=true")
    assert dry.folder == spec.folder
    assert run(dry, Shared(Display(1), Planner(spec.started_in))) is None
    assert harness.run(spec).reason == "evaluation: still out of luck"
    assert harness.trainings == 1


def test_a_dry_run_waits_for_nobody_and_leaves_what_another_process_is_at(harness: Harness) -> None:
    harness.ask("1+1?")
    spec = harness.spec("dry_run=true")
    spec.folder.path.parent.mkdir(parents=True)
    observer = mock.Mock(wraps=Display(1))
    with story.store.locked(spec.folder.lock, lambda: None):
        assert run(spec, Shared(observer, Planner(spec.started_in))) is None
    assert [call.args[1] for call in observer.skipped.call_args_list] == ["another process is at it"]
    assert not spec.folder.path.exists()


def test_who_interrupts_while_what_was_trained_is_hashed_loses_no_training(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.ask("1+1?")
    spec = harness.spec()
    with monkeypatch.context() as interrupted:
        interrupted.setattr("harness.execution.build_record.kept.training", mock.Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            harness.run(spec)
    record = record_in(spec.folder.path)
    assert (record.status, record.reason) == (Outcome.INTERRUPTED, "interrupted by the user")
    completed = harness.run(spec)
    assert (completed.status, harness.trainings) == (Outcome.COMPLETED, 1)
    assert "adapter/adapter_model.safetensors" in (completed.files or {})
    assert not verify(spec.folder).damages


def test_files_of_a_run_that_is_scored_again_tell_of_the_training_as_it_was(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failing:
        trained = failed_after_training(harness, failing)
    spec = harness.spec("training.logging_steps=7")
    assert spec.folder == trained.folder
    assert harness.run(spec).status is Outcome.COMPLETED
    assert harness.trainings == 1
    assert "logging_steps: 7" not in spec.folder.train.read_text()
    assert not verify(spec.folder).damages


def test_a_dry_run_of_mended_questions_takes_nothing_over(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    former = failed_after_training(harness, monkeypatch)
    assert (
        run(harness.spec("evaluation.max_new_tokens=9", "dry_run=true"), Shared(Display(1), Planner(former.started_in)))
        is None
    )
    assert former.folder.record.exists()
