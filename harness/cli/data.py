"""`harness data`: a dataset's rows without a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import UserError
from harness.base.paths import require_writable


def data(
    context: typer.Context,
    output: Annotated[Path, typer.Option(help="A folder that holds no dataset yet; LLaMA-Factory's dataset_dir.")],
) -> None:
    """The rows of a run or a sweep, without training: harness data [NAME] [KEY=VALUE ...] --output DIR"""
    write_rows(context.args, output)


def write_rows(overrides: Sequence[str], output: Path) -> None:
    """Write `output` as a dataset_dir: the rows that a run with these overrides trains and validates on.

    A word without `=` is a file in sweeps/, as in `harness sweep`. Raises UserError, OSError."""
    from harness.compose import checks, points
    from harness.data import prepare
    from harness.data.sources import SourceReader

    sources = SourceReader(Path.cwd())
    (point,) = points.points(
        [text if "=" in text else f"sweeps={text}" for text in overrides],
        multirun=False,
        check=lambda config: checks.check_rows(config, sources),
    )
    _require_none(output, ["dataset_info"])
    dataset = point.config.dataset
    for source in (dataset, *dataset.also, *dataset.validation):
        sources.fetch(source, point.config.model.hub)
    # What was on a hub could not be looked at before.
    if mistakes := checks.check_rows(point.config, sources):
        raise UserError(mistakes)
    rows = prepare.draw(dataset, sources)
    _require_none(output, [*rows.train_names, *rows.validation_names])
    prepare.write(rows, output)
    typer.echo(
        f"{len(rows.train):,} rows to train on, {len(rows.validation):,} to validate on, in {output}. LLaMA-Factory:\n"
        f"dataset_dir: {output}\ndataset: {','.join(rows.train_names)}"
    )
    if rows.validation_names:
        typer.echo(f"eval_dataset: {','.join(rows.validation_names)}")


def _require_none(output: Path, names: list[str]) -> None:
    """Raises UserError where nothing can be written, or a file that is to be written is there already."""
    require_writable(output)
    taken = [file.name for name in names if (file := output / f"{name}.json").exists()]
    if taken:
        raise UserError(f"--output={output}: holds a {' and a '.join(taken)} already; give a folder that has none")
