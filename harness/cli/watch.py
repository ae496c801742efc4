"""`harness watch`: SwanLab's local dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def watch(
    sweep_dir: Annotated[Path, typer.Argument(help="outputs/NAME; default: the sweep that was tracked last.")] = Path(
        "outputs"
    ),
    port: Annotated[int, typer.Option(help="Of the local dashboard.")] = 5092,
) -> None:
    """Open SwanLab's local dashboard on the runs of a sweep."""
    import shutil
    import subprocess
    import sys

    from harness.base.errors import UserError
    from harness.runs.folder import SweepFolder

    folders = [SweepFolder(folder).swanlog for folder in (sweep_dir, *sweep_dir.glob("*"))]
    logs = [folder for folder in folders if folder.is_dir()]
    if not logs:
        raise UserError(f"{sweep_dir}: holds no files of SwanLab's; run a sweep with tracking=local first")
    newest = max(logs, key=lambda folder: folder.stat().st_mtime)
    swanlab = shutil.which("swanlab", path=str(Path(sys.executable).parent)) or "swanlab"
    raise typer.Exit(subprocess.call([swanlab, "watch", str(newest), "--port", str(port)]))
