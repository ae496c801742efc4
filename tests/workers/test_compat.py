"""Repairs of pinned libraries that no other test meets on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness.workers import compat


def negated(function: Callable[[int], int]) -> Callable[[int], int]:
    return lambda number: -function(number)


def test_what_an_import_wraps_in_the_compiler_is_compiled_once_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[dict[str, Any]] = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: compiled.append(options) or negated(function))
    with compat.compiled_at_first_call():

        @torch.compile(dynamic=False)
        def double(number: int) -> int:
            """Of a library."""
            return 2 * number

        triple = torch.compile(lambda number: 3 * number)
    assert compiled == []
    assert (double(2), double(3), triple(2)) == (-4, -6, -6)
    assert compiled == [{"dynamic": False}, {}]
    assert double.__doc__ == "Of a library."
