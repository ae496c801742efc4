"""A report as typed blocks, in the order in which they are read. Markdown, HTML, CSV and LaTeX are made of the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Strong:
    """A piece of text that carries the sentence: a verdict word, a figure that decides."""

    text: str


Words: TypeAlias = str | Sequence[str | Strong]
"""Plain text, no markup: whatever is special in an output format is escaped by what writes it. A line break is kept."""


@dataclass(frozen=True)
class Number:
    """A figure, or a row of them, as it is read and as it is computed with."""

    text: str
    values: tuple[float, ...]
    """In full precision."""


@dataclass(frozen=True)
class Range(Number):
    """An interval: its two bounds, which have a column each in a file."""


Cell: TypeAlias = Words | Number | int | None
"""None: not measured."""


def plain(words: Words) -> str:
    """Return words without what makes them strong."""
    if isinstance(words, str):
        return words
    return "".join(piece.text if isinstance(piece, Strong) else piece for piece in words)


@dataclass(frozen=True)
class Paragraph:
    words: Words


@dataclass(frozen=True)
class Bullets:
    items: Sequence[Words]


@dataclass(frozen=True)
class Warned:
    """What spoils a figure or a comparison."""

    words: Words


@dataclass(frozen=True)
class Code:
    """Lines as they are: commands, a log's end."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table, which is also written as tables/KEY.csv and tables/KEY.tex."""

    key: str
    """Its file's name, the same in every language, one of `tables.KEYS`; empty: it has no file."""
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    figures: bool = False
    """Whether figures end at the right of their columns."""
    sortable: bool = False
    """Whether a reader may want it in another order (HTML)."""
    shown: int | None = None
    """How many rows a page shows; None: all. The files hold every row."""
    rest: str = ""
    """Said below where a page does not show all."""
    bounds: tuple[str, str] = ("low", "high")
    """How the columns of an interval's bounds are called in the files."""

    @property
    def shown_rows(self) -> Sequence[Sequence[Cell]]:
        return self.rows[: self.shown]


@dataclass(frozen=True)
class Picture:
    """A figure, by its file relative to the report."""

    path: str
    shows: str
    """For whoever cannot see it."""
    dark_path: str | None = None
    """The same for a dark page."""


@dataclass(frozen=True)
class Choices:
    """The decision box: which arm for which purpose."""

    headers: Sequence[str]
    rows: Sequence[tuple[str, Words, Words]]
    """Purpose; the arm, or that there is none; the rule with its numbers."""


@dataclass(frozen=True)
class Questions:
    """Where the questions with their answers go; HTML makes a browser of them, Markdown some examples (`blocks`)."""

    blocks: Sequence[Block]


Block: TypeAlias = Paragraph | Bullets | Warned | Code | Table | Picture | Choices | Questions


@dataclass(frozen=True)
class Section:
    key: str
    """An anchor, the same in every language; `summary` is the first screen."""
    title: str
    blocks: Sequence[Block | Section] = field(default_factory=list)


@dataclass(frozen=True)
class Document:
    """All of a report."""

    title: str
    language: str
    """As HTML names it."""
    sections: Sequence[Section]

    def tables(self) -> list[Table]:
        """Return every table that has a file, in the order in which they are read."""
        blocks = (block for section in self.sections for block in _blocks(section))
        return [block for block in blocks if isinstance(block, Table) and block.key]


def _blocks(section: Section | Questions) -> Iterator[Block]:
    for block in section.blocks:
        if isinstance(block, Section | Questions):
            yield from _blocks(block)
        else:
            yield block
