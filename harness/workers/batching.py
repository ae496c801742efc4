"""Which prompts are answered together: decided before the first answer, by nothing that differs between two arms.

So two runs that ask the same questions on the same kind of device ask them in the same batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.workers.evidence import logical_count

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WORTH_SHARING = 32
"""Tokens: a shorter beginning is read again with every prompt, which costs less than to put it before each."""


def batches(lengths: Sequence[int], at_once: int, new_tokens: int, tokens_at_once: int) -> list[list[int]]:
    """Return the places of prompts that are answered together, the longest first.

    Prompts of a length go together, which needs least padding; `at_once` of them at most, and no more than
    `tokens_at_once` hold when each is as long as the longest and has all its `new_tokens`; one by itself in any case.
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    found: list[list[int]] = []
    while order:
        rows = rows_at_once(at_once, lengths[order[0]] + new_tokens, tokens_at_once)
        found.append(order[:rows])
        order = order[rows:]
    return found


def rows_at_once(most: int, tokens: int, tokens_at_once: int) -> int:
    """Return how many prompts of so many `tokens`, answer included, are answered together."""
    return max(1, min(most, tokens_at_once // tokens))


def shared_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many tokens several prompts begin with that are to be read once, as are examples or a system prompt.

    Each keeps at least its last token; 0 where there is nothing worth sharing."""
    if len(prompts) < 2:
        return 0
    longest = min(map(len, prompts)) - 1
    columns = zip(*(prompt[:longest] for prompt in prompts), strict=True)
    alike = next((place for place, tokens in enumerate(columns) if len(set(tokens)) > 1), longest)
    return alike if alike >= WORTH_SHARING else 0


def tokens_held(model: PreTrainedModel, memory_bytes: int) -> int:
    """Return how many tokens of prompts and answers a device with so much memory may hold beside a model.

    From what all arms on a device have in common: nothing that is measured, and no quantization."""
    config = model.config.get_text_config()

    def size(name: str, otherwise: int) -> int:
        found: int | list[int] = getattr(config, name, None) or otherwise
        return found if isinstance(found, int) else max(found)  # a model may have one for each layer

    heads = size("num_attention_heads", 1)
    head_size = size("head_dim", config.hidden_size // heads)
    keys_and_values = 2 * config.num_hidden_layers * size("num_key_value_heads", heads) * head_size
    # What a layer makes of a prompt's token while it reads it: gate, up, their product, and as much again for what
    # kernels keep for themselves.
    made = 6 * size("intermediate_size", 4 * config.hidden_size)
    element_bytes = model.dtype.itemsize
    weight_bytes = sum(map(logical_count, model.parameters())) * element_bytes
    return tokens_at_once(memory_bytes, weight_bytes, (keys_and_values + made) * element_bytes)


def tokens_at_once(total_bytes: int, weight_bytes: int, bytes_a_token: int) -> int:
    """Return how many tokens of prompts and answers may be in a device's memory together.

    `weight_bytes` are those of the base as if nothing were quantized. Half of what they leave is for tokens, or of an
    eighth where they leave less; and a power of two, so that what an adapter adds changes nothing."""
    room = max(total_bytes - weight_bytes, total_bytes // 8) / 2
    return int(2 ** math.floor(math.log2(max(room / bytes_a_token, 1))))
