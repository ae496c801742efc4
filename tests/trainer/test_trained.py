"""What of a training's arguments reaches the steps after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.trainer.fields import REACH, Reach
from harness.trainer.trained import Trained

OUT = Path("/run/adapter")
ARGUMENTS = {"model_name_or_path": "/base", "template": "qwen", "finetuning_type": "lora"}


def trained(**arguments: Any) -> Trained:
    return Trained(ARGUMENTS | arguments, OUT)


def steps(of: Trained) -> dict[str, dict[str, Any]]:
    return {
        "base": of.base_arguments(),
        "adapter": of.adapter_arguments(),
        "merged": of.merged_arguments(Path("/merged")),
        "export": of.export_arguments(Path("/merged")),
    }


@pytest.mark.parametrize("name", [name for name, reach in REACH.items() if reach is Reach.EVERY_STEP])
def test_what_says_what_the_model_is_reaches_every_step_alike(name: str) -> None:
    if name == "adapter_name_or_path":
        return  # below
    given = {step: arguments[name] for step, arguments in steps(trained(**{name: "/given"})).items()}
    of_merged = "/merged" if name == "model_name_or_path" else "/given"
    assert given == {"base": "/given", "adapter": "/given", "merged": of_merged, "export": "/given"}


@pytest.mark.parametrize("name", [name for name, reach in REACH.items() if reach is Reach.TRAINING])
def test_what_is_of_the_training_alone_reaches_no_other_step(name: str) -> None:
    if name == "finetuning_type":
        return
    plain = steps(trained())
    assert steps(trained(**{name: False})) == plain


def test_the_quantization_is_that_of_the_adapter_alone() -> None:
    given = steps(trained(quantization_bit=4, quantization_type="nf4"))
    assert {step: arguments.get("quantization_bit") for step, arguments in given.items()} == {
        "base": None,
        "adapter": 4,
        "merged": None,
        "export": None,
    }


@pytest.mark.parametrize(
    ("given", "base", "adapter"),
    [
        ({}, None, "/run/adapter"),
        # It goes on with the last one, whose place its own takes; those before are merged into the base.
        ({"adapter_name_or_path": "a"}, "a", "/run/adapter"),
        ({"adapter_name_or_path": "a, b"}, "a,b", "a,/run/adapter"),
        ({"adapter_name_or_path": ["a", "b"]}, "a,b", "a,/run/adapter"),
        # All are, and a new one is trained.
        ({"adapter_name_or_path": "a,b", "create_new_adapter": True}, "a,b", "a,b,/run/adapter"),
        ({"pissa_init": True, "pissa_convert": True}, None, "/run/adapter/pissa_converted"),
    ],
)
def test_adapters_that_a_training_started_from_stay_below_its_own(
    given: dict[str, Any], base: str | None, adapter: str
) -> None:
    found = {step: arguments.get("adapter_name_or_path") for step, arguments in steps(trained(**given)).items()}
    assert found == {"base": base, "adapter": adapter, "merged": None, "export": adapter}


def test_a_full_fine_tuning_is_loaded_as_a_model() -> None:
    given = steps(trained(finetuning_type="full"))["adapter"]
    assert (given["model_name_or_path"], given["finetuning_type"]) == ("/run/adapter", "full")
    assert "adapter_name_or_path" not in given


@pytest.mark.parametrize(
    ("given", "dtype"), [({}, "auto"), ({"bf16": True}, "bfloat16"), ({"pure_bf16": True}, "bfloat16")]
)
def test_it_is_asked_in_the_precision_that_it_was_trained_in(given: dict[str, Any], dtype: str) -> None:
    assert trained(**given).adapter_arguments()["infer_dtype"] == dtype
    assert trained(**given).export_arguments(OUT)["infer_dtype"] == "auto"
