"""A step that is followed without numbers takes what the same step takes with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from harness.devices.allocator import rounded
from harness.models import published
from tests.workers.followed import ARCHITECTURES, DENSE, ROWS, SETTINGS, SEVEN_B, TOKENS, Followed


@pytest.fixture(scope="session")
def followed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("followed")
    command = [sys.executable, "-m", "tests.workers.followed", str(folder)]
    env = os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=280)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads((folder / "followed.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture
def settings(followed: dict[str, Any]) -> dict[str, Followed]:
    return {name: both["meta"]["phases"] for name, both in followed["settings"].items()}


@pytest.mark.parametrize("name", SETTINGS)
def test_without_numbers_each_part_of_each_phase_is_as_large_as_with_them(name: str, followed: dict[str, Any]) -> None:
    both = followed["settings"][name]
    assert both["meta"]["phases"] == both["cpu"]["phases"]
    begun = "quantize" if "quantization_bit" in SETTINGS[name] else "load"
    assert list(both["meta"]["phases"]) == [begun, "train", "validate", "save", "asked: evaluate"]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_parts_add_up_to_the_peak(name: str, settings: dict[str, Followed]) -> None:
    for parts in settings[name].values():
        assert sum(size for part, size in parts.items() if part != "peak") == parts["peak"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_followed_to_its_end(name: str, followed: dict[str, Any]) -> None:
    found = followed["architectures"][name]
    sees = "text_config" in ARCHITECTURES[name]
    left_out = ["images, videos and sounds, and what the part of the model that takes them computes"]
    assert found["untraced"] == (left_out if sees else [])
    phases = found["phases"]
    assert list(phases) == ["load", "train", "validate", "save", "asked: evaluate"]
    assert phases["load"]["peak"] < phases["save"]["peak"] < phases["validate"]["peak"] < phases["train"]["peak"]
    assert phases["asked: evaluate"]["peak"] > phases["load"]["weights"]


def test_an_npu_keeps_sixteen_numbers_of_each_row_of_each_head(followed: dict[str, Any]) -> None:
    statistics = DENSE["num_hidden_layers"] * DENSE["num_attention_heads"] * ROWS * TOKENS * 15 * 4
    # Its kernel takes as many heads of keys as of queries, so that these are kept repeated.
    assert followed["kinds"]["ascend"] - followed["kinds"]["cuda"] >= statistics


def test_an_optimizer_has_the_states_that_it_is_known_for(settings: dict[str, Followed]) -> None:
    trained = settings["full"]["save"]["adapter"]
    # Of AdamW two numbers of float32 for each that is trained, and the count of its steps for each tensor.
    assert settings["full"]["save"]["optimizer"] == pytest.approx(2 * trained, rel=0.01)
    # Muon has one for each of a matrix; embedding and head keep AdamW's.
    assert trained < settings["full, muon"]["save"]["optimizer"] < 2 * trained
    whole = settings["full, pure_bf16"]["save"]
    assert whole["adapter"] == pytest.approx(trained / 2, rel=0.01)


def test_gradients_are_held_while_the_next_batch_is_taken(settings: dict[str, Followed]) -> None:
    once, accumulated = settings["full"]["train"], settings["full, accumulation"]["train"]
    assert accumulated["gradients"] == accumulated["adapter"]
    assert once.get("gradients", 0) < accumulated["gradients"]
    assert once["peak"] < accumulated["peak"]


def test_checkpointing_keeps_less_and_filler_takes_a_mask(settings: dict[str, Followed]) -> None:
    for scheme in ("lora", "nf4", "nf4_double", "fp4", "int8"):
        kept, spared = (settings[name]["train"] for name in (scheme, f"{scheme}, checkpointing"))
        assert spared["activations"] < kept["activations"] / 4
        assert spared["weights"] == kept["weights"]
    assert settings["lora"]["train"]["activations"] < settings["padded"]["train"]["activations"]


def test_logits_are_as_many_as_rows_tokens_and_words(settings: dict[str, Followed]) -> None:
    # Of float32: the loss's copy of the logits, their logarithms, and their gradient.
    assert settings["lora"]["train"]["logits_and_loss"] == 3 * 4 * ROWS * TOKENS * 1000
    assert settings["one row"]["train"]["logits_and_loss"] == 3 * 4 * TOKENS * 1000


def test_the_weights_of_7b_are_those_that_are_counted_by_hand(followed: dict[str, Any]) -> None:
    hidden, keys, wide, layers, rank = 3584, 512, 18944, 28, 8
    linear = {"q": (hidden, hidden), "k": (hidden, keys), "v": (hidden, keys), "o": (hidden, hidden)}
    linear |= {"gate": (hidden, wide), "up": (hidden, wide), "down": (wide, hidden)}
    count = sum(wanted * given for wanted, given in linear.values())
    rest = (PARAMETERS[SEVEN_B] - layers * count) * 2
    adapter = sum(wanted + given for wanted, given in linear.values()) * rank * 4
    expected = {
        "lora": count * 2,  # is merged before it answers
        # A scale of 4 bytes for each 64, and a code of 16 numbers.
        "nf4": count // 2 + count // 64 * 4 + len(linear) * 512 + adapter,
        # A scale of one byte for each 64, and one of 4 for each 256 of them, with a code of 256 numbers and an offset.
        "nf4_double": count // 2
        + count // 64
        + sum(rounded(wanted * given // 64 // 256 * 4) for wanted, given in linear.values())
        + len(linear) * (512 + 1024 + 512)
        + adapter,
        "int8": count + sum(given * 4 for _, given in linear.values()) + adapter,
    }
    rotary = 2 * 512
    found = {name: followed["loaded"][name] for name in expected}
    assert found == {name: rest + layers * size + rotary for name, size in expected.items()}


PARAMETERS = {
    "Qwen/Qwen1.5-7B": 7_721_324_544,
    "Qwen/Qwen2-0.5B": 494_032_768,
    "Qwen/Qwen2-7B": 7_615_616_512,
    "Qwen/Qwen2.5-1.5B-Instruct": 1_543_714_304,
    "Qwen/Qwen2.5-3B": 3_085_938_688,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-VL-8B-Instruct": 8_767_123_696,
}
"""What their publisher says (the metadata of their safetensors files)."""


def test_every_published_model_is_counted() -> None:
    assert {*published._CONFIGS} == {*PARAMETERS}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_published_model_has_as_many_parameters_as_its_publisher_says(name: str) -> None:
    config = published.config_of(name)
    assert config is not None
    auto = AutoModelForImageTextToText if "vision_config" in config else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(AutoConfig.for_model(**config))
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
