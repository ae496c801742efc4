"""Text that came from anywhere, made safe for a Markdown document, and that document as HTML."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

SPECIAL = re.compile(r"([\\`*_\[\]#|~$])")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Terminal colours, control characters, and those that turn the direction of the text around them."""


CUT_CHARACTERS = 800


class Markdown(str):
    """Text that is Markdown already and is to be left alone."""


def escape(value: object) -> Markdown:
    """`value` as it stands, in one line: markup and HTML in it are shown, not obeyed. None is a dash."""
    if isinstance(value, Markdown):
        return value
    if value is None:
        return Markdown("-")
    text = CONTROL.sub("", str(value).replace("\r\n", "\n").replace("\r", "\n"))
    return Markdown(SPECIAL.sub(r"\\\1", html.escape(text, quote=False)).strip().replace("\n", "<br>"))


def shorten(text: str, characters: int) -> str:
    """The first part of a long text, with a mark that says how much is missing."""
    if len(text) <= characters:
        return text
    return f"{text[:characters]} [... {len(text) - characters:,} more characters]"


def cut(text: str) -> str:
    """What a model wrote, as much of it as a report shows."""
    return shorten(text, CUT_CHARACTERS)


def table(headers: Sequence[object], rows: Sequence[Sequence[object]]) -> Markdown:
    lines = [headers, ["---"] + ["---:"] * (len(headers) - 1), *rows]
    return Markdown("\n".join(f"| {' | '.join(escape(cell) for cell in line)} |" for line in lines))


def text_table(headers: Sequence[object], rows: Sequence[Sequence[object]]) -> Markdown:
    """A table of words: every column starts at its left."""
    lines = [headers, ["---"] * len(headers), *rows]
    return Markdown("\n".join(f"| {' | '.join(escape(cell) for cell in line)} |" for line in lines))


def fenced(lines: Sequence[str]) -> Markdown:
    """A block of code that no line in it can close."""
    text = CONTROL.sub("", "\n".join(lines))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return Markdown(f"{fence}text\n{text}\n{fence}")


def to_html(text: str, folder: Path) -> str:
    """The document's body, its images (relative to `folder`) inside it. `text` must hold no HTML but our own."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")

    def image(self: Any, tokens: Any, index: int, options: Any, environment: Any) -> str:
        token = tokens[index]
        data = base64.b64encode((folder / str(token.attrs["src"])).read_bytes()).decode()
        return f'<img src="data:image/png;base64,{data}" alt="{html.escape(token.content)}">'

    parser.add_render_rule("image", image)
    return (
        str(parser.render(text)).replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    )
