"""`harness report`: a comparison rendered again, from the records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    sweeps: Annotated[list[Path], typer.Argument(metavar="SWEEP_DIR...", help="outputs/NAME, one or several.")],
    output: Annotated[Path | None, typer.Option(help="Default: reports/NAME of the first.")] = None,
    language: Annotated[str | None, typer.Option(help="Of the words: en, zh. Default: as the runs have it.")] = None,
) -> None:
    """Render a comparison again, from the records alone."""
    from harness.base.errors import UserError
    from harness.base.paths import absolute, require_writable
    from harness.report.render import render
    from harness.runs import looks
    from harness.runs.folder import SweepFolder

    missing = [folder for folder in sweeps if not folder.is_dir()]
    if missing:
        raise UserError([f"{folder}: no such folder; a sweep's folder is outputs/NAME" for folder in missing])
    output = output or Path("reports") / absolute(sweeps[0]).name
    require_writable(output)
    rendered = render(sweeps, output, language=language)
    for sweep in map(SweepFolder, sweeps):
        looks.note(sweep, looks.completed_in(sweep))
    for sentence in rendered.verdict:
        typer.echo(sentence)
    typer.echo(f"report: {rendered.path}")
