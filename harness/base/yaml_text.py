"""YAML that reads back as what was written, and what is wrong with YAML that somebody else wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """PyYAML 6.0.3 writes a break that is no newline (U+0085, U+2028, U+2029) as it is, and reads it as a space."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(character in text for character in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return plain data as YAML, its keys in their order."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


MOST_VALUES = 100_000
"""Of a file, its aliases filled in: a few lines of them can stand for more than any memory holds."""


class UnreadableError(ValueError):
    """A text that is no YAML to work with; the message says where, and what is wrong there."""


@contextmanager
def readable() -> Iterator[None]:
    """Raises UnreadableError for what a body that reads YAML trips over."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        # Without the line itself, which may hold a secret.
        mark = error.problem_mark
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise UnreadableError(f"{where}{error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        raise UnreadableError(f"character {error.position + 1} is {error.character!r}: {error.reason}") from None
    except UnicodeDecodeError as error:
        raise UnreadableError(f"byte {error.start + 1} is no UTF-8; save the file as UTF-8") from None
    except RecursionError:
        raise UnreadableError("is nested too deep") from None
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    except (LookupError, ArithmeticError, AttributeError) as error:
        # PyYAML 6.0.3 lets out what its parts trip over: numbers and times that are none, escapes beyond Unicode.
        raise UnreadableError(f"holds a value that is none: {error}") from None


def load(content: bytes) -> Any:
    """Return what the YAML in a file stands for. Raises UnreadableError."""
    with readable():
        text = content.decode("utf-8-sig")
        require_small(text)
        return yaml.safe_load(text)


def require_small(text: str) -> None:
    """Raises UnreadableError where YAML has an alias inside of what it stands for, or aliases that fill the memory."""
    counted: dict[int, int] = {}
    inside: set[int] = set()

    def values(node: yaml.Node) -> int:
        line = f"line {node.start_mark.line + 1}"
        if id(node) in inside:
            raise UnreadableError(f"{line}: what is named there holds an alias of itself")
        if id(node) not in counted:
            inside.add(id(node))
            parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
            counted[id(node)] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(map(values, parts)))
            inside.remove(id(node))
        if counted[id(node)] > MOST_VALUES:
            raise UnreadableError(f"{line}: holds more than {MOST_VALUES:,} values, its aliases filled in")
        return counted[id(node)]

    with readable():
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            values(root)
