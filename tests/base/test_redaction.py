"""No secret in a text or a configuration, and a configuration that is still the same but for its secrets."""

from __future__ import annotations

import os
import string
from typing import Any
from unittest import mock

from hypothesis import example, given
from hypothesis import strategies as st

from harness.base.redaction import redact, redacted, restored

NAMES = ("PROJECT_KEY", "hub_token", "DB_PASSWORD", "MY_CREDENTIALS")
VALUES = st.text(string.ascii_letters + string.digits + "-_./:{}[]'\" \n#,&*!|>%@`", min_size=6, max_size=20)
ENVIRONMENTS = st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1)


def configurations(secrets: list[str]) -> st.SearchStrategy[Any]:
    """Nested like a configuration, with texts that are a secret or hold some."""
    part = st.one_of(st.sampled_from(secrets), st.text(max_size=8))
    leaf = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.lists(part, max_size=3).map("".join))
    return st.recursive(leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=8)


def texts(value: Any) -> list[str]:
    if isinstance(value, dict | list):
        return [text for item in (value.values() if isinstance(value, dict) else value) for text in texts(item)]
    return [value] if isinstance(value, str) else []


def shape(value: Any) -> Any:
    """The value without what its texts say."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return "text" if isinstance(value, str) else repr(value)


@given(st.data(), ENVIRONMENTS)
def test_a_configuration_keeps_its_shape_loses_every_secret_and_gets_them_back(
    data: st.DataObject, environment: dict[str, str]
) -> None:
    with mock.patch.dict(os.environ, environment, clear=True):
        value = data.draw(configurations(list(environment.values())))
        written = redacted(value)
        assert shape(written) == shape(value)
        for text, original in zip(texts(written), texts(value), strict=True):
            # What stands between the names is what stood between the secrets.
            rest = text
            for name in environment:
                rest = rest.replace(f"[{name}]", "\0")
            assert not any(secret in part for secret in environment.values() for part in rest.split("\0"))
            if not any(f"[{name}]" in original for name in environment):
                assert restored(text) == original


@given(st.text())
@example("an empty one would be between all letters")
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    with mock.patch.dict(os.environ, {"SHORT_KEY": "abc", "EMPTY_TOKEN": "", "HOME": "/home"}, clear=True):
        assert redact(text) == text


def test_a_value_that_equals_a_variable_stays_a_text() -> None:
    configuration = {"sweep": "quickstart-x", "model": {"path": "/models/qwen"}, "seed": 123456, "chips": [0, 1]}
    environment = {"PROJECT_KEY": "quickstart-x", "MODELS_KEY": "/models/qwen", "NUMBER_KEY": "123456"}
    with mock.patch.dict(os.environ, environment):
        written = redacted(configuration)
        assert written == configuration | {"sweep": "[PROJECT_KEY]", "model": {"path": "[MODELS_KEY]"}}
        assert restored(written) == configuration


def test_a_secret_inside_of_another_does_not_uncover_the_rest_of_it() -> None:
    with mock.patch.dict(os.environ, {"A_KEY": "secret", "B_KEY": "my-secret-4711"}, clear=True):
        assert redact("log in with my-secret-4711") == "log in with [B_KEY]"


def test_a_name_that_this_environment_lacks_stays() -> None:
    with mock.patch.dict(os.environ, {"A_KEY": "secret"}, clear=True):
        assert restored({"paths": ["/data/[B_KEY]", "[A_KEY]"]}) == {"paths": ["/data/[B_KEY]", "secret"]}
