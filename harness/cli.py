"""The verbs. Each imports what it needs when it is called, so that --help answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="harness",
    help="What QLoRA costs and saves against LoRA on your model, your data and your device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_HYDRA = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]}


@app.command(context_settings=_HYDRA)
def run(context: typer.Context) -> None:
    """One run: harness run [KEY=VALUE ...], e.g. harness run method=qlora training.max_steps=50

    Hydra's own flags (--cfg job, --info, --multirun) work too; `python -m harness --help` lists groups and keys."""
    from harness.app import main

    main(context.args)


@app.command(context_settings=_HYDRA)
def sweep(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A file in ./sweeps or in the package's own: quickstart, memory_probe.")],
) -> None:
    """All runs of a comparison, then its report: harness sweep NAME [KEY=VALUE ...]

    dry_run=true writes what would be trained and trains nothing. Completed runs are not run again."""
    from harness.app import main

    main(["--multirun", f"sweeps={name}", *context.args])


@app.command()
def report(
    sweeps: Annotated[list[Path], typer.Argument(metavar="SWEEP_DIR...", help="outputs/NAME, one or several.")],
    output: Annotated[Path | None, typer.Option(help="Default: reports/NAME of the first.")] = None,
) -> None:
    """Render a comparison again, from the records alone."""
    from harness.comparison.summary import verdict_of
    from harness.report.render import render

    missing = [folder for folder in sweeps if not folder.is_dir()]
    if missing:
        for folder in missing:
            typer.echo(f"error: {folder}: no such folder; a sweep's folder is outputs/NAME", err=True)
        raise typer.Exit(2)
    path = render(sweeps, output or Path("reports") / sweeps[0].resolve().name)
    for sentence in verdict_of(sweeps):
        typer.echo(sentence)
    typer.echo(f"report: {path}")


@app.command()
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

    logs = sorted(
        [*sweep_dir.glob("swanlog"), *sweep_dir.glob("*/swanlog")],
        key=lambda folder: folder.stat().st_mtime,
        reverse=True,
    )
    if not logs:
        typer.echo(f"error: {sweep_dir}: no SwanLab files here; run a sweep with tracking=local first", err=True)
        raise typer.Exit(2)
    swanlab = shutil.which("swanlab", path=str(Path(sys.executable).parent)) or "swanlab"
    try:
        raise typer.Exit(subprocess.call([swanlab, "watch", str(logs[0]), "--port", str(port)]))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
