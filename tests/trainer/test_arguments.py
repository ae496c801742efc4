"""LLaMA-Factory's own parser takes what the harness writes, and takes it as it was meant."""

from __future__ import annotations

import json
import subprocess
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from harness.trainer.fields import FIELDS, REACH, Reach, training_argument_names
from harness.trainer.trained import Trained
from tests.compose.checked import mistakes, only
from tests.compose.trained import arguments_of

PARSE = """
import json, sys
from harness.workers import compat
compat.prepare_imports()
from dataclasses import MISSING, fields
from transformers import HfArgumentParser
from llamafactory.hparams import get_train_args, get_infer_args
from llamafactory.hparams.parser import _TRAIN_ARGS, TrainingArguments
settable = {
    part: [field for field in fields(part) if field.init and not field.name.startswith("_")] for part in _TRAIN_ARGS
}
every = [field for listed in settable.values() for field in listed]
own = [field.name for part, listed in settable.items() if part is not TrainingArguments for field in listed]
known = [field.name for field in every]
defaults = {}
for field in every:
    value = field.default if field.default is not MISSING else None
    defaults[field.name] = getattr(value, "value", value)
parsed = []
for kind, arguments in json.load(sys.stdin):
    parts = (get_train_args if kind == "train" else get_infer_args)(dict(arguments))
    merged = {name: str(value) for part in parts for name, value in vars(part).items()}
    parsed.append(merged)
json.dump({"known": known, "own": own, "defaults": defaults, "parsed": parsed}, open(sys.argv[1], "w"), default=str)
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
    for overrides in CASES.values():
        config = only(*overrides)
        given.append(("train", arguments_of(config, home)))
    given.append(("infer", Trained(arguments_of(config, home), home / "adapter").base_arguments()))
    result = home / "parsed.json"
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(result)], input=json.dumps(given), text=True, capture_output=True, cwd=home
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(result.read_text())
    return answer | dict(zip([*CASES, "infer"], answer["parsed"], strict=True))


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


def test_both_arms_of_a_pair_differ_in_quantization_alone() -> None:
    lora, qlora = (arguments_of(only(f"method={method}")) for method in ("lora", "qlora"))
    changed = {key for key in lora.keys() | qlora.keys() if lora.get(key) != qlora.get(key)}
    assert changed == {"quantization_bit", "quantization_method", "quantization_type", "double_quantization"}


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


# ---- The table ----

EVERY_KIND = [
    *CASES.values(),
    ["training.save_steps=9", "training.max_steps=7", "training.warmup_steps=3", "dataset.max_samples=5"],
    ["dataset.validation_samples=0", "dataset.val_size=0.5", "model.trust_remote_code=true"],
]


def test_whatever_is_written_is_in_the_table_and_whatever_it_says_is_written_is() -> None:
    written = {name for given in EVERY_KIND for name in arguments_of(only(*given), processes=2)}
    of_the_user = {"use_rslora", "neftune_noise_alpha"}
    assert written - of_the_user == {name for name, field in FIELDS.items() if field.kind != "unwritten"}


def test_the_table_names_arguments_that_exist_and_keys_that_exist() -> None:
    assert set(FIELDS) <= training_argument_names()
    config = only()
    for field in FIELDS.values():
        if field.kind == "same":
            assert field.key is not None
            attrgetter(field.key)(config)


def test_what_is_so_in_every_run_is_so_in_every_run() -> None:
    constants = {name: field.value for name, field in FIELDS.items() if field.kind == "constant"}
    for given in EVERY_KIND[-2:]:
        arguments = arguments_of(only(*given))
        assert {name: arguments[name] for name in constants} == constants


def test_the_tables_defaults_are_llamafactorys_own(parsed: dict[str, Any]) -> None:
    """What an import takes a file to mean where it is silent."""
    assert {name: field.default for name, field in FIELDS.items()} == {
        name: parsed["defaults"][name] for name in FIELDS
    }


def test_it_is_decided_which_steps_each_argument_of_llamafactorys_own_reaches(parsed: dict[str, Any]) -> None:
    """A new version's that is in no class, or a name that is gone, fails here."""
    assert set(REACH) == set(parsed["own"])


def test_an_argument_that_reaches_no_step_is_refused_with_its_reason() -> None:
    refused = [name for name, reach in REACH.items() if reach is Reach.NONE]
    told = mistakes(*(f"llamafactory.{name}=1" for name in refused))
    assert [mistake.partition(":")[0] for mistake in told] == [f"llamafactory.{name}" for name in refused]
    assert (
        "llamafactory.train_from_scratch: the harness trains a model as its checkpoint holds it; for random" in told[1]
    )


def test_an_argument_that_has_a_key_is_refused_in_favour_of_the_key() -> None:
    keys = {name: field.key for name, field in FIELDS.items() if field.key}
    assert mistakes(*(f"llamafactory.{name}=1" for name in keys)) == [
        f"llamafactory.{name}: the harness sets this itself; use {key}" for name, key in keys.items()
    ]


def test_processors_that_train_together_talk_by_gloo() -> None:
    config = only()
    assert "ddp_backend" not in arguments_of(config)
    assert arguments_of(config, processes=2)["ddp_backend"] == "gloo"


def test_train_yaml_is_written_where_it_is_run(tmp_path: Path) -> None:
    arguments = arguments_of(only(), tmp_path)
    assert arguments["output_dir"] == str(tmp_path / "adapter")
    assert arguments["dataset_dir"] == str(tmp_path / "dataset")
