"""Greedy decoding of a batch by the steps of transformers' own generate().

Answers that are finished leave the batch, and what all prompts begin with is read once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners import lora
from peft.tuners.lora.layer import Linear, LoraLayer
from torch.nn import functional
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.integrations import sdpa_attention

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel

_PLAIN_LAYERS = {Linear, *(getattr(lora, name) for name in ("Linear4bit", "Linear8bitLt") if hasattr(lora, name))}
"""Those that PEFT has with the libraries that are here."""


def patch_grouped_heads() -> None:
    """Have a CPU's attention take the keys and values of grouped heads as they are.

    transformers 5.6.0 copies them for each query head where there is a mask, and so the whole cache for each token of a
    batch: CUDA has no fast kernel for both, but torch's CPU kernel takes both, to the same bits. Unnecessary once
    `use_gqa_in_sdpa` asks for the device. Call before the model is asked.
    """
    use = sdpa_attention.use_gqa_in_sdpa
    if hasattr(use, "__wrapped__"):
        return

    @wraps(use)
    def use_on_cpu(attention_mask: torch.Tensor | None, key: torch.Tensor) -> bool:
        return key.device.type == "cpu" or bool(use(attention_mask, key))

    sdpa_attention.use_gqa_in_sdpa = use_on_cpu


def patch_head(model: PreTrainedModel) -> None:
    """Have the weight of a model's head multiply all rows of a batch at once.

    Of a prompt's hidden states transformers 5.6.0 hands over the last one of each row, which is not contiguous; where
    the weight is frozen, torch 2.13 multiplies that by bmm, for which a CPU copies the whole weight for each row: three
    quarters of the time with 262,144 tokens. Unnecessary once torch folds such inputs as it does for weights that are
    trained (`should_fold` in ATen/native/LinearAlgebra.cpp).
    """
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(lambda _, inputs: tuple(tensor.contiguous() for tensor in inputs))


def patch_adapter(model: PreTrainedModel) -> None:
    """Have LoRA's layers add their part by PEFT's own products, without what PEFT looks up for each of them each time.

    PEFT 0.18.1 asks each time which adapters are active, merged, of a variant or chosen for a row, casts by a context,
    and goes over all that a layer gives out once to scale it and once to add it to a copy. Of a model that only answers
    all of it is settled: on a CPU a pass takes 0.8 to 0.9 of PEFT's, to the same bits. A layer where it is otherwise
    (DoRA, several adapters) is left as it is.
    """
    for layer in model.modules():
        if isinstance(layer, LoraLayer) and (forward := _settled(layer)) is not None:
            layer.forward = forward


def _settled(layer: LoraLayer) -> Any | None:
    """What a layer with one plain adapter does."""
    kind, active = type(layer), list(layer.active_adapters)
    if kind not in _PLAIN_LAYERS or layer.disable_adapters or layer.merged or len(active) != 1:
        return None
    (name,) = active
    if name not in layer.lora_A or name in layer.lora_variant or layer.lora_dropout[name].training:
        return None
    base, down, up, scaling = layer.get_base_layer(), layer.lora_A[name], layer.lora_B[name], layer.scaling[name]
    is_cast_first = kind is not Linear
    adapter_dtype = down.weight.dtype
    # A power of two, which moves no rounding wherever it stands, where there are the fewest numbers to multiply.
    is_exact = up.bias is None and abs(math.frexp(scaling)[0]) == 0.5

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = base(hidden)
        added: torch.Tensor = functional.linear(hidden.to(adapter_dtype), down.weight, down.bias)
        if is_exact:
            added = functional.linear(added.mul_(scaling), up.weight)
        else:
            added = functional.linear(added, up.weight, up.bias) * scaling
        if added.dtype == result.dtype:
            return result.add_(added)
        return result + added.to(result.dtype) if is_cast_first else (result + added).to(result.dtype)

    return forward


def decode(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: GenerationConfig,
    **state: Any,
) -> list[list[int]]:
    """Return the tokens that follow each row of `input_ids`, the stop token included; a `custom_generate`.

    generate() itself goes on with all rows until the last is finished, on padding (transformers 5.6.0, `_sample`)."""
    stop_tokens = set(generation_config.eos_token_id)
    answers: list[list[int]] = [[] for _ in input_ids]
    rows = list(range(len(answers)))
    may_leave = _is_plain(model) and isinstance(state.get("past_key_values"), Cache)
    longest = generation_config.max_length - input_ids.shape[1]
    outputs = model._prefill(input_ids, generation_config, state)
    while True:
        chosen = outputs.logits[:, -1].argmax(dim=-1)
        state = model._update_model_kwargs_for_generation(outputs, state)
        for row, token in zip(rows, chosen.tolist(), strict=True):
            if not stop_tokens.intersection(answers[row][-1:]):
                answers[row].append(token)
        going = [place for place, row in enumerate(rows) if answers[row][-1] not in stop_tokens]
        if not going or max(map(len, answers)) == longest:
            return answers
        # Dropped before the next pass: it would hold the logits of this one as well.
        del outputs
        input_ids = torch.cat([input_ids, chosen[:, None]], dim=-1)
        if may_leave and len(going) < len(rows):
            kept = torch.tensor(going, device=input_ids.device)
            rows, input_ids = [rows[place] for place in going], input_ids[kept]
            state["past_key_values"].reorder_cache(kept)
            state |= {name: state[name][kept] for name in ("attention_mask", "position_ids") if name in state}
        outputs = model(**model.prepare_inputs_for_generation(input_ids, next_sequence_length=1, **state))


def _is_plain(model: PreTrainedModel) -> bool:
    """A model that sees counts positions beside its cache, and one of remote code keeps what nobody knows."""
    return model.config.get_text_config() is model.config and not model.is_remote_code()


class GrowingLayer(DynamicLayer):
    """Keys and values with room behind them, where transformers copies all of them for each new token."""

    ROOM = 64
    """Tokens."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = (new[:, :, :0] for new in (key_states, value_states))
            self._rooms = [self.keys, self.values]
            self._shown = self.keys
        start, end = self.keys.shape[-2], self.keys.shape[-2] + key_states.shape[-2]
        # Others than were shown: rows have left.
        if self._rooms[0].shape[-2] < end or self.keys is not self._shown:
            self._rooms = [
                new.new_empty(*new.shape[:-2], end + self.ROOM, new.shape[-1]) for new in (key_states, value_states)
            ]
            for room, held in zip(self._rooms, (self.keys, self.values), strict=True):
                room[:, :, :start] = held
        for room, new in zip(self._rooms, (key_states, value_states), strict=True):
            room[:, :, start:end] = new
        self.keys, self.values = (room[:, :, :end] for room in self._rooms)
        self._shown = self.keys
        return self.keys, self.values


def growing_cache(model: PreTrainedModel) -> Cache | None:
    """Return an empty cache; None: the model remembers more of a text than the keys and values of each token."""
    if not _is_plain(model) or not model._supports_default_dynamic_cache():
        return None
    layers = DynamicCache(config=model.config).layers
    if not all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        return None
    return Cache(layers=[GrowingLayer() if type(layer) is DynamicLayer else layer for layer in layers])


class SharedBeginning:
    """The keys and values of the tokens that every prompt begins with."""

    def __init__(self, model: PreTrainedModel, tokens: Sequence[int]) -> None:
        # Of whole layers: a sliding window keeps its end alone, and each prompt may need another part. The mask slides.
        self._cache = DynamicCache()
        ids = torch.tensor([tokens], device=model.device)
        model(input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1)

    def before(self, padding: torch.Tensor) -> Cache:
        """Return the cache of the first columns of a batch with so much `padding` on the left of each row.

        As many columns as there are tokens: where there is padding, the last of the tokens are left to be read again,
        beside the longer rows' own. Padding holds what the mask hides."""
        columns = torch.arange(self._cache.get_seq_length(), device=padding.device) - padding[:, None]
        columns = columns.clamp(min=0)
        cache = Cache(layer_class_to_replicate=GrowingLayer)
        for place, layer in enumerate(self._cache.layers):
            cache.update(*(held[0][:, columns].transpose(0, 1) for held in (layer.keys, layer.values)), place)
        return cache
