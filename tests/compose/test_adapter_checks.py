"""What keeps an adapter from being, when it is loaded again, what was trained, is told before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.compose.checked import mistakes, only


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """For the built-in base."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    return folder


def given(adapter: object, *more: str) -> tuple[str, ...]:
    return (f"llamafactory.adapter_name_or_path='{adapter}'", *more)


def told(*overrides: str) -> str:
    (mistake,) = mistakes(*overrides)
    return mistake


def test_adapters_that_llamafactory_merges_one_after_the_other_are_taken(adapter: Path) -> None:
    only("method=lora", *given(f"{adapter},{adapter}"))
    only("method=lora", *given(adapter, "llamafactory.create_new_adapter=true"))
    only("method=qlora", *given(adapter))
    only("method=lora", *given("owner/adapter"))


def test_quantized_weights_take_one_adapter_and_go_on_with_it(adapter: Path) -> None:
    assert "LLaMA-Factory takes one; merge the others first" in told("method=qlora", *given(f"{adapter},{adapter}"))
    new = told("quantization=int8", *given(adapter, "llamafactory.create_new_adapter=true"))
    assert new.startswith("llamafactory.create_new_adapter: into quantized weights LLaMA-Factory merges no adapter")


def test_a_full_fine_tuning_takes_none(adapter: Path) -> None:
    assert "method=full has no adapter; merge these first" in told("method=full", *given(adapter))


def test_a_folder_that_is_no_adapter_or_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is no adapter: there is no adapter_config.json in it" in told(*given(tmp_path / "empty"))
    assert f"={tmp_path / 'gone'}: no such folder" in told(*given(tmp_path / "gone"))


def test_an_adapter_of_another_base_is_told_by_its_shapes(adapter: Path) -> None:
    layer = "base_model.model.model.layers.0.self_attn.q_proj"
    shapes = {"A": (2, 7), "B": (7, 2)}
    save_file(
        {f"{layer}.lora_{side}.weight": np.zeros(shape, np.float32) for side, shape in shapes.items()},
        adapter / "adapter_model.safetensors",
    )
    assert "belongs to another base than model.path=" in told(*given(adapter))


def test_pissa_is_converted_or_refused_with_the_argument_that_helps() -> None:
    assert "add llamafactory.pissa_convert=true" in told("llamafactory.pissa_init=true")
    only("llamafactory.pissa_init=true", "llamafactory.pissa_convert=true")
    assert "cannot do it on quantized weights" in told(
        "method=qlora", "llamafactory.pissa_init=true", "llamafactory.pissa_convert=true"
    )
    assert "there is no PiSSA adapter to convert" in told("llamafactory.pissa_convert=true")


@pytest.mark.parametrize(("length", "is_right"), [(2048, False), (2049, True), (4096, True), (4097, False)])
def test_positions_are_stretched_alike_in_training_and_in_answering_or_not_at_all(length: int, is_right: bool) -> None:
    """LLaMA-Factory answers with a factor of 2, whatever it trained with; the built-in base has 2,048 positions."""
    overrides = ("llamafactory.rope_scaling=linear", f"training.cutoff_length={length}")
    if is_right:
        only(*overrides)
    else:
        assert "leave it out, or give a length above 2,048 and up to 4,096" in told(*overrides)
