"""`harness verify`: whether what the runs of a sweep left is as they left it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.exits import FAILED

if TYPE_CHECKING:
    from harness.doctor.finding import Finding
    from harness.runs.verify import Verified


def verify(
    sweeps: Annotated[list[Path], typer.Argument(metavar="SWEEP_DIR...", help="outputs/NAME, one or several.")],
) -> None:
    """Read again all that the runs of a sweep left, and name what is damaged. Exit status 1 when something is."""
    from harness.base.errors import UserError
    from harness.cli.terminal import Terminal
    from harness.doctor.finding import State, render
    from harness.runs.folder import SweepFolder
    from harness.runs.verify import verify as read_again

    mistakes = [
        f"{folder}: {'no run lies in it' if folder.is_dir() else 'no such folder'}; a sweep's folder is outputs/NAME"
        for folder in sweeps
        if not (folder.is_dir() and SweepFolder(folder).is_sweep())
    ]
    if mistakes:
        raise UserError(mistakes)
    found = [finding for sweep in sweeps for run in SweepFolder(sweep).runs() for finding in _findings(read_again(run))]
    render(found, Terminal(highlight=False))
    raise typer.Exit(FAILED if any(finding.state is State.FAILED for finding in found) else 0)


def _findings(verified: Verified) -> list[Finding]:
    from harness.doctor.finding import failed, ok, warning

    folder, record = verified.folder, verified.record
    if verified.damages:
        return [failed(folder.name, f"{damage.path}: {damage.problem}", damage.fix) for damage in verified.damages]
    if record is None:
        if not folder.has_been_started():
            return [ok(folder.name, "planned, and not started yet")]
        problem = f"{folder.record}: there is none, so the run goes on still or was killed"
        return [warning(folder.name, problem, "wait for it, or give the sweep's command again")]
    if record.files is None:
        return [ok(folder.name, f"{record.status}; what can be read is whole, its hashes were not recorded")]
    mib = sum(kept.size_bytes for kept in record.files.values()) / 2**20
    return [ok(folder.name, f"{record.status}; {len(record.files)} files ({mib:.1f} MiB) as the run left them")]
