"""A report's tables as files: CSV to compute with, LaTeX to print."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from harness.base.text import visible
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
    names: list[str] = []
    columns: list[Sequence[object]] = []
    by_column: Iterable[Sequence[Cell]] = zip(*table.rows, strict=True) if table.rows else [()] * len(table.headers)
    for header, cells in zip(table.headers, by_column, strict=True):
        if any(isinstance(cell, Range) for cell in cells):
            names += [f"{header} ({bound})" for bound in table.bounds]
            columns += zip(*map(_bounds, cells), strict=True)
        else:
            names.append(header)
            columns.append([_value(cell) for cell in cells])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue()


def _bounds(cell: Cell) -> tuple[object, object]:
    """Return both columns of a cell; one that has no bounds stands in the first."""
    return (_exact(cell.values[0]), _exact(cell.values[1])) if isinstance(cell, Range) else (_value(cell), None)


def _value(cell: Cell) -> object:
    if isinstance(cell, Number):
        return " ".join([_exact(number) for number in cell.values])
    return cell if cell is None or isinstance(cell, int) else visible(plain(cell))


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
