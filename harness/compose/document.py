"""The blocks of code in a Markdown or reStructuredText document or a notebook, with the file that its words say each
is."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from harness.base import json_text

_FENCE = re.compile(r"^(?P<quote>(?:[ \t]*>)*)[ \t]*(?P<mark>```+|~~~+)[ \t]*(?P<info>[^\n`]*)$", re.MULTILINE)
_DIRECTIVE = re.compile(
    r"^([ \t]*)\.\. (?:code-block|code|sourcecode|prompt)::[ \t]*(?P<info>[^\n]*)\n"
    r"(?P<options>(?:[ \t]+:[\w-]+:[^\n]*\n)*)(?P<code>(?:[ \t]*\n|\1[ \t]+[^\n]*(?:\n|\Z))+)",
    re.MULTILINE,
)
_FILE = re.compile(r"[\w./~-]+\.(?:ya?ml|json)\b", re.ASCII)
_NO_SHELL = ("yaml", "yml", "json", "toml", "diff", "html", "dockerfile")
_QUOTE = re.compile(r"^[ \t]*> ?", re.MULTILINE)
_CELL = re.compile(r"%%(bash|sh|shell|script)\b|%%writefile[ \t]+(?:-a[ \t]+)?(\S+)")
_OF_A_CELL = re.compile(r"[ \t]*(?:!(?!=)|%(?=cd\b)|%(?:set_)?env[ \t]+)")
_ENVIRON = re.compile(r"""[ \t]*os\.environ\[["'](\w+)["']\][ \t]*=[ \t]*(["'].*?["'])[ \t]*(?:#.*)?\Z""")


@dataclass(frozen=True)
class Block:
    """A piece of code."""

    line: int
    text: str
    is_shell: bool
    names: frozenset[str] = frozenset()
    """Of the files that the line before it and those right behind it name, without their folders, or its own first
    comment."""


def blocks(text: str) -> list[Block]:
    """Return the blocks of a document; the whole text as one where nothing marks any."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\N{NO-BREAK SPACE}", " ")
    if (cells := _cells(text)) is not None:
        return cells
    if all(line.lstrip()[:1] in (">", "") for line in text.split("\n")):
        text = _QUOTE.sub("", text)
    found = sorted([*_fenced(text), *_directed(text)], key=lambda piece: piece.start)
    if not found:
        return [Block(1, text, is_shell=True)]
    ends = [0, *(piece.end for piece in found)]
    starts = [*(piece.start for piece in found), len(text)]
    between = [text[end:start] for end, start in zip(ends, starts, strict=True)]
    made, line, counted = list[Block](), 1, 0
    for piece, before, behind in zip(found, between, between[1:], strict=False):
        line, counted = line + text.count("\n", counted, piece.code_start), piece.code_start
        language = re.match(r"[ {.]*([\w+-]*)", piece.info)
        is_shell = language is None or language[1].lower() not in _NO_SHELL
        own = [piece.info, *([] if is_shell else _title(piece.code))]
        names = _named([*_paragraphs(before)[-1:], *_paragraphs(behind)[:1], *own])
        made.append(Block(line, textwrap.dedent(piece.code), is_shell, names))
    return made


@dataclass(frozen=True)
class _Piece:
    """A block where it stands in the text."""

    start: int
    code_start: int
    end: int
    info: str
    """What is said of it."""
    code: str


def _fenced(text: str) -> Iterator[_Piece]:
    """What fences enclose, the last one up to the end where nothing closes it, as CommonMark has it."""
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence["mark"].startswith(opened["mark"]) and not fence["info"]:
            yield _within(text, opened, fence.start(), fence.end())
            opened = None
    if opened is not None:
        yield _within(text, opened, len(text), len(text))


def _within(text: str, opened: re.Match[str], code_end: int, end: int) -> _Piece:
    start = min(opened.end() + 1, code_end)
    code = text[start:code_end]
    return _Piece(opened.start(), start, end, opened["info"], _QUOTE.sub("", code) if opened["quote"] else code)


def _directed(text: str) -> Iterator[_Piece]:
    for match in _DIRECTIVE.finditer(text):
        info = f"{match['info']}\n{match['options']}"
        yield _Piece(match.start(), match.start("code"), match.end(), info, match["code"])


def _title(code: str) -> list[str]:
    """The comment that a file begins with."""
    first = code.lstrip().partition("\n")[0]
    return [first] if first.startswith(("#", "//")) else []


def _cells(text: str) -> list[Block] | None:
    """The code of a Jupyter notebook; None: it is none."""
    if not text.lstrip().startswith("{") or '"cells"' not in text:
        return None
    try:
        cells = json_text.load(text)["cells"]
        sources = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    except (ValueError, KeyError, TypeError):
        return None
    made, line, at = list[Block](), 1, 0
    for kind, source in sources:
        # A notebook's file has a line for each line of a cell.
        place = text.find(json.dumps(source.partition("\n")[0], ensure_ascii=False)[:-1], at)
        if place >= 0:
            line, at = line + text.count("\n", at, place), place
        if kind == "code":
            made.append(_cell(line, source))
    return made


def _cell(line: int, source: str) -> Block:
    first, _, rest = source.lstrip().partition("\n")
    magic = _CELL.match(first)
    if magic and magic[2]:
        return Block(line + 1, rest, is_shell=False, names=_named([first]))
    if magic:
        return Block(line, f"\n{rest}", is_shell=True)
    return Block(line, "\n".join(_of_the_shell(source)), is_shell=True)


def _of_the_shell(source: str) -> Iterator[str]:
    """The lines of a cell, those of Python left empty."""
    is_continued = False
    for line in source.split("\n"):
        command = _OF_A_CELL.match(line)
        if is_continued:
            yield line
        elif command:
            is_export = "env" in command[0]
            yield f"export {line[command.end() :].replace(' ', '=', 1)}" if is_export else line[command.end() :]
        elif variable := _ENVIRON.match(line):
            yield f"export {variable[1]}={variable[2]}"
        else:
            yield ""
        is_continued = (is_continued or bool(command)) and line.rstrip().endswith("\\")


def _paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n[^\S\n]*\n", text) if part.strip()]


def _named(passages: list[str]) -> frozenset[str]:
    return frozenset(name.rpartition("/")[2] for passage in passages for name in _FILE.findall(passage))
