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
    """Return `value` as it stands, in one line: markup and HTML in it are shown, not obeyed. None is a dash."""
    if isinstance(value, Markdown):
        return value
    if value is None:
        return Markdown("-")
    text = CONTROL.sub("", str(value).replace("\r\n", "\n").replace("\r", "\n"))
    return Markdown(SPECIAL.sub(r"\\\1", html.escape(text, quote=False)).strip().replace("\n", "<br>"))


def cut(words: str, mark: str) -> str:
    """Return what a model wrote, as much of it as a report shows; `mark` says how many characters are missing."""
    missing = len(words) - CUT_CHARACTERS
    return words if missing <= 0 else f"{words[:CUT_CHARACTERS]} {mark.format(missing)}"


def table(headers: Sequence[object], rows: Sequence[Sequence[object]], figures: bool = False) -> Markdown:
    """Return a table. `figures`: every column but the first ends at its right. None is a dash."""
    lines = [headers, ["---", *["---:" if figures else "---"] * (len(headers) - 1)], *rows]
    return Markdown("\n".join(f"| {' | '.join(escape(cell) for cell in line)} |" for line in lines))


def joined(values: Sequence[object]) -> str | None:
    """Return several values for one cell, each once; None where there is none."""
    return " / ".join(dict.fromkeys(str(value) for value in values if value is not None)) or None


def fenced(lines: Sequence[str]) -> Markdown:
    """Return a block of code that no line in it can close."""
    text = CONTROL.sub("", "\n".join(lines))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return Markdown(f"{fence}text\n{text}\n{fence}")


def to_html(text: str, folder: Path) -> str:
    """Return the document's body as HTML, its images (relative to `folder`) inside it. No HTML in `text` but ours."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")

    def image(self: Any, tokens: Any, index: int, options: Any, environment: Any) -> str:
        token = tokens[index]
        data = base64.b64encode((folder / str(token.attrs["src"])).read_bytes()).decode()
        return f'<img src="data:image/png;base64,{data}" alt="{html.escape(token.content)}">'

    parser.add_render_rule("image", image)
    return (
        str(parser.render(text)).replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    )
