"""LLaMA-Factory's own parser takes what the harness writes, and takes it as it was meant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.compose import points as compose
from harness.plan import spec as plan
from harness.trainer.arguments import OWN_ARGUMENTS, inference_arguments
from harness.trainer.known_arguments import training_argument_names

PARSE = """
import json, sys
from harness.workers import compat
compat.prepare_imports()
from dataclasses import fields
from transformers import HfArgumentParser
from llamafactory.hparams import get_train_args, get_infer_args
from llamafactory.hparams.parser import _TRAIN_ARGS
known = [field.name for part in _TRAIN_ARGS for field in fields(part) if field.init and not field.name.startswith("_")]
parsed = []
for kind, arguments in json.load(sys.stdin):
    parts = (get_train_args if kind == "train" else get_infer_args)(dict(arguments))
    merged = {name: str(value) for part in parts for name, value in vars(part).items()}
    parsed.append(merged)
json.dump({"known": known, "parsed": parsed}, open(sys.argv[1], "w"))
"""

CASES = {
    "lora": ["method=lora", "method.rank=4", "method.dropout=0.1"],
    "qlora": ["method=qlora", "method.alpha=32"],
    "double": ["method=qlora", "quantization=nf4_double"],
    "int8": ["method=lora", "quantization=int8"],
    "full": ["method=full"],
    "tutorial": ["method=qlora", "training=tutorial", "training.precision=bf16", "training.save_steps=500"],
    "extra": ["method=lora", "llamafactory.use_rslora=true", "llamafactory.neftune_noise_alpha=5"],
}


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What LLaMA-Factory understood, by case; one child process imports it once for all."""
    home = tmp_path_factory.mktemp("parse")
    given = []
    for name, overrides in CASES.items():
        (point,) = compose.points([*overrides, f"output={home}", f"sweep={name}", "device=cpu"], multirun=False)
        made = plan.make(point.config)
        given.append(("train", plan.arguments(made)))
    given.append(("infer", inference_arguments(made.config, made.model_path, "fp32", None)))
    result = home / "parsed.json"
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(result)], input=json.dumps(given), text=True, capture_output=True, cwd=home
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(result.read_text())
    return {"known": answer["known"], **dict(zip([*CASES, "infer"], answer["parsed"], strict=True))}


def test_lora_is_understood_as_lora(parsed: dict[str, Any]) -> None:
    lora = parsed["lora"]
    assert (lora["finetuning_type"], lora["lora_rank"], lora["lora_alpha"], lora["lora_dropout"]) == (
        "lora",
        "4",
        "8",
        "0.1",
    )
    assert lora["quantization_bit"] == "None"


def test_qlora_is_understood_as_four_bit_nf4_without_double_quantization(parsed: dict[str, Any]) -> None:
    qlora = parsed["qlora"]
    assert (qlora["quantization_bit"], qlora["quantization_type"], qlora["double_quantization"]) == (
        "4",
        "nf4",
        "False",
    )
    assert qlora["quantization_method"].lower().endswith("bnb")
    assert qlora["lora_alpha"] == "32"
    assert parsed["double"]["double_quantization"] == "True"
    assert parsed["int8"]["quantization_bit"] == "8"


def test_both_arms_of_a_pair_differ_in_quantization_alone(parsed: dict[str, Any]) -> None:
    (lora,) = compose.points(["method=lora", "device=cpu"], multirun=False)
    (qlora,) = compose.points(["method=qlora", "device=cpu"], multirun=False)
    one, other = (dict(plan.arguments(plan.make(point.config))) for point in (lora, qlora))
    changed = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    assert {key for key in changed if "quantization" not in key} == {"dataset_dir", "output_dir"}


def test_full_fine_tuning_has_no_adapter(parsed: dict[str, Any]) -> None:
    assert parsed["full"]["finetuning_type"] == "full"


def test_the_tutorials_settings_arrive(parsed: dict[str, Any]) -> None:
    tutorial = parsed["tutorial"]
    assert tutorial["bf16"] == "True"
    assert tutorial["learning_rate"] == "0.0001"
    assert (tutorial["per_device_train_batch_size"], tutorial["gradient_accumulation_steps"]) == ("2", "8")
    assert (tutorial["save_steps"], tutorial["eval_steps"]) == ("500", "20")


def test_an_argument_of_the_users_own_arrives(parsed: dict[str, Any]) -> None:
    assert (parsed["extra"]["use_rslora"], parsed["extra"]["neftune_noise_alpha"]) == ("True", "5")


def test_the_base_is_scored_unquantized(parsed: dict[str, Any]) -> None:
    assert parsed["infer"]["quantization_bit"] == "None"
    assert parsed["infer"]["adapter_name_or_path"] == "None"


def test_the_arguments_read_from_the_source_are_those_of_the_parser(parsed: dict[str, Any]) -> None:
    """A name too many would be refused only in mid-sweep; a name too few would refuse a good configuration."""
    assert training_argument_names() == set(parsed["known"])


def test_what_the_harness_sets_itself_are_arguments_that_exist() -> None:
    assert set(OWN_ARGUMENTS) <= training_argument_names()


def test_train_yaml_holds_only_arguments_that_exist() -> None:
    (point,) = compose.points(["method=qlora", "device=cpu"], multirun=False)
    assert set(plan.arguments(plan.make(point.config))) <= training_argument_names()


def test_train_yaml_is_written_where_it_is_run(tmp_path: Path) -> None:
    (point,) = compose.points([f"output={tmp_path}", "device=cpu"], multirun=False)
    made = plan.make(point.config)
    assert plan.arguments(made)["output_dir"] == str(made.folder / "adapter")
