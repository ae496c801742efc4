"""What the workers tell of a run stands in its record."""

from __future__ import annotations

import pytest

from harness.runs.events import Phase
from harness.runs.folder import RunFolder
from harness.runs.record import Answer
from tests.conftest import FinishedSweep
from tests.running import record_in

MIB = 2**20


def test_both_arms_were_given_the_same_rows_in_the_same_order(sweep: FinishedSweep) -> None:
    lora, qlora = (record_in(sweep.run(arm)) for arm in ("lora", "qlora"))
    assert lora.trained is not None
    assert qlora.trained is not None
    assert lora.trained.digest == qlora.trained.digest
    assert lora.trained.rows == 40 * lora.config["training"]["batch_size"]
    assert lora.training is not None
    assert lora.trained.tokens == lora.training.tokens
    # LLaMA-Factory fills each row up to the longest of its batch, and that to a multiple of eight.
    assert (lora.trained.tokens + lora.trained.padding_tokens) % 8 == 0
    assert lora.trained.padding_tokens > 0


@pytest.mark.parametrize("arm", ["lora", "qlora"])
def test_the_first_step_shows_what_memory_goes_to(sweep: FinishedSweep, arm: str) -> None:
    record = record_in(sweep.run(arm))
    assert record.evidence is not None
    assert record.first_step is not None
    adapter_bytes = 4 * record.evidence.trainable_parameters
    assert record.evidence.adapter_bytes == record.first_step.gradient_bytes == adapter_bytes
    assert record.first_step.optimizer_bytes == 2 * adapter_bytes
    assert record.first_step.recomputed is record.config["training"]["gradient_checkpointing"] is False
    assert (record.evidence.attention, record.evidence.norm_dtype) == ("sdpa", "float32")
    loaded = max(peak.peak_mib for peak in record.memory if peak.phase is Phase.LOAD and peak.quantity == "resident")
    assert record.runtime_mib is not None
    assert 100 < record.runtime_mib <= loaded


@pytest.mark.parametrize("arm", ["lora", "qlora"])
def test_the_pace_is_that_of_the_steps_after_three_and_the_time_is_told_by_phase(
    sweep: FinishedSweep, arm: str
) -> None:
    record = record_in(sweep.run(arm))
    training = record.training
    assert training is not None
    assert training.warmup_steps == 3
    assert training.warmup_seconds is not None
    assert training.step_seconds is not None
    assert 0 < training.step_seconds < training.train_seconds
    assert set(record.phase_seconds) == set(Phase)
    assert record.wall_seconds is not None
    assert sum(record.phase_seconds.values()) < record.wall_seconds


def test_answers_that_the_limit_cut_off_are_counted(sweep: FinishedSweep) -> None:
    record = record_in(sweep.run("lora"))
    lines = RunFolder(sweep.run("lora")).evaluation.answers.read_text(encoding="utf-8").splitlines()
    answers = [Answer.model_validate_json(line) for line in lines]
    limit = record.config["evaluation"]["max_new_tokens"]
    assert record.score is not None
    assert record.score.cut_off == sum(answer.finished is False for answer in answers)
    assert all(answer.finished is True or answer.generated_tokens == limit for answer in answers)
