"""Greedy decoding of a batch by the steps of transformers' own generate().

Answers that are finished leave the batch, and what all prompts begin with is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.integrations import sdpa_attention

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel


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
