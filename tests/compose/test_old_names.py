"""A training file of an earlier LLaMA-Factory says what it said then."""

from __future__ import annotations

from typing import Any

import pytest

from harness.compose import old_names
from harness.compose.llamafactory_file import import_training
from harness.compose.old_names import modernized
from harness.trainer.fields import training_argument_names

EACH = sorted((*old_names._RENAMED, *old_names._GONE, *old_names._LENGTHS))


@pytest.mark.parametrize("old", EACH)
def test_an_old_name_is_told_and_what_it_becomes_is_taken_today(old: str) -> None:
    assert old not in training_argument_names()
    for value in (True, False, 8, 0.5, "a", None):
        modern = modernized({old: value})
        assert modern.arguments.keys() <= training_argument_names()
        (line,) = (*modern.renamed, *modern.left_out)
        assert line.startswith(f"{old}: ")


@pytest.mark.parametrize(
    ("old", "overrides"),
    [
        ({"evaluation_strategy": "steps", "eval_steps": 7, "val_size": 0.1}, ["training.validation_steps=7"]),
        ({"per_gpu_train_batch_size": 3}, ["training.batch_size=3"]),
        ({"no_cuda": True}, ["device=cpu"]),
        ({"max_source_length": 300, "max_target_length": 200}, ["training.cutoff_length=500"]),
        ({"max_source_length": 300}, ["training.cutoff_length=812"]),
        ({"prompt_template": "vanilla"}, ["model.template=empty"]),
        ({"checkpoint_dir": "saves/a", "resume_lora_training": False}, ["llamafactory.create_new_adapter=true"]),
        ({"checkpoint_dir": "saves/a"}, ["llamafactory.adapter_name_or_path=saves/a"]),
        ({"neft_alpha": 5}, ["llamafactory.neftune_noise_alpha=5"]),
        ({"sft_packing": True}, ["training.packing=true"]),
        ({"dev_ratio": 0.1}, ["dataset.val_size=0.1"]),
        ({"system_prompt": "Be brief."}, ["llamafactory.default_system='Be brief.'"]),
        ({"new_special_tokens": "<a>"}, ["llamafactory.add_special_tokens='<a>'"]),
        ({"image_resolution": 512}, ["llamafactory.image_max_pixels=262144"]),
        ({"image_resolution": 262144}, ["llamafactory.image_max_pixels=262144"]),
        ({"group_by_length": True}, ["llamafactory.train_sampling_strategy=group_by_length"]),
        ({"adafactor": True}, ["llamafactory.optim=adafactor"]),
        ({"flash_attn": True}, ["llamafactory.flash_attn=fa2"]),
        ({"flash_attn": False}, ["llamafactory.flash_attn=disabled"]),
        ({"flash_attn": "off"}, ["llamafactory.flash_attn=disabled"]),
        ({"flash_attn": "sdpa"}, ["llamafactory.flash_attn=sdpa"]),
        ({"quantization_bit": 8, "quantization_method": "bitsandbytes"}, ["quantization=int8"]),
        ({"optim": "adamw_hf"}, ["llamafactory.optim=adamw_torch"]),
        (
            {"train_mm_proj_only": True, "finetuning_type": "full"},
            ["llamafactory.freeze_language_model=true", "llamafactory.freeze_multi_modal_projector=false"],
        ),
    ],
)
def test_the_new_name_has_the_value(old: dict[str, Any], overrides: list[str]) -> None:
    told = import_training(old).overrides
    assert set(overrides) <= set(told), told


def test_an_old_name_beside_the_new_one_gives_way_and_is_told() -> None:
    modern = modernized({"evaluation_strategy": "epoch", "eval_strategy": "steps"})
    assert modern.arguments == {"eval_strategy": "steps"}
    assert modern.left_out == [
        "evaluation_strategy: is eval_strategy since transformers 4.41, which is given too, and holds"
    ]


def test_what_says_what_is_so_without_it_becomes_nothing() -> None:
    modern = modernized({"group_by_length": False, "adafactor": False})
    assert modern.arguments == {}
    assert modern.renamed == [
        "group_by_length: says what is so without it since transformers 5",
        "adafactor: says what is so without it since transformers 5",
    ]


def test_a_token_under_its_old_name_is_told_and_never_shown() -> None:
    imported = import_training({"hf_auth_token": "hf_very_secret", "push_to_hub_token": "hf_very_secret"})
    everything = [*imported.overrides, *imported.left_out, *imported.renamed, *imported.idle]
    assert not any("very_secret" in text for text in everything)
    assert "hf_auth_token: hf_hub_token since LLaMA-Factory 0.2.3" in imported.renamed


def test_what_is_renamed_to_something_a_run_does_not_take_is_left_out_with_the_reason() -> None:
    imported = import_training({"cache_path": "cache", "dpo_beta": 0.1})
    named = {line.partition(":")[0] for line in imported.left_out}
    assert {"tokenized_path", "pref_beta"} <= named


def test_a_name_that_means_something_else_by_now_is_told() -> None:
    """Where an older file meant the generation's."""
    imported = import_training({"use_cache": False})
    assert "llamafactory.use_cache=false" in imported.overrides
    assert any(line.startswith("use_cache: ") and "use_kv_cache" in line for line in imported.renamed)
