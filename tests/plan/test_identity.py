"""The hash that says which run this is: it changes with whatever decides a result, and with nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.base.paths import PACKAGE
from harness.devices.device import Device
from harness.plan import identity as identities
from harness.plan import planner
from tests.planning import spec_of

TINY = PACKAGE / "models" / "tiny"
BASE = ("device=cpu", "evaluation=arithmetic", "method=qlora", "dataset.train_samples=50")


CPU = Device("cpu", "cpu", (), "a processor", 1.0, True, {})
TWO_GPUS = Device("cuda", "cuda", (0, 1), "two GPUs", 1.0, True, {})


def identity(*overrides: str) -> str:
    return spec_of(*BASE, *overrides).identity


def base_identity(*overrides: str) -> str:
    return spec_of(*BASE, *overrides).base_folder.path.name


@pytest.mark.parametrize(
    ("device", "overrides", "run", "base", "announced"),
    [
        (CPU, [], "b2b1c9efd4", "5bec04f12f", "2:single/lora-seed0/e1f72486eb"),
        (
            CPU,
            ["method=qlora", "evaluation=arithmetic", "evaluation.limit=10", "seed=3"],
            "5029d9c305",
            "c50a4573af",
            "2:single/qlora-seed3/7768d3dc1f",
        ),
        (
            CPU,
            ["quantization=int8", "device.threads=2", "llamafactory.use_rslora=true", "training.max_steps=7"],
            "42881b6b0b",
            "dc3ed6bb78",
            "2:single/lora-int8-seed0/38aa4dd1c4",
        ),
        (
            CPU,
            ["model=random", "model.shape=qwen2_0_5b", "dataset.max_samples=5", "dataset.train_samples=9"],
            "54d337856e",
            "85490b88d2",
            "2:single/lora-seed0/6acbd7a9f3",
        ),
        (
            TWO_GPUS,
            ["launch=cards", "evaluation=arithmetic", "training=probe"],
            "1cb9af0a5b",
            "7d195fca11",
            "2:single/lora-seed0/92cce60c0f",
        ),
    ],
)
def test_a_run_has_the_identity_that_the_version_before_gave_it(
    device: Device, overrides: list[str], run: str, base: str, announced: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As 35a0e51 made them, with these versions: else a sweep that goes on would train everything again."""
    monkeypatch.setattr(planner, "versions", lambda: {"torch": "2.13.0", "peft": "0.18.1"})
    spec = spec_of("device=cpu", *overrides, device=device, number=2)
    assert (spec.identity, spec.base_folder.path.name, spec.announced) == (run, f"base-{base}", announced)


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
        "report.language=zh",
        "sweep=another",
        "arm=mine",
        "baseline=mine",
        "training.precision=fp32",  # what auto means on a CPU
        "training.logging_steps=1",
        "dry_run=true",
        # Asked for later without training again.
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


def test_what_a_model_folder_holds_besides_the_model_makes_no_other_run(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(TINY, model)
    (model / "README.md").write_text("what the hub says of it")
    (model / "outputs").mkdir()
    (model / "outputs" / "train.log").write_text("a run")
    spec = spec_of(*BASE, f"model.path={model}")
    assert spec.identity == identity()
    # The version before took them for a part of the model; a run that it completed is found under its old name.
    former = spec.former()
    assert former is not None
    assert former.identity != spec.identity
    assert former.former() is None
    assert spec_of(*BASE).former() is None


def test_the_parts_of_an_identity_tell_what_two_runs_differ_in() -> None:
    plain, other = (spec_of(*BASE, *extra).parts.model_dump() for extra in ((), ("dataset.train_samples=51", "seed=1")))
    assert {part for part in plain if plain[part] != other[part]} == {"rows", "seed"}
    assert identities.of_run(spec_of(*BASE).parts) == identity()
