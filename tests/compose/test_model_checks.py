"""A model's folder that cannot be trained as it is meant is told before anything starts, by what its files say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.base.paths import PACKAGE
from tests.compose.checked import mistakes, only

TINY = PACKAGE / "models" / "tiny"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 988097824\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return shutil.copytree(TINY, tmp_path / "model")


def told(model: Path, *overrides: str) -> list[str]:
    place = f"model.path={model}: "
    found = mistakes(f"model.path={model}", *overrides)
    assert all(mistake.startswith(place) for mistake in found), found
    return [mistake.removeprefix(place) for mistake in found]


def add_to_config(model: Path, **keys: Any) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | keys))


def test_pointers_of_git_lfs_are_named_with_the_command_that_fetches_the_files(model: Path) -> None:
    (model / "model.safetensors").write_bytes(POINTER)
    (model / "tokenizer.json").write_bytes(POINTER)
    assert told(model) == [
        "model.safetensors, tokenizer.json: Git LFS pointers, not the files themselves; run git lfs pull in it"
    ]


def test_a_shard_that_is_named_and_not_there_is_missing(model: Path) -> None:
    shards = {f"layer.{number}": f"{number}-of-5.safetensors" for number in range(1, 6)}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (model / "model.safetensors").rename(model / shards["layer.2"])
    (missing,) = told(model)
    assert missing.startswith(
        "1-of-5.safetensors, 3-of-5.safetensors, 4-of-5.safetensors and 1 more: named by its index"
    )


def test_weights_that_were_cut_off_are_named(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    (damaged,) = told(model)
    assert damaged.startswith(f"{weights}: is no safetensors file; it was cut off")


@pytest.mark.parametrize(
    ("described", "scheme"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
    ],
)
def test_weights_that_are_quantized_already_are_not_quantized_again(
    described: dict[str, Any], scheme: str, model: Path
) -> None:
    add_to_config(model, quantization_config=described)
    (already,) = told(model, "method=qlora")
    assert already.startswith(
        f"its weights are quantized already ({scheme}), and LLaMA-Factory leaves quantization=nf4 out"
    )
    only(f"model.path={model}", "method=lora")


def test_images_for_a_model_that_reads_text_alone(model: Path, tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "<image>what?"}, {"from": "gpt", "value": "a cat"}]
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"conversations": turns, "images": ["1.png"]}] * 4))
    given = (
        *("dataset=local", f"dataset.path={rows}", "dataset.formatting=sharegpt", "training.validation_steps=null"),
        "dataset.columns={messages: conversations, images: images}",
    )
    (blind,) = told(model, *given)
    assert "dataset.columns names images; give a model that takes them" in blind
    add_to_config(model, vision_config={"hidden_size": 8})
    only(f"model.path={model}", *given)


def test_a_template_that_llamafactory_does_not_know_comes_with_the_nearest() -> None:
    (unknown,) = mistakes("model.template=qwen3_nothinking")
    assert unknown.startswith(
        "model.template=qwen3_nothinking: LLaMA-Factory knows no such template; did you mean qwen3_no"
    )
