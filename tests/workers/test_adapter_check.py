"""What is scored is what was trained, or the worker says why not and there is no score.

The runs are those of the shared sweep; what is done to their files is done to copies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

from harness.base.paths import PACKAGE
from harness.processes.jobs import EvaluationJob
from harness.runs.events import AdapterChecked, Failure, PhasePeaks, PhaseStarted, read
from harness.runs.folder import RunFolder, TargetFolder
from harness.workers import adapter_check, evaluate
from harness.workers.adapter_check import ROWS, TOKENS, Folders, TokenRow, losses, noise, try_rows
from harness.workers.lifecycle import is_out_of_memory
from tests.conftest import FinishedSweep
from tests.running import record_in
from tests.workers.trainings import Training, only, row

TINY = PACKAGE / "models" / "tiny"
Copy = Callable[[str], RunFolder]


@pytest.fixture
def copy(sweep: FinishedSweep, tmp_path: Path) -> Copy:
    """A copy of the run of an arm, trained and not scored yet."""

    def copied(arm: str) -> RunFolder:
        folder = RunFolder(tmp_path / arm)
        shutil.copytree(sweep.run(arm), folder.path)
        return folder

    return copied


def score(folder: RunFolder, **model_arguments: Any) -> EvaluationJob:
    """Score a copied run anew, on a single question, as its own evaluation did."""
    job = EvaluationJob.model_validate_json(folder.evaluation.job.read_bytes())
    assert job.check is not None
    adapter = {"adapter_name_or_path": str(folder.adapter)}
    output = folder.path / "scored-again"
    again = {
        "model_arguments": job.model_arguments | adapter | model_arguments,
        "check": folder.check,
        "output": output,
        "events": folder.path / "events-again.jsonl",
        "limit": 1,
        "prompts": [],
    }
    job = EvaluationJob.model_validate(job.model_dump() | again)
    evaluate.main(job)
    return job


def refused(folder: RunFolder, **model_arguments: Any) -> str:
    """Why a copied run is not scored."""
    with pytest.raises(SystemExit, match="1"):
        score(folder, **model_arguments)
    assert not TargetFolder(folder.path / "scored-again").score.exists()
    assert not TargetFolder(folder.path / "scored-again").answers.exists()
    return only(read(folder.path / "events-again.jsonl"), Failure).error


def change(file: Path, by: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    weights = {name: by(name, tensor) for name, tensor in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.parametrize("arm", ["lora", "qlora"])
def test_what_was_trained_is_scored_and_what_its_losses_were_is_recorded(sweep: FinishedSweep, arm: str) -> None:
    checked = record_in(sweep.run(arm)).adapter_check
    assert checked is not None
    assert checked.trained_loss == pytest.approx(checked.loaded_loss, abs=checked.noise / 2)


def test_the_check_belongs_to_no_phase(copy: Copy) -> None:
    """So neither its time nor its memory is the evaluation's."""
    job = score(copy("lora"))
    kinds = [type(event) for event in read(job.events) if isinstance(event, PhaseStarted | PhasePeaks | AdapterChecked)]
    assert kinds == [PhaseStarted, PhasePeaks, AdapterChecked, PhaseStarted, PhasePeaks]


@pytest.mark.parametrize("arm", ["lora", "qlora"])
def test_an_adapter_of_zeros_is_not_scored(copy: Copy, arm: str) -> None:
    folder = copy(arm)
    change(folder.adapter / "adapter_model.safetensors", lambda name, tensor: torch.zeros_like(tensor))
    why = refused(folder)
    found = only(read(folder.path / "events-again.jsonl"), AdapterChecked)
    assert found.loaded_loss - found.trained_loss > 10 * found.noise
    assert f"{found.loaded_loss:.3f} nats a token" in why
    assert f"{found.trained_loss:.3f}" in why
    assert f"{folder.adapter} does not hold the weights that the training left there" in why


def test_another_runs_adapter_is_not_scored_even_where_its_loss_is_the_same(copy: Copy) -> None:
    """QLoRA's adapter over LoRA's base: both learnt the same rows."""
    folder, other = copy("lora"), copy("qlora")
    shutil.copy(other.adapter / "adapter_model.safetensors", folder.adapter)
    assert "does not hold the weights that the training left there" in refused(folder)
    found = only(read(folder.path / "events-again.jsonl"), AdapterChecked)
    assert abs(found.trained_loss - found.loaded_loss) < found.noise


def test_an_adapter_that_was_cut_off_is_named_as_damaged(copy: Copy) -> None:
    folder = copy("lora")
    file = folder.adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    why = refused(folder)
    assert "does not hold the weights that the training left there" in why
    assert "SafetensorError" in why


def test_an_adapter_that_was_not_saved_whole_is_not_scored(copy: Copy) -> None:
    """Its files are those that the training left; what they lack PEFT fills up without an error."""
    folder = copy("lora")
    change(
        folder.adapter / "adapter_model.safetensors",
        lambda name, tensor: torch.zeros_like(tensor) if "mlp" in name else tensor,
    )
    check = adapter_check.read(folder.check)
    adapter_check.write(folder.check, Folders(folder.adapter, TINY), check.rows)
    assert "so that was not saved whole" in refused(folder)


def test_another_base_below_the_adapter_is_not_scored(copy: Copy, tmp_path: Path) -> None:
    folder, base = copy("lora"), tmp_path / "base"
    shutil.copytree(TINY, base)
    change(base / "model.safetensors", lambda name, tensor: 1.1 * tensor)
    assert f"{base} does not hold the weights that it was trained on" in refused(folder, model_name_or_path=str(base))


def test_a_run_of_an_earlier_version_is_scored_without(copy: Copy) -> None:
    folder = copy("lora")
    job = EvaluationJob.model_validate_json(folder.evaluation.job.read_bytes())
    again = {"check": None, "output": folder.path / "again", "events": folder.path / "again.jsonl", "limit": 1}
    adapter = job.model_arguments | {"adapter_name_or_path": str(folder.adapter)}
    evaluate.main(EvaluationJob.model_validate(job.model_dump() | again | {"model_arguments": adapter, "prompts": []}))
    assert TargetFolder(folder.path / "again").score.exists()
    assert not [event for event in read(folder.path / "again.jsonl") if isinstance(event, AdapterChecked)]


def adapted(model: nn.Module) -> nn.Module:
    return get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], lora_dropout=0.5, task_type="CAUSAL_LM"))


def test_the_rows_are_the_first_that_were_trained_on_as_the_model_sees_them_without_dropout(training: Training) -> None:
    rows = [row(*range(10, 14), prompt=4), *(row(*range(10 + n, 16 + 2 * n)) for n in range(8))]
    training(rows, prepare=adapted, train_sampling_strategy="sequential")
    kept = training.reporter.checked_rows
    # Of the first row there is nothing to learn.
    assert [one.input_ids for one in kept] == [one["input_ids"] for one in rows[1 : 1 + ROWS]]
    model = training.model
    assert model.training
    model.eval()
    for one in kept:
        ids, labels = torch.tensor([one.input_ids]), torch.tensor([one.labels])
        with torch.no_grad():
            own = model(input_ids=ids, labels=labels).loss
        assert np.mean(one.losses) == pytest.approx(own.item(), rel=1e-5)
        assert len(one.losses) == sum(label != -100 for label in one.labels[1:])


def test_of_a_long_row_the_start_is_taken_or_the_end_where_it_is_learnt_from_that_alone() -> None:
    ids = np.arange(3 * TOKENS) % 50
    for first_learnt, start in ((5, 0), (3 * TOKENS - 5, 2 * TOKENS)):
        labels = np.where(np.arange(len(ids)) < first_learnt, -100, ids)
        (found,) = try_rows(Uniform(), [TokenRow(ids, labels)])
        assert found.input_ids == ids[start : start + TOKENS].tolist()
        assert found.losses == pytest.approx([np.log(50)] * len(found.losses))
        assert found.losses


class Uniform(nn.Module):
    """Deems each of 50 tokens as likely as any other."""

    def __init__(self, logit: float = 0.0) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(logit))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        class Output:
            logits = self.logit * torch.ones(*input_ids.shape, 50)

        return Output


ONE = TokenRow(np.arange(10), np.arange(10))


def test_a_loss_that_is_no_number_is_held_against_nothing(tmp_path: Path) -> None:
    adapter_check.write(tmp_path / "check.json", Folders(tmp_path, None), try_rows(Uniform(float("nan")), [ONE]))
    adapter_check.write(tmp_path / "check.json", Folders(tmp_path, None), [])
    assert not (tmp_path / "check.json").exists()


def test_a_loaded_model_whose_loss_is_no_number_is_not_what_was_trained(tmp_path: Path) -> None:
    adapter_check.write(tmp_path / "check.json", Folders(tmp_path, None), try_rows(Uniform(), [ONE]))
    check = adapter_check.read(tmp_path / "check.json")
    check.require_same(check.compare(Uniform()), Folders(tmp_path, None))
    broken = check.compare(Uniform(float("nan")))
    assert AdapterChecked.model_validate_json(broken.model_dump_json()).loaded_loss != 0
    with pytest.raises(adapter_check.AdapterMismatchError, match="loss is nan nats"):
        check.require_same(broken, Folders(tmp_path, None))


def test_a_model_that_takes_more_than_token_ids_is_trained_all_the_same(
    training: Training, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise TypeError("forward() missing pixel_values")

    monkeypatch.setattr(adapter_check, "losses", fail)
    training(max_steps=1)
    assert training.reporter.checked_rows == []
    assert training.model.training
    assert "missing pixel_values" in capfd.readouterr().err


def test_memory_that_is_short_while_a_changed_adapter_is_loaded_is_still_short_memory(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "adapter_model.safetensors")
    adapter_check.write(tmp_path / "check.json", Folders(tmp_path, None), try_rows(Uniform(), [ONE]))
    check = adapter_check.read(tmp_path / "check.json")
    with pytest.raises(MemoryError), check.damage_explained(Folders(tmp_path, None)):
        raise MemoryError
    save_file({"a": torch.ones(1)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(adapter_check.AdapterMismatchError) as caught, check.damage_explained(Folders(tmp_path, None)):
        raise MemoryError
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_loss_is_that_of_the_tokens_that_are_learnt(precision: str) -> None:
    labels = [-100, 1, -100, 3]
    model = Uniform().to(getattr(torch, precision))
    assert losses(model, [0, 1, 2, 3], labels) == pytest.approx([np.log(50)] * 2)


def test_the_mean_of_fewer_tokens_may_be_further_apart() -> None:
    """By what rounding does to each of them; some of it is alike in all."""
    assert noise(1) > 2 * noise(10) > 0
    assert noise(10**9) == pytest.approx(0.02, abs=1e-4)


@pytest.mark.parametrize(("apart", "is_same"), [(0.9, True), (-0.9, True), (1.1, False), (-1.1, False)])
def test_apart_by_more_than_noise_is_another_model_whichever_is_better(
    tmp_path: Path, apart: float, is_same: bool
) -> None:
    adapter_check.write(tmp_path / "check.json", Folders(tmp_path, None), try_rows(Uniform(), [ONE]))
    checked = adapter_check.read(tmp_path / "check.json").compare(Uniform())
    checked = checked.model_copy(update={"loaded_loss": checked.trained_loss + apart * checked.noise})
    with nullcontext() if is_same else pytest.raises(adapter_check.AdapterMismatchError):
        adapter_check.read(tmp_path / "check.json").require_same(checked, Folders(tmp_path, None))
