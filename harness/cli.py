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
    from harness.report.render import render

    missing = [folder for folder in sweeps if not folder.is_dir()]
    if missing:
        for folder in missing:
            typer.echo(f"error: {folder}: no such folder; a sweep's folder is outputs/NAME", err=True)
        raise typer.Exit(2)
    rendered = render(sweeps, output or Path("reports") / sweeps[0].resolve().name)
    for sentence in rendered.said:
        typer.echo(sentence)
    typer.echo(f"report: {rendered.path}")


@app.command()
def doctor(
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or ascend; default: whatever shows signs of being here.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Read a failed run's log instead, and name the cause and the fix.")
    ] = None,
) -> None:
    """What on this machine keeps a run from working, and the fix for it. Exit status 1 when something failed."""
    from rich.console import Console

    if log is None:
        from harness.doctor.checkup import examine
        from harness.doctor.finding import State
        from harness.doctor.table import render

        findings = examine(device)
        render(findings, Console(highlight=False))
        raise typer.Exit(int(any(finding.state is State.FAILED for finding in findings)))
    from harness.diagnosis import diagnoses

    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        typer.echo(f"error: {log}: {error.strerror}; a run's logs are in outputs/SWEEP/RUN/logs", err=True)
        raise typer.Exit(2) from None
    found = diagnoses(text)
    for one in found:
        typer.echo(f"{one.line}\n  cause: {one.cause}\n  fix:   {one.fix}")
    if not found:
        typer.echo(f"{log}: none of the symptoms that are known; its last lines are the best hint")
    raise typer.Exit(int(bool(found)))


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
