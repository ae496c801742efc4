"""The hash that says which run this is: it changes with whatever decides a result, and with nothing else."""

from __future__ import annotations

import json
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


def changes(*overrides: str, file: Path, content: bytes) -> bool:
    """Whether another content of a file makes another run of the same command."""
    before = identity(*overrides)
    assert identity(*overrides) == before
    file.write_bytes(content)
    return identity(*overrides) != before


def test_other_weights_of_an_adapter_in_the_same_place_are_another_run(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text("{}")
        (tmp_path / name / "adapter_model.bin").write_bytes(b"as it was")
    both = f"llamafactory.adapter_name_or_path='{tmp_path / 'first'},{tmp_path / 'second'}'"
    assert changes("method=lora", both, file=tmp_path / "second" / "adapter_model.bin", content=b"as it is")
    (tmp_path / "first").rename(tmp_path / "moved")
    moved = both.replace("first", "moved")
    shutil.copytree(tmp_path / "moved", tmp_path / "first")
    assert identity("method=lora", both) == identity("method=lora", moved), "the same adapters elsewhere"


def test_other_tokens_in_a_file_that_is_named_are_another_run(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    file.write_text("<a>: a")
    assert changes(f"llamafactory.new_special_tokens_config={file}", file=file, content=b"<a>: b")


def test_another_image_under_the_same_name_is_another_run(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    image = tmp_path / "media" / "1.png"
    image.write_bytes(b"a picture")
    seeing = shutil.copytree(TINY, tmp_path / "seeing")
    config = json.loads((seeing / "config.json").read_text())
    (seeing / "config.json").write_text(json.dumps(config | {"vision_config": {}}))
    turns = [{"from": "human", "value": "<image>what?"}, {"from": "gpt", "value": "a cat"}]
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"conversations": turns, "images": ["1.png"]}] * 4))
    given = (
        *("dataset=local", f"dataset.path={rows}", "dataset.formatting=sharegpt", "dataset.train_samples=4"),
        *("dataset.columns={messages: conversations, images: images}", "training.validation_steps=null"),
        f"model.path={seeing}",
    )
    here = f"llamafactory.media_dir={tmp_path / 'media'}"
    specs = [spec_of(*BASE, *given, place) for place in (here, "llamafactory.media_dir=/nowhere")]
    assert specs[0].identity != specs[1].identity
    image.write_bytes(b"another one")
    assert spec_of(*BASE, *given, here).identity != specs[0].identity


def test_other_examples_beside_the_questions_are_another_run(tmp_path: Path) -> None:
    for split in ("test", "train"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"question": "1+1?", "answer": "#### 2"}) + "\n")
    asked = ("evaluation=gsm8k", f"evaluation.path={tmp_path / 'test.jsonl'}", "evaluation.limit=1")
    other = json.dumps({"question": "2+1?", "answer": "#### 3"}).encode() + b"\n"
    assert changes(*asked, "evaluation.few_shot=1", file=tmp_path / "train.jsonl", content=other)
    assert not changes(*asked, "evaluation.few_shot=0", file=tmp_path / "train.jsonl", content=other + other)


@pytest.mark.parametrize(
    "said", ["default_system=Be brief.", "enable_thinking=false", "add_tokens=[x]", "model_revision=v2"]
)
def test_what_says_how_the_model_is_asked_gives_the_base_another_score(said: str) -> None:
    assert base_identity(f"llamafactory.{said}") != base_identity()


def test_what_is_of_the_training_alone_leaves_the_base_its_score() -> None:
    assert base_identity("llamafactory.use_rslora=true", "llamafactory.neftune_noise_alpha=5") == base_identity()


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
