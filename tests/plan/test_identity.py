"""The hash that says which run this is: it changes with whatever decides a result, and with nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.base.paths import PACKAGE
from harness.compose import points as compose
from harness.plan import spec as plan
from harness.plan.identity import of_weights

TINY = PACKAGE / "models" / "tiny"
BASE = ("device=cpu", "evaluation=arithmetic", "method=qlora", "dataset.train_samples=50")


def identity(*overrides: str) -> str:
    (point,) = compose.points([*BASE, *overrides], multirun=False)
    return plan.make(point.config).identity


def base_identity(*overrides: str) -> str:
    (point,) = compose.points([*BASE, *overrides], multirun=False)
    return plan.make(point.config).base_identity


@pytest.mark.parametrize(
    "change",
    [
        "seed=1",
        "method.rank=16",
        "quantization=int8",
        "quantization.double=true",
        "training.learning_rate=0.1",
        "training.precision=bf16",
        "dataset.train_samples=51",
        "dataset.seed=1",
        "evaluation.limit=10",
        "llamafactory.use_rslora=true",
        "model.template=qwen",
    ],
)
def test_what_decides_the_result_makes_another_run(change: str) -> None:
    assert identity(change) != identity()


@pytest.mark.parametrize(
    "change",
    [
        "device.interval_seconds=5",
        "tracking=disabled",
        "output=elsewhere",
        "reports=elsewhere",
        "sweep=another",
        "arm=mine",
        "baseline=mine",
        "training.precision=fp32",  # what auto means on a CPU
        "training.logging_steps=1",
        "dry_run=true",
        # Made up for without training again.
        "evaluation.targets=[base,adapter,merged]",
        "evaluation.prompts=[{prompt: 你是谁, expected: 北大}]",
    ],
)
def test_what_does_not_decide_the_result_makes_the_same_run(change: str) -> None:
    assert identity(change) == identity()


def test_the_same_weights_in_another_place_are_the_same_model(tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / "copy")
    assert identity(f"model.path={tmp_path / 'copy'}") == identity()


def test_other_weights_in_the_same_place_are_another_model(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(TINY, model)
    before = identity(f"model.path={model}")
    weights = model / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert identity(f"model.path={model}") != before


def test_the_base_is_the_same_for_all_arms_and_seeds() -> None:
    assert base_identity("seed=3", "method=lora", "training.learning_rate=0.1") == base_identity()
    assert base_identity("evaluation.limit=10") != base_identity()
    assert base_identity("evaluation.prompts=[{prompt: 1+1?}]") == base_identity()


def test_weights_are_known_by_themselves_and_entries_that_hold_none_are_passed_by(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    (folder / "README.md").write_text("says nothing of the weights")
    (folder / "optimizer.bin").symlink_to("nowhere")
    (folder / "old.safetensors").mkdir()
    assert of_weights(folder) == of_weights(TINY)
    (folder / "more.safetensors").write_bytes(b"weights")
    assert of_weights(folder) != of_weights(TINY)
    assert of_weights(tmp_path) is None
