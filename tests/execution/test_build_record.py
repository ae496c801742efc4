"""What a record tells of a training is of the weights that it left."""

from __future__ import annotations

import errno
import os
from collections import namedtuple
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.execution import build_record as building
from harness.execution.build_record import Progress, _training, build_record
from harness.plan.spec import RunSpec
from harness.runs.events import TrainingFinished, TrainingLoss, ValidationLoss
from harness.runs.record import Outcome
from harness.runs.status import Holder
from tests.planning import spec_of


@pytest.mark.parametrize(("kept_step", "losses"), [(None, (0.1, 0.9)), (30, (0.1, 0.9)), (20, (0.2, 0.7))])
def test_the_losses_are_those_of_the_step_that_is_kept(
    tmp_path: Path, kept_step: int | None, losses: tuple[float, float]
) -> None:
    steps = {10: (0.3, 0.8), 20: (0.2, 0.7), 30: (0.1, 0.9)}
    trained = [TrainingLoss(step=step, loss=loss, learning_rate=0.1) for step, (loss, _) in steps.items()]
    validated = [ValidationLoss(step=step, loss=loss) for step, (_, loss) in steps.items()]
    end = TrainingFinished(train_seconds=1.0, validation_seconds=0.0, steps=30, tokens=10, kept_step=kept_step)
    training = _training(tmp_path, [*trained, *validated, end], trained, validated)
    assert training is not None
    assert (training.train_loss, training.validation_loss) == losses
    assert (training.steps, training.kept_step) == (30, kept_step)


@pytest.fixture
def spec(tmp_path: Path) -> RunSpec:
    """A run that has left an adapter, events and readings."""
    spec = spec_of("device=cpu", "evaluation=none", f"output={tmp_path}")
    spec.folder.adapter.mkdir(parents=True)
    for file in (spec.folder.events, spec.folder.readings, spec.folder.adapter / "adapter_model.safetensors"):
        file.write_bytes(b"")
    return spec


def test_a_record_knows_each_file_that_its_run_left_by_hash(spec: RunSpec) -> None:
    files = build_record(spec, Progress()).files
    assert files is not None
    assert sorted(files) == ["adapter/adapter_model.safetensors", "events.jsonl", "readings.jsonl"]
    # Of no bytes (FIPS 180-4).
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert {(kept.size_bytes, kept.sha256) for kept in files.values()} == {(0, empty)}


def test_a_run_whose_files_cannot_be_put_on_the_disk_is_not_completed(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    record = build_record(spec, Progress())
    assert record.status is Outcome.FAILED
    assert record.reason == "what it left cannot be put on the disk: [Errno 5] Input/output error"
    assert record.files is None


@pytest.mark.parametrize("chips", [["npu0-0", "npu1-0"], []])
def test_a_record_tells_since_when_its_run_had_which_chips_until_now(spec: RunSpec, chips: list[str]) -> None:
    since = datetime.now(UTC)
    holder = Holder(run="lora-seed0", sweep="single", user="me", host="here", pid=1, since=since, chips=chips)
    spec.folder.holder.write_text(holder.model_dump_json())
    lease = build_record(spec, Progress()).lease
    if not chips:
        assert lease is None
        return
    assert lease is not None
    assert (lease.chips, lease.since) == (chips, since)
    assert since < lease.until <= datetime.now(UTC)


def test_a_run_that_never_had_its_chips_has_no_lease(spec: RunSpec) -> None:
    assert build_record(spec, Progress()).lease is None


def test_a_folder_in_the_place_of_events_costs_no_record(spec: RunSpec) -> None:
    for file in (spec.folder.events, spec.folder.readings):
        file.unlink()
        file.mkdir()
    record = build_record(spec, Progress())
    assert record.unread_lines == 2
    assert sorted(record.files or {}) == ["adapter/adapter_model.safetensors"]


@pytest.mark.parametrize(("free", "is_blamed"), [(4096, True), (2**30, False)])
def test_a_disk_without_room_is_blamed_where_a_failed_run_could_not_say_why(
    free: int, is_blamed: bool, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", ["free"])
    monkeypatch.setattr(building.shutil, "disk_usage", lambda folder: usage(free))
    progress = Progress()
    progress.fail("the process ended with status 1 and gave no reason; see training.log")
    record = build_record(spec, progress)
    assert ("4,096 bytes are free" in (record.reason or "")) is is_blamed
    assert (record.diagnosis is not None and record.diagnosis.cause == "the disk is full") is is_blamed
    assert build_record(spec, Progress()).reason is None


def test_an_error_of_a_file_is_told_in_words_and_any_other_with_where_it_came_from(tmp_path: Path) -> None:
    told, unforeseen = Progress(), Progress()
    told.fail_with(OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path)))
    unforeseen.fail_with(ZeroDivisionError("nobody foresaw this"))
    assert (told.reason, told.log_tail) == (f"{tmp_path}: Read-only file system", [])
    assert unforeseen.log_tail == ["ZeroDivisionError: nobody foresaw this"]
