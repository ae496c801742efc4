"""The model under evaluation, loaded and prompted by LLaMA-Factory itself.

So the template, the data type and the quantization are those of the training, whatever they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from llamafactory.data import get_template_and_fix_tokenizer
from llamafactory.hparams import get_infer_args
from llamafactory.model import load_model, load_tokenizer
from transformers import GenerationConfig

from harness.devices.cgroup import host_memory_bytes
from harness.workers.batching import batches, shared_beginning, tokens_held
from harness.workers.compat import patch_bitsandbytes, patch_merging
from harness.workers.decoding import (
    SharedBeginning,
    decode,
    growing_cache,
    patch_adapter,
    patch_grouped_heads,
    patch_head,
)
from harness.workers.evidence import is_quantized

if TYPE_CHECKING:
    from llamafactory.data import Template
    from transformers import PreTrainedModel, PreTrainedTokenizer


class QuantizationError(Exception):
    """The model is not quantized as it should be; a score of it would go to the wrong arm."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str
    """system, user or assistant."""
    content: str


@dataclass(frozen=True)
class Generation:
    """What a model made of one conversation."""

    text: str
    prompt_tokens: int
    tokens: int
    """Generated ones, the stop token included."""
    finished: bool
    """False: it was cut off at the limit."""


class LanguageModel:
    """Answers conversations greedily, several at once."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizer, template: Template, max_new_tokens: int
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._template = template
        self.stop_tokens = frozenset(template.get_stop_token_ids(tokenizer))
        # Replaced, not passed to generate(): what a call leaves open is filled from the checkpoint's own
        # generation_config.json, and a repetition penalty from there is no longer greedy decoding.
        model.generation_config = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=sorted(self.stop_tokens),
            pad_token_id=tokenizer.pad_token_id,
        )
        patch_head(model)
        patch_adapter(model)

    @torch.inference_mode()
    def answer(
        self,
        conversations: list[list[Message]],
        on_answers: Callable[[int], None] = lambda _: None,
        at_once: int | None = None,
    ) -> list[Generation]:
        """Return one generation for each conversation. Each must end with the user's turn.

        `at_once`: the most in a batch; None: all that memory allows. `on_answers` hears of how many a batch gave."""
        prompts = [self.encode(conversation) for conversation in conversations]
        length = 0 if growing_cache(self.model) is None else shared_beginning(prompts)
        shared = SharedBeginning(self.model, prompts[0][:length]) if length else None
        new_tokens = self.model.generation_config.max_new_tokens
        found: dict[int, Generation] = {}
        lengths = [len(prompt) for prompt in prompts]
        held = tokens_held(self.model, _memory_bytes(self.model.device))
        for places in batches(lengths, at_once or len(prompts), new_tokens, held):
            answers = self._answer_batch([prompts[place] for place in places], shared)
            found |= zip(places, answers, strict=True)
            on_answers(len(places))
        return [found[place] for place in range(len(prompts))]

    def _answer_batch(self, prompts: list[list[int]], shared: SharedBeginning | None) -> list[Generation]:
        inputs = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        inputs = inputs.to(self.model.device)
        padding = (inputs["attention_mask"] == 0).sum(dim=-1)
        cache = growing_cache(self.model) if shared is None else shared.before(padding)
        if cache is not None:
            inputs["past_key_values"] = cache
        rows: list[list[int]] = self.model.generate(**inputs, custom_generate=decode)
        return [self.to_generation(len(prompt), row) for prompt, row in zip(prompts, rows, strict=True)]

    def encode(self, conversation: list[Message]) -> list[int]:
        """Return the tokens of a conversation up to the assistant's next turn, in the training's template."""
        system = "\n".join(message.content for message in conversation if message.role == "system") or None
        turns = [
            {"role": message.role, "content": message.content} for message in conversation if message.role != "system"
        ]
        to_be_generated = {"role": "assistant", "content": ""}
        prompt: list[int]
        prompt, _ = self._template.encode_oneturn(self.tokenizer, [*turns, to_be_generated], system)
        return prompt

    def to_generation(self, prompt_tokens: int, row: list[int]) -> Generation:
        """Return what generated tokens say, of which the last may be a stop token."""
        finished = row[-1] in self.stop_tokens
        text = self.tokenizer.decode(row[: len(row) - finished], skip_special_tokens=True)
        return Generation(text, prompt_tokens, len(row), finished)


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cpu":
        return host_memory_bytes()
    total: int = getattr(torch, device.type).mem_get_info(device)[1]
    return total


def load(arguments: dict[str, Any], max_new_tokens: int) -> LanguageModel:
    """Load what LLaMA-Factory's inference `arguments` name, adapter and quantization included.

    Raises QuantizationError, ValueError for arguments that LLaMA-Factory refuses, and what its loader raises.
    """
    model_arguments, data_arguments, finetuning_arguments, _ = get_infer_args(arguments)
    if model_arguments.quantization_bit is not None:
        patch_bitsandbytes()
    patch_merging()
    patch_grouped_heads()
    tokenizer = load_tokenizer(model_arguments)["tokenizer"]
    template = get_template_and_fix_tokenizer(tokenizer, data_arguments)
    model = load_model(tokenizer, model_arguments, finetuning_arguments, is_trainable=False)
    if model_arguments.quantization_bit is not None:
        check_quantized(model, model_arguments.quantization_bit)
    return LanguageModel(model, tokenizer, template, max_new_tokens)


def check_quantized(model: torch.nn.Module, bits: int) -> None:
    """Make sure that a layer of `model` holds quantized weights. Raises QuantizationError where none does."""
    if not any(is_quantized(module) for module in model.modules()):
        raise QuantizationError(
            f"quantization to {bits} bits was asked for, but no layer of the loaded model is quantized; its score "
            "would be that of another arm. Only bitsandbytes is recognised: use quantization_method=bnb"
        )
