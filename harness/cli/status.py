"""`harness status`: how far the runs of a sweep are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from harness.runs.status import RunStatus, SweepStatus


def status(
    sweep_dirs: Annotated[list[Path], typer.Argument(metavar="SWEEP_DIR...", help="outputs/NAME, one or several.")],
    follow: Annotated[bool, typer.Option("--follow", help="Look again every second, until Ctrl-C.")] = False,
) -> None:
    """Say how far the runs of a sweep are, from their folders alone: from another shell, or another machine's."""
    import time

    from rich.console import Group
    from rich.live import Live

    from harness.base.errors import UserError
    from harness.cli.terminal import Terminal
    from harness.runs.folder import SweepFolder
    from harness.runs.status import Watch

    folders = [SweepFolder(folder) for folder in sweep_dirs]
    if mistakes := [
        f"{folder.path}: holds no run of a sweep; give outputs/NAME"
        for folder in folders
        if not (folder.path.is_dir() and (folder.plan.is_file() or folder.is_sweep()))
    ]:
        raise UserError(mistakes)
    watches = [Watch(folder) for folder in folders]
    console = Terminal(highlight=False)

    def shown() -> Group:
        looks = [watch.look() for watch in watches]
        return Group(*(part for look in looks for part in (table(look), summary(look))))

    if not follow:
        console.print(shown())
        return
    with Live(shown(), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(1)
            live.update(shown(), refresh=True)


def table(status: SweepStatus, *, only_running: bool = False) -> Table:
    """Return a line for each run."""
    from rich.table import Table

    from harness.runs.status import State

    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("run", "state", "where"):
        made.add_column(column, overflow="fold")
    for column in ("step", "loss", "MiB", "time"):
        made.add_column(column, justify="right")
    for run in status.of(State.RUNNING) if only_running else status.runs:
        made.add_row(
            _escaped(run.name),
            f"{run.state}, {run.phase}" if run.state is State.RUNNING and run.phase else run.state.value,
            _where(run),
            "" if run.step is None else f"{run.step}/{run.steps or '?'}",
            "" if run.loss is None else f"{run.loss:.4f}",
            "" if run.memory_mib is None else f"{run.memory_mib:,.0f}",
            "" if run.seconds is None else clock(run.seconds),
        )
        if run.reason and not only_running:
            made.add_row("", f"[dim]{_escaped(run.reason)}[/]")
    return made


def summary(status: SweepStatus) -> str:
    """Return in a line how many runs are where, and how long the rest will take."""
    from collections import Counter

    counted = Counter(run.state for run in status.runs)
    parts = [f"{count} {state}" for state, count in counted.items()]
    left = status.seconds_left
    time_left = "" if not left else f"; about {clock(left)} left"
    return f"{len(status.runs)} runs: {', '.join(parts)}{time_left}"


def clock(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _where(run: RunStatus) -> str:
    if run.holder is None:
        return ""
    return _escaped(" ".join([run.holder.host, *run.holder.chips]))


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text if len(text) <= 200 else f"{text[:200]} ...")
