"""The blocks of code in a Markdown or reStructuredText document, with the file that its words say each is."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

_FENCE = re.compile(r"^([ \t]*)(```+|~~~+)[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ \t]*\2[ \t]*$", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(
    r"^([ \t]*)\.\. (?:code-block|code|sourcecode|prompt)::()[ \t]*([\w+-]*)[^\n]*\n"
    r"((?:[ \t]*\n|\1[ \t]+[^\n]*(?:\n|\Z))+)",
    re.MULTILINE,
)
_FILE = re.compile(r"[\w./~-]+\.(?:ya?ml|json)\b", re.ASCII)
_NO_SHELL = ("yaml", "yml", "json", "toml", "diff", "html", "dockerfile")


@dataclass(frozen=True)
class Block:
    """A piece of code."""

    line: int
    text: str
    is_shell: bool
    names: frozenset[str] = frozenset()
    """Of the files that the line before it and those right behind it name, without their folders."""


def blocks(text: str) -> list[Block]:
    """Return the blocks of a document; the whole text as one where nothing marks any."""
    found = sorted(
        (match for form in (_FENCE, _DIRECTIVE) for match in form.finditer(text)), key=lambda match: match.start()
    )
    if not found:
        return [Block(1, text, is_shell=True)]
    ends = [0, *(match.end() for match in found)]
    starts = [*(match.start() for match in found), len(text)]
    between = [text[end:start] for end, start in zip(ends, starts, strict=True)]
    return [
        Block(
            text.count("\n", 0, match.start(4)) + 1,
            textwrap.dedent(match[4]),
            match[3].lower() not in _NO_SHELL,
            _named(_paragraphs(before)[-1:] + _paragraphs(behind)[:1]),
        )
        for match, before, behind in zip(found, between, between[1:], strict=False)
    ]


def _paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n\s*\n", text) if part.strip()]


def _named(passages: list[str]) -> frozenset[str]:
    return frozenset(name.rpartition("/")[2] for passage in passages for name in _FILE.findall(passage))
