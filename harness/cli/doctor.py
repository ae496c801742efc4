"""`harness doctor`: what keeps a run from working, on this machine or in the log of one that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.exits import FAILED


def doctor(
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or ascend; default: whatever shows signs of being here.")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="Read a failed run's log instead (- is standard input), and name the cause and the fix."),
    ] = None,
) -> None:
    """What on this machine keeps a run from working, and the fix for it. Exit status 1 when something failed."""
    if log is not None:
        raise typer.Exit(_read(log))
    from harness.cli.terminal import Terminal
    from harness.doctor.checks import examine
    from harness.doctor.finding import State, render

    findings = examine(device)
    render(findings, Terminal(highlight=False))
    raise typer.Exit(FAILED if any(finding.state is State.FAILED for finding in findings) else 0)


def _read(log: Path) -> int:
    """Print what is known of the symptoms in a log and return the exit status. Raises UserError."""
    from harness.doctor.log import read_log
    from harness.processes.symptoms import diagnoses, unknown_exception

    name = "standard input" if log == Path("-") else str(log)
    text, left_out_bytes = read_log(log, name)
    if left_out_bytes:
        typer.echo(f"{name}: too long, {left_out_bytes / 2**20:.1f} MiB in its middle were not read")
    known = diagnoses(text)
    if exception := unknown_exception(text):
        typer.echo(f"{name}: its last exception is {exception}: not known here")
    for place, diagnosis in enumerate(known):
        if not diagnosis.decisive and (place == 0 or known[place - 1].decisive):
            typer.echo("also in the log:")
        typer.echo(f"{diagnosis.line}\n  cause:  {diagnosis.cause}\n  fix:    {diagnosis.fix}")
        typer.echo(f"  source: {diagnosis.source}")
    if not known and not exception:
        typer.echo(f"{name}: none of the symptoms that are known; its last lines are the best hint")
    return FAILED if known else 0
