"""A report's tables as files: CSV to compute with, LaTeX to print."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from harness.report.document import Cell, Number, Range, Table, plain
from harness.report.markdown import clean

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # A row's end takes these for its own, where the next one begins with them.
    "[": "{[}",
    "*": "{*}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_SPECIAL = re.compile("|".join(map(re.escape, _LATEX)))


def to_csv(table: Table) -> str:
    """Return every row, figures in full precision; an interval has a column for each of its bounds."""
    pairs = [any(isinstance(row[column], Range) for row in table.rows) for column in range(len(table.headers))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        name
        for header, is_pair in zip(table.headers, pairs, strict=True)
        for name in ([f"{header} ({bound})" for bound in table.bounds] if is_pair else [header])
    )
    for row in table.rows:
        writer.writerow(value for cell, is_pair in zip(row, pairs, strict=True) for value in _values(cell, is_pair))
    return text.getvalue()


def _values(cell: Cell, is_pair: bool) -> Iterator[object]:
    values: Sequence[object]
    match cell:
        case None:
            values = [None]
        case Number(_, numbers):
            values = [_exact(number) for number in numbers] if is_pair else [" ".join(map(_exact, numbers))]
        case int():
            values = [cell]
        case _:
            values = [clean(plain(cell))]
    yield from values
    if is_pair and len(values) == 1:
        yield None


def _exact(number: float) -> str:
    return str(int(number)) if number == int(number) and abs(number) < 2**53 else repr(number)


def to_latex(table: Table) -> str:
    """Return a tabular of the rows that a page shows, for any document with an encoding that has its letters."""
    columns = range(len(table.headers))
    ends = "".join(
        "r" if table.figures and any(isinstance(row[column], Number | int) for row in table.shown_rows) else "l"
        for column in columns
    )
    lines = [" & ".join(map(latex_escaped, table.headers)) + r" \\"]
    lines += [" & ".join(_shown(cell) for cell in row) + r" \\" for row in table.shown_rows]
    return "\n".join(
        [f"\\begin{{tabular}}{{{ends}}}", r"\hline", lines[0], r"\hline", *lines[1:], r"\hline", r"\end{tabular}", ""]
    )


def _shown(cell: Cell) -> str:
    match cell:
        case None:
            return "--"
        case Number(text, _):
            return latex_escaped(text)
        case int():
            return str(cell)
        case _:
            return latex_escaped(plain(cell))


def latex_escaped(text: str) -> str:
    """Return text as LaTeX prints it, in one line."""
    return _SPECIAL.sub(lambda found: _LATEX[found.group()], " ".join(clean(text).split()))
