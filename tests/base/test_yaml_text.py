"""What is written as YAML is read as what it was: a system prompt is a part of the model that is asked."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from harness.base.yaml_text import UnreadableError, load, to_yaml


@given(st.text(st.characters(codec="utf-8"), max_size=40))
@example("a\x85b")
@example("a\u2028 b\u2029")
@example("\ufeff")
@example("yes")
@example("1e3")
def test_a_text_comes_back_as_it_was(text: str) -> None:
    assert yaml.safe_load(to_yaml({"default_system": text})) == {"default_system": text}


def test_keys_stay_in_their_order_and_letters_as_they_are() -> None:
    assert to_yaml({"b": "你好", "a": 1}) == "b: 你好\na: 1\n"


@pytest.mark.parametrize("content", ["a: 2001-99-99", 'a: "\\UFFFFFFFF"', "a: !!int ''", "a: !!float x", "a: !!bool x"])
def test_values_that_are_none_are_one_kind_of_mistake(content: str) -> None:
    with pytest.raises(UnreadableError):
        load(content.encode())
