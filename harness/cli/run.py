"""`harness run` and `harness sweep`: what to compare, as Hydra reads it, handed to the execution."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from harness.cli.exits import exits
from harness.runs.folder import RunFolder

_SWEEPS = (
    "A file in ./sweeps, or one of the package's own: quickstart, four_arms, memory_probe; the tutorials qwen2_math, "
    "qwen3_psychology, qwen3_vl_tools, qwen2_5_identity, qwen1_5_zero0."
)


def run(
    context: typer.Context,
    spec: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"A {RunFolder.spec}: all of a run, planned before."),
    ] = None,
) -> None:
    """One run: harness run [KEY=VALUE ...], e.g. harness run method=qlora training.max_steps=50

    Hydra's own flags (--cfg job, --info, --multirun) work too; `python -m harness --help` lists groups and keys."""
    if spec is None:
        _hydra(context.args)
    from harness.base.errors import UserError
    from harness.cli.display import make_display
    from harness.execution.hydra_app import run_spec

    if context.args:
        raise UserError(f"--spec {spec}: says all of a run; leave out {' '.join(context.args)}")
    with _interruption_explained():
        sys.exit(run_spec(spec, make_display))


def sweep(context: typer.Context, name: Annotated[str, typer.Argument(help=_SWEEPS)]) -> None:
    """All runs of a comparison, then its report: harness sweep NAME [KEY=VALUE ...]

    First it says what it compares and the smallest difference that it can see. Completed runs are not run again: more
    seeds go on from what is there. dry_run=true writes what would be trained and trains nothing."""
    _hydra(["--multirun", f"sweeps={name}", *context.args])


def plain_hydra(arguments: Sequence[str]) -> NoReturn:
    """Be the plain Hydra application on a command line; ends the process as the verbs do."""
    with exits():
        _hydra(arguments)


def _hydra(arguments: Sequence[str]) -> NoReturn:
    from harness.cli.display import make_display
    from harness.execution.hydra_app import main

    with _interruption_explained():
        sys.exit(main(list(arguments), make_display))


@contextmanager
def _interruption_explained() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this stopped", file=sys.stderr)
        raise
