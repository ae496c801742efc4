"""What a check found, and how findings are shown: a table on a terminal, else plain lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text


class State(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Runs work, or most do: something is slow, unusual, or in the way of a part."""
    FAILED = "failed"
    """A run on this device would fail."""


_STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red"}


class Finding(BaseModel):
    """One line of the doctor's table."""

    check: str
    state: State
    message: str
    """What is there, and why that matters where it is not as it should be."""
    fix: str | None = None
    """What to type; never None where the state is not ok."""


def ok(check: str, message: str) -> Finding:
    """Return a finding that nothing is wrong with."""
    return Finding(check=check, state=State.OK, message=message)


def warning(check: str, message: str, fix: str) -> Finding:
    """Return a finding that is in the way of a part."""
    return Finding(check=check, state=State.WARNING, message=message, fix=fix)


def failed(check: str, message: str, fix: str) -> Finding:
    """Return a finding that a run would fail of."""
    return Finding(check=check, state=State.FAILED, message=message, fix=fix)


def render(findings: Sequence[Finding], console: Console) -> None:
    """Print all findings, and how many of each state there are."""
    if console.is_terminal:
        console.print(_table(findings))
    else:
        width = max((len(finding.check) for finding in findings), default=0)
        for finding in findings:
            line = f"{finding.state:<8} {finding.check:<{width}}  {finding.message}"
            fix = "" if finding.fix is None else f"\n{'':<8} {'':<{width}}  fix: {finding.fix}"
            console.print(line + fix, soft_wrap=True, highlight=False, markup=False)
    counts = Counter(finding.state for finding in findings)
    console.print(", ".join(f"{counts[state]} {state}" for state in State), highlight=False, markup=False)


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=SIMPLE, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(max_width=24, overflow="fold")
    table.add_column(overflow="fold")
    for finding in findings:
        text = Text(finding.message)
        if finding.fix is not None:
            text.append(f"\nfix: {finding.fix}", style="cyan")
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), finding.check, text)
    return table
