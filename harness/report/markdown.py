"""A document as Markdown, with text that came from anywhere made safe for it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from harness.base.text import shortened, visible
from harness.report.document import (
    Block,
    Bullets,
    Cell,
    Choices,
    Code,
    Document,
    Number,
    Paragraph,
    Picture,
    Questions,
    Section,
    Strong,
    Table,
    Warned,
    Words,
)

SPECIAL = re.compile(r"([\\`*_\[\]#|~$])")
LINE_START = re.compile(r"^(\d*)([-+.)=])(?=[\s=-]|$)")
"""What begins a list, or draws a line, where it stands first in a paragraph."""
CUT_CHARACTERS = 800


def clean(text: str) -> str:
    """Return text as a page may hold it: nothing in it is hidden, and none of it fills the page."""
    return visible(shortened(text))


def escape(text: str) -> str:
    """Return `text` as it stands, in one line: markup and HTML in it are shown, not obeyed."""
    return SPECIAL.sub(r"\\\1", html.escape(clean(text), quote=False)).strip().replace("\n", "<br>")


def inline(words: Words) -> str:
    """Return words as Markdown, in one line."""
    if isinstance(words, str):
        return escape(words)
    text = ""
    for piece in words:
        outer = piece.text if isinstance(piece, Strong) else piece
        inner = outer.strip()
        # What is escaped loses the blanks at its ends, which stand between pieces.
        before, _, after = outer.partition(inner) if inner else (outer, "", "")
        shown = f"**{escape(inner)}**" if isinstance(piece, Strong) and inner else escape(inner)
        text += before.replace("\n", "<br>") + shown + after.replace("\n", "<br>")
    return text.strip()


def cut(words: str, mark: str) -> str:
    """Return what a model wrote, as much of it as a report shows; `mark` says how many characters are missing."""
    missing = len(words) - CUT_CHARACTERS
    return words if missing <= 0 else f"{words[:CUT_CHARACTERS]} {mark.format(missing)}"


def joined(values: Sequence[object]) -> str | None:
    """Return several values for one cell, each once; None where there is none."""
    return " / ".join(dict.fromkeys(str(value) for value in values if value is not None)) or None


def to_markdown(document: Document) -> str:
    """Return the whole document, blocks apart by an empty line."""
    parts = [f"# {escape(document.title)}"]
    for section in document.sections:
        parts.extend(_section(section, 2))
    return "\n\n".join(parts) + "\n"


def _section(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * level} {escape(section.title)}"
    for block in section.blocks:
        if isinstance(block, Section):
            yield from _section(block, level + 1)
        else:
            yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(words):
            yield LINE_START.sub(r"\1\\\2", inline(words))
        case Bullets(items):
            yield "\n".join(f"- {inline(item)}" for item in items)
        case Warned(words):
            yield f"> {inline(words)}"
        case Code(lines):
            yield fenced(lines)
        case Table():
            yield table(block)
            if block.rest:
                yield escape(block.rest)
        case Picture(path, shows):
            yield f"![{escape(shows)}]({path})"
        case Choices(headers, rows):
            yield _lines(headers, [False] * len(headers), [list(map(inline, row)) for row in rows])
        case Questions(blocks):
            for inner in blocks:
                yield from _block(inner)


def table(block: Table) -> str:
    """Return a table of the rows that a page shows. None is a dash."""
    at_right = [block.figures and _holds_figures(block, column) for column in range(len(block.headers))]
    return _lines(block.headers, at_right, [[_cell(cell) for cell in row] for row in block.shown_rows])


def _lines(headers: Sequence[str], at_right: Sequence[bool], rows: Sequence[Sequence[str]]) -> str:
    lines = [[escape(header) for header in headers], ["---:" if right else "---" for right in at_right], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _holds_figures(block: Table, column: int) -> bool:
    return any(isinstance(row[column], Number | int) for row in block.shown_rows)


def _cell(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case Number(text, _):
            return escape(text)
        case int():
            return str(cell)
        case _:
            return inline(cell) or " "


def fenced(lines: Sequence[str]) -> str:
    """Return a block of code that no line in it can close."""
    text = "\n".join(map(clean, lines))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"
