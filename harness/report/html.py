"""A document as one HTML file that needs no network: images, style and script are inside it."""

from __future__ import annotations

import base64
import hashlib
import html
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.report.document import Cell, Document, Number, Table
from harness.report.markdown import clean
from harness.report.questions import Browser
from harness.report.text import Text


def to_html(document: Document, folder: Path, browser: Browser | None, text: Text) -> str:
    """Return the page. Its pictures are read relative to `folder`. Raises OSError."""
    environment = Environment(
        loader=PackageLoader("harness.report"),
        undefined=StrictUndefined,
        autoescape=True,
        # Whatever a template names, nobody can forget it.
        finalize=lambda value: clean(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "code": lambda lines: Markup(html.escape("\n".join(map(clean, lines)))),
        "inlined": lambda path: _inlined(folder / path),
        "lines": lambda words: Markup(html.escape(clean(words)).replace("\n", "<br>")),
    }
    environment.globals |= {"numeric": _is_numeric, "sort_value": _sort_value}
    assert environment.loader is not None
    css, js = (environment.loader.get_source(environment, name)[0] for name in ("report.css", "report.js"))
    return environment.get_template("report.html.j2").render(
        document=document, browser=browser, text=text, css=css, js=js, css_hash=_hash(css), js_hash=_hash(js)
    )


def _hash(source: str) -> str:
    """What a page's own rules let run: this, and nothing that found its way in."""
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def _inlined(path: Path) -> Markup:
    return Markup(f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}")


def _is_numeric(table: Table, column: int) -> bool:
    return table.figures and any(isinstance(row[column], Number | int) for row in table.shown_rows)


def _sort_value(cell: Cell) -> float | None:
    if isinstance(cell, Number):
        return cell.values[0] if cell.values else None
    return cell if isinstance(cell, int) else None
