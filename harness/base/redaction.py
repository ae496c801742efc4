"""Keeps secrets out of files. They live in environment variables only."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from harness.base.paths import PACKAGE, configuration_folder

T = TypeVar("T")

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""Of a name: MY_API_KEY, myApiKey."""
_SECRET_WORD = re.compile(
    r"KEYS?|(API|ACCESS|SECRET|PRIVATE|AUTH|MASTER|SIGNING|ENCRYPTION|LICENSE|ACCOUNT|PASS|SSH|OPENAI)KEYS?"
    r"|\w*TOKEN|\w*(PASSWORD|PASSWD|PASSPHRASE|PASSCODE|SECRET|CREDENTIAL|WEBHOOK|COOKIE)S?|PASS|CREDS?|AUTHORIZATION|JWT"
    r"|PAT|(GH|GITHUB|GITLAB|AZURE)PAT|DSN"
)
"""A whole word of a name: MONKEY, KEYBOARD, TOKENIZER and MAX_TOKENS hide nothing."""
_SECRET_END = ("PWD", "AUTH")
"""Likewise, at the end of a name of several words: PWD is the working folder."""
_HUB = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN")
_SHORTEST = 6
"""Shorter values than this are words that stand everywhere, not secrets."""
_SHORTEST_LINE = 12
"""Likewise, of a value's lines."""
_IN_URL = re.compile(r"(?<=://)[^/\s:@'\"\\]*:([^/\s'\"\\]+)@(?=[^/\s@])")
_PATTERNS = (
    (_IN_URL, "[user:password]@"),
    (re.compile(r"(https?://)[^/\s:@'\"\\]+@"), r"\1[user]@"),
    # Who knows the address of a Slack, Lark, Discord or Teams webhook may write there.
    (re.compile(r"(https?://[^\s'\"\\]*?hooks?[^\s'\"\\/]*/)[^\s'\"\\]+"), r"\1[webhook]"),
    (
        re.compile(r"([?&](?:\w*[_-])?(?:token|key|secret|signature|sig|password|passwd|pwd)=)[^&#\s'\"\\]+", re.I),
        r"\1[secret]",
    ),
    (
        re.compile(r"\b(?:hf_|sk-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|AIza)(?=\w*\d)[A-Za-z0-9_-]{16,}"),
        "[secret]",
    ),
)
"""What is a secret by its form, whoever holds it."""


def redact(text: str) -> str:
    """Return `text` with the value of every secret of the environment replaced by `[NAME]`, in whatever way it is
    escaped, and without what is a secret by its form."""
    text = _replaced(text, {form: f"[{name}]" for name, value in _secrets().items() for form in _forms(value)})
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def redacted(value: T) -> T:
    """Return a configuration as it may be written: every text in it redacted by itself, whatever nests it, and one
    under the name of a secret replaced by that.

    A text stays a text, and whatever is no text stays as it is, the names in mappings too."""
    return _in_texts(value, redact, lambda name: f"[{name}]" if names_secret(name) else None)


def restored(value: T) -> T:
    """Return what was `redacted`, with the values that this environment has; a `[NAME]` that it lacks stays."""
    values = {f"[{name}]": value for name, value in _secrets().items()}
    return _in_texts(value, lambda text: _replaced(text, values))


def for_child(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a worker's environment: no secret but the hubs' own, since the worker may load from them, and the
    password of a proxy on the way there."""
    return {
        name: value
        for name, value in environment.items()
        if name in _HUB or name.upper().endswith("PROXY") or not (names_secret(name) or _IN_URL.search(value))
    }


@lru_cache(maxsize=4096)
def names_secret(name: str) -> bool:
    """Return whether a variable of this name holds a secret, by the words that people use."""
    words = [word.upper() for word in _WORDS.findall(name)]
    return any(map(_SECRET_WORD.fullmatch, words)) or (len(words) > 1 and words[-1] in _SECRET_END)


def _secrets() -> dict[str, str]:
    """The values of the environment's secrets by name; of a URL elsewhere its password, by NAME:password."""
    found = {}
    for name, value in os.environ.items():
        if names_secret(name):
            found[name] = value
        elif "://" in value and (password := _IN_URL.search(value)):
            found[f"{name}:password"] = password[1]
    return {name: value for name, value in found.items() if len(value) >= _SHORTEST and not _is_common(value)}


def _is_common(value: str) -> bool:
    """Whether a value says nothing that could be kept secret: a word of the harness's own, or a place that is here."""
    return value.lower() in _own_words() or (value.startswith("/") and os.path.lexists(value))


@cache
def _own_words() -> frozenset[str]:
    """Those of the configuration, which stand in every file that the harness writes."""
    folders = (configuration_folder("conf"), configuration_folder("sweeps"))
    files = [PACKAGE / "config" / "schema.py", *(file for folder in folders for file in folder.rglob("*.yaml"))]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return frozenset(re.findall(r"[\w-]{6,}", text.lower())) | {"localhost", "production", "development", "harness"}


def _forms(value: str) -> list[str]:
    """The ways in which a value stands in a text: as it is, by lines, or escaped by JSON, Python, a shell, a URL."""
    forms = [value, *(line.strip() for line in value.splitlines() if len(line.strip()) >= _SHORTEST_LINE)]
    if not (value.isalnum() and value.isascii()):
        forms += (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1])
        forms += (quote(value, safe=safe, errors="surrogateescape") for safe in ("", "/"))
        forms += (shlex.quote(value)[1:-1], unquote(value))
    return [form for form in forms if len(form) >= _SHORTEST]


def _replaced(text: str, replacements: Mapping[str, str]) -> str:
    # All at once, the longest first: a secret may contain another, and what was put in is not searched again.
    parts = sorted(filter(None, replacements), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, parts)), lambda found: replacements[found[0]], text) if parts else text


def _in_texts(value: T, change: Callable[[str], str], instead: Callable[[str], str | None] = lambda name: None) -> T:
    """`instead`: what takes the place of a text that a mapping has under a name; None: what `change` makes of it."""

    def within(value: Any, name: object = None) -> Any:
        if isinstance(value, str):
            return (value and isinstance(name, str) and instead(name)) or change(value)
        if isinstance(value, dict):
            return {key: within(item, key) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(within(item, name) for item in value)
        return value

    return within(value)  # type: ignore[no-any-return]
