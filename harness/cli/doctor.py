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
        Path | None, typer.Option(help="Read a failed run's log instead, and name the cause and the fix.")
    ] = None,
) -> None:
    """What on this machine keeps a run from working, and the fix for it. Exit status 1 when something failed."""
    if log is not None:
        raise typer.Exit(_read(log))
    from rich.console import Console

    from harness.doctor.checks import examine
    from harness.doctor.finding import State, render

    findings = examine(device)
    render(findings, Console(highlight=False))
    raise typer.Exit(FAILED if any(finding.state is State.FAILED for finding in findings) else 0)


def _read(log: Path) -> int:
    """Print what is known of the symptoms in a log and return the exit status. Raises UserError."""
    from harness.base.decoding import decoded
    from harness.base.errors import UserError
    from harness.processes.symptoms import diagnoses

    try:
        text = decoded(log.read_bytes())
    except OSError as error:
        raise UserError(f"{log}: {error.strerror}; a run's logs are in outputs/SWEEP/RUN/logs") from None
    known = diagnoses(text)
    for place, diagnosis in enumerate(known):
        if not diagnosis.decisive and (place == 0 or known[place - 1].decisive):
            typer.echo("in the log too, but not what ended the run:")
        typer.echo(f"{diagnosis.line}\n  cause:  {diagnosis.cause}\n  fix:    {diagnosis.fix}")
        typer.echo(f"  source: {diagnosis.source}")
    if not known:
        typer.echo(f"{log}: none of the symptoms that are known; its last lines are the best hint")
    return FAILED if known else 0
