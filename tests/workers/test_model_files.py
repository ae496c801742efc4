"""What a model's config.json has to be before anything is built of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.workers.tracing.model_files import problem
from tests.workers.followed import ARCHITECTURES, DENSE

REMOTE = {"auto_map": {"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}, "model_type": "own"}


def told(folder: Path, content: bytes | Any, **arguments: Any) -> str | None:
    file = folder / "config.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    found = problem({"model_name_or_path": str(folder), **arguments})
    return None if found is None else found.removeprefix(f"{file}: ")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_published_architecture_has_no_problem(name: str, tmp_path: Path) -> None:
    assert told(tmp_path, {"model_type": name} | ARCHITECTURES[name]) is None


def test_what_is_on_a_hub_is_not_looked_at() -> None:
    assert problem({"model_name_or_path": "Qwen/Qwen2-7B"}) is None


def test_a_folder_without_a_description_is_told_as_such(tmp_path: Path) -> None:
    said = problem({"model_name_or_path": str(tmp_path)})
    assert said == f"{tmp_path / 'config.json'}: is not there; give a model's folder, or a hub id"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no JSON (Expecting value: line 1 column 1 (char 0)); fetch it again"),
        (b"version https://git-lfs", "is no JSON (Expecting value: line 1 column 1 (char 0)); fetch it again"),
        (b'{"model_type": "qwen2"', "is no JSON (Expecting ',' delimiter: line 1 column 23 (char 22)); fetch it again"),
        (b"[]", "is no JSON object; fetch it again"),
        (b'"qwen2"', "is no JSON object; fetch it again"),
    ],
)
def test_a_file_that_is_no_description_is_to_be_fetched_again(content: bytes, said: str, tmp_path: Path) -> None:
    assert told(tmp_path, content) == said


@pytest.mark.parametrize("content", [b"\x89PNG\r\n", b"\xff\xfe\xff"])
def test_bytes_that_are_no_text_are_no_json(content: bytes, tmp_path: Path) -> None:
    said = told(tmp_path, content)
    assert said is not None
    assert said.startswith("is no JSON (")


@pytest.mark.parametrize("content", [{}, {"model_type": None}, {"model_type": ["qwen2"]}])
def test_a_description_of_no_architecture_is_told_as_such(content: dict[str, Any], tmp_path: Path) -> None:
    said = told(tmp_path, content)
    assert said == "has no model_type; give the config.json that the model was published with"


@pytest.mark.parametrize(
    ("kind", "near"), [("qwen22", "did you mean qwen2? "), ("lama", "did you mean llama? "), ("zzzzzzzzzz", "")]
)
def test_an_unknown_architecture_is_told_with_the_nearest(kind: str, near: str, tmp_path: Path) -> None:
    said = told(tmp_path, DENSE | {"model_type": kind})
    assert said == f"model_type {kind}: the installed transformers has no such architecture; {near}update it"


def test_code_of_the_models_own_is_asked_for_and_never_run_without(tmp_path: Path) -> None:
    (tmp_path / "modeling_own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert told(tmp_path, REMOTE) == (
        "its model is code of its own, which runs only where it is trusted; read it, and give "
        "model.trust_remote_code=true"
    )
    assert told(tmp_path, REMOTE, trust_remote_code=True) is None
    # What transformers has itself needs no trust.
    assert told(tmp_path, DENSE | {"auto_map": REMOTE["auto_map"]}) is None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        *[
            ({name: size}, f"{name} is {size!r}; a whole number above 0 is needed")
            for name in ("hidden_size", "num_attention_heads", "num_key_value_heads", "num_hidden_layers", "vocab_size")
            for size in (0, -1, 1.5, "4", True, [4])
        ],
        (
            {"num_attention_heads": 3, "num_key_value_heads": 1},
            "hidden_size 128 is no multiple of num_attention_heads 3, and head_dim is not given; fetch it again",
        ),
        ({"num_key_value_heads": 3}, "num_attention_heads 4 is no multiple of num_key_value_heads 3; fetch it again"),
        ({"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 32}, None),
        ({"num_key_value_heads": None}, None),
    ],
)
def test_sizes_that_no_model_can_have_are_told_by_name(
    changed: dict[str, Any], said: str | None, tmp_path: Path
) -> None:
    assert told(tmp_path, DENSE | changed) == said


def test_sizes_are_told_by_the_names_that_an_architecture_has_for_them(tmp_path: Path) -> None:
    gpt2 = {"model_type": "gpt2"} | ARCHITECTURES["gpt2"]
    assert told(tmp_path, gpt2 | {"n_layer": 0}) == "n_layer is 0; a whole number above 0 is needed"
    said = told(tmp_path, gpt2 | {"n_head": 3})
    assert said == "n_embd 128 is no multiple of n_head 3, and head_dim is not given; fetch it again"


def test_the_sizes_of_a_models_parts_are_looked_at(tmp_path: Path) -> None:
    seeing = {"model_type": "qwen3_vl"} | ARCHITECTURES["qwen3_vl"]
    text = seeing["text_config"] | {"num_key_value_heads": 3}
    said = told(tmp_path, seeing | {"text_config": text})
    assert said == "num_attention_heads 4 is no multiple of num_key_value_heads 3; fetch it again"
