"""No secret in a text or a configuration, and a configuration that is still the same but for its secrets."""

from __future__ import annotations

import json
import os
import shlex
import string
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from harness.base.redaction import for_child, names_secret, redact, redacted, restored

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


@pytest.mark.parametrize(
    "name",
    [
        *("OPENAI_API_KEY", "hf_token", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "MYSQL_PASSWD", "DB_PWD", "GITHUB_PAT"),
        *("AZURE_CREDENTIALS", "SLACK_WEBHOOK_URL", "LARK_WEBHOOK", "SENTRY_DSN", "apiKey", "APIKEY", "REDISCLI_AUTH"),
        *("GPG_PASSPHRASE", "WANDB_API_KEY_2", "NPM_CONFIG__AUTH", "SESSION_COOKIE", "MY_JWT", "SMTP_PASS", "HFTOKEN"),
    ],
)
def test_the_names_that_people_give_to_secrets(name: str) -> None:
    assert names_secret(name)
    with mock.patch.dict(os.environ, {name: "correct-horse"}, clear=True):
        assert redact("with correct-horse") == f"with [{name}]"
    assert for_child({name: "correct-horse", "HOME": "/home/user"}) == {"HOME": "/home/user"}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "MONKEY",
            "KEYBOARD",
            "TOKENIZER",
            "TOKENIZERS_PARALLELISM",
            "MAX_TOKENS",
            "PWD",
            "OLDPWD",
            "PATH",
            "PATTERN",
        ),
        *("COMPASS", "DISPATCH", "SSH_AUTH_SOCK", "XAUTHORITY", "TURKEY", "HOTKEY", "SECRETARY", "AUTHOR"),
    ],
)
def test_a_name_with_the_letters_of_a_secret_in_it_names_none(name: str) -> None:
    assert not names_secret(name)
    with mock.patch.dict(os.environ, {name: "correct-horse"}, clear=True):
        assert redact("with correct-horse") == "with correct-horse"
    assert for_child({name: "correct-horse"}) == {name: "correct-horse"}


@pytest.mark.parametrize(
    "value", ["1", "true", "training", "Adapter", "llamafactory", "quickstart", "localhost", str(Path.home())]
)
def test_a_value_that_stands_everywhere_is_no_secret(value: str) -> None:
    text = f"--stage {value} logs/{value}.log"
    with mock.patch.dict(os.environ, {"SORT_KEY": value}, clear=True):
        assert redact(text) == text
        assert redacted({"a": value}) == {"a": value}


SECRET = "p\u00e4ss 'wo\"rd\\$x\nsecond line: 4711"


@pytest.mark.parametrize(
    "written",
    [
        *(str, repr, json.dumps, shlex.quote, quote, lambda text: json.dumps(text, ensure_ascii=False)),
        *(lambda text: quote(text, safe=""), lambda text: text.replace("\n", "\n    | ")),
    ],
    ids=["plain", "repr", "json", "shell", "url", "json in letters", "a part of a url", "line by line"],
)
def test_a_secret_is_found_however_it_is_written(written: Any) -> None:
    with mock.patch.dict(os.environ, {"DB_PASSWORD": SECRET}, clear=True):
        shown = redact(f"log in with {written(SECRET)} now")
    assert "[DB_PASSWORD]" in shown
    for part in ("wo", "4711", "second line"):
        assert part not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://bob:pa@ss@db:5432/x", "postgres://[user:password]@db:5432/x"),
        (
            "via http://u:p@proxy:3128 and http://b:q@other",
            "via http://[user:password]@proxy:3128 and http://[user:password]@other",
        ),
        ("https://ghp_abc@github.com/a/b", "https://[user]@github.com/a/b"),
        ("https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/[webhook]"),
        (
            "https://open.feishu.cn/open-apis/bot/v2/hook/ab-cd",
            "https://open.feishu.cn/open-apis/bot/v2/hook/[webhook]",
        ),
        (
            "https://oapi.dingtalk.com/robot/send?access_token=ab&x=1",
            "https://oapi.dingtalk.com/robot/send?access_token=[secret]&x=1",
        ),
        (
            "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=69",
            "https://qyapi.weixin.qq.com/cgi-bin/webhook/[webhook]",
        ),
        ("hf_abcdefghijklmnop1234", "[secret]"),
        ("http://127.0.0.1:8000/v1/models@main", "http://127.0.0.1:8000/v1/models@main"),
        ("https://docs.x.org/hooks.html?tokens=12&monkey=1", "https://docs.x.org/hooks.html?tokens=12&monkey=1"),
        ("git@github.com:a/b.git ssh://git@github.com", "git@github.com:a/b.git ssh://git@github.com"),
    ],
)
def test_a_secret_is_known_by_its_form_too(text: str, shown: str) -> None:
    with mock.patch.dict(os.environ, clear=True):
        assert redact(text) == shown


def test_the_password_of_a_url_is_a_secret_under_any_name_and_a_proxy_keeps_its_own_for_a_worker() -> None:
    environment = {"DATABASE": "postgres://bob:tiger-4711@db/x", "HTTPS_PROXY": "http://u:lion-4711@proxy"}
    with mock.patch.dict(os.environ, environment, clear=True):
        assert redact("tiger-4711, lion-4711") == "[DATABASE:password], [HTTPS_PROXY:password]"
    assert for_child(environment) == {"HTTPS_PROXY": "http://u:lion-4711@proxy"}


def test_a_secret_is_known_by_its_name_in_a_nested_configuration() -> None:
    arguments = {"hub": [{"api_key": "literal", "keys": 3, "max_new_tokens": "12"}], "hub_token": ["x"], "a_token": ""}
    with mock.patch.dict(os.environ, clear=True):
        assert redacted(arguments) == {
            "hub": [{"api_key": "[api_key]", "keys": 3, "max_new_tokens": "12"}],
            "hub_token": ["[hub_token]"],
            "a_token": "",
        }


def test_what_cannot_be_encoded_hides_nothing_and_breaks_nothing() -> None:
    with mock.patch.dict(os.environ, {"A_KEY": "ab\udcffcdef"}, clear=True):
        assert redact("x ab\udcffcdef") == "x [A_KEY]"


def test_a_redacted_configuration_is_yaml_without_the_secret() -> None:
    with mock.patch.dict(os.environ, {"DB_PASSWORD": SECRET}, clear=True):
        assert "4711" not in yaml.safe_dump(redacted({"a": {"b": [f"x {SECRET}"]}}))
