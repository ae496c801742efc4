"""Which prompts are answered together: decided before the first answer, by nothing that differs between two arms.

So two runs that ask the same questions on the same kind of device ask them in the same batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

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
        rows = max(1, min(at_once, tokens_at_once // (lengths[order[0]] + new_tokens)))
        found.append(order[:rows])
        order = order[rows:]
    return found


def shared_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many tokens several prompts begin with that are to be read once, as are examples or a system prompt.

    Each keeps at least its last token; 0 where there is nothing worth sharing."""
    if len(prompts) < 2:
        return 0
    longest = min(map(len, prompts)) - 1
    columns = zip(*(prompt[:longest] for prompt in prompts), strict=True)
    alike = next((place for place, tokens in enumerate(columns) if len(set(tokens)) > 1), longest)
    return alike if alike >= WORTH_SHARING else 0


def tokens_at_once(total_bytes: int, weight_bytes: int, bytes_a_token: int) -> int:
    """Return how many tokens of prompts and answers may be in a device's memory together.

    `weight_bytes` are those of the base as if nothing were quantized. Half of what they leave is for tokens, or of an
    eighth where they leave less; and a power of two, so that what an adapter adds changes nothing."""
    room = max(total_bytes - weight_bytes, total_bytes // 8) / 2
    return int(2 ** math.floor(math.log2(max(room / bytes_a_token, 1))))
