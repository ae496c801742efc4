"""How long the rows of a training are, once LLaMA-Factory has made tokens of them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args, parser
from llamafactory.model import load_tokenizer

_LEFT_OUT = ("deepspeed", "ddp_backend", "fp16", "pissa_init")
"""What asks for the device, and PiSSA, which looks at the weights and changes neither their size nor the adapter's."""


@dataclass(frozen=True)
class Longest:
    """The longest rows, in tokens. Each batch is as long as its longest row, and each row is in one."""

    tokens: int
    differ: bool
    """Whether there are shorter ones."""
    validation_tokens: int


def longest(arguments: Mapping[str, Any]) -> Longest:
    """Return how long the longest rows of the datasets are that the arguments name. Raises what LLaMA-Factory does."""
    model_arguments, data_arguments, training_arguments, _, _ = parsed(arguments)
    module = load_tokenizer(model_arguments)
    template = get_template_and_fix_tokenizer(module["tokenizer"], data_arguments)
    found = get_dataset(template, model_arguments, data_arguments, training_arguments, stage="sft", **module)
    lengths = [len(ids) for ids in found["train_dataset"]["input_ids"]]
    held_out = found.get("eval_dataset")
    sets = held_out.values() if isinstance(held_out, dict) else [] if held_out is None else [held_out]
    validation = [len(ids) for each in sets for ids in each["input_ids"]]
    return Longest(max(lengths), min(lengths) < max(lengths), max(validation, default=1))


def prompt_tokens(arguments: Mapping[str, Any], texts: Sequence[str]) -> int:
    """Return how many tokens the longest of the questions has in the template of the training."""
    model_arguments, data_arguments, _, _, _ = parsed(arguments)
    tokenizer = load_tokenizer(model_arguments)["tokenizer"]
    template = get_template_and_fix_tokenizer(tokenizer, data_arguments)
    answer = {"role": "assistant", "content": ""}
    prompts = [template.encode_oneturn(tokenizer, [{"role": "user", "content": text}, answer])[0] for text in texts]
    return max(map(len, prompts))


def parsed(arguments: Mapping[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
    """Return LLaMA-Factory's reading of the arguments of a training, whose device is not here. Raises what it does."""
    with patch.object(parser, "is_torch_bf16_gpu_available", lambda: True):
        read: tuple[Any, Any, Any, Any, Any] = get_train_args(_without_device(arguments))
    return read


_UNPAGED = {"adamw_32bit": "adamw_torch_fused", "ademamix_32bit": "ademamix"}
"""The optimizers with the states of those that transformers has with pages alone."""


def _without_device(arguments: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in arguments.items() if name not in _LEFT_OUT}
    half = bool(arguments.get("bf16") or arguments.get("fp16"))
    # Mixed precision with fp16 takes what it takes with bf16, but for its scaler's few numbers.
    given |= {"use_cpu": True, "bf16": half, "report_to": "none", "output_dir": tempfile.gettempdir()}
    if "optim" in given:
        unpaged = str(given["optim"]).removeprefix("paged_")
        given["optim"] = _UNPAGED.get(unpaged, unpaged)
    return given
