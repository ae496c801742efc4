"""How findings are shown: a table on a terminal, else plain lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.doctor.finding import Finding, State

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red"}


def render(findings: Sequence[Finding], console: Console) -> None:
    """Print all findings, and how many of each state there are."""
    if console.is_terminal:
        console.print(_table(findings))
    else:
        for line in _lines(findings):
            console.print(line, soft_wrap=True, highlight=False, markup=False)
    console.print(summary(findings), highlight=False, markup=False)


def summary(findings: Sequence[Finding]) -> str:
    """Return `1 ok, 2 warning, 0 failed`."""
    counts = Counter(finding.state for finding in findings)
    return f"{counts[State.OK]} ok, {counts[State.WARNING]} warning, {counts[State.FAILED]} failed"


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


def _lines(findings: Sequence[Finding]) -> list[str]:
    width = max((len(finding.check) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<8} {finding.check:<{width}}  {finding.message}")
        if finding.fix is not None:
            lines.append(f"{'':<8} {'':<{width}}  fix: {finding.fix}")
    return lines
