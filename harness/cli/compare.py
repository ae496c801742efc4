"""`harness compare`: one sweep made twice, and what moved by more than its noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="outputs/NAME, as it was.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The same sweep after an upgrade, or on another machine.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for a machine to read.")] = False,
    language: Annotated[str, typer.Option(help="Of the words.")] = "en",
) -> None:
    """One sweep made twice: what moved by more than its noise. Exit status 1 when something got worse."""
    from harness.base.errors import UserError
    from harness.comparison.change import change
    from harness.report.change import as_json as plain
    from harness.report.change import lines
    from harness.report.text import text_in

    if missing := [folder for folder in (old, new) if not folder.is_dir()]:
        raise UserError([f"{folder}: no such folder; a sweep's folder is outputs/NAME" for folder in missing])
    found = change(old, new)
    if as_json:
        typer.echo(json.dumps(plain(found), indent=2, ensure_ascii=False))
    else:
        for line in lines(found, text_in(language)):
            typer.echo(line)
    raise typer.Exit(int(found.is_worse))
