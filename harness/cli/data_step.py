"""`harness data`: a dataset's rows as a folder that LLaMA-Factory reads, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.base.errors import UserError
from harness.compose import checks as rules
from harness.compose import points as compose
from harness.data import prepare


def write_data(overrides: Sequence[str], output: Path) -> None:
    """Write `output` as a dataset_dir: the rows that a run with these overrides trains and validates on. A word without
    `=` is a file in sweeps/, as in `harness sweep`. Raises UserError."""
    given = [text if "=" in text else f"sweeps={text}" for text in overrides]
    (point,) = compose.points(given, multirun=False, check=rules.check_rows)
    _require_none(output, ["dataset_info"])
    rows = prepare.draw(point.config.dataset, point.config.model.hub)
    _require_none(output, [*rows.train_names, *rows.validation_names])
    prepare.write(rows, output)
    print(f"{len(rows.train):,} rows to train on, {len(rows.validation):,} to validate on, in {output}. LLaMA-Factory:")
    print(f"dataset_dir: {output}\ndataset: {','.join(rows.train_names)}")
    if rows.validation_names:
        print(f"eval_dataset: {','.join(rows.validation_names)}")


def _require_none(output: Path, names: list[str]) -> None:
    """Raises UserError where one of the files that are to be written is there."""
    if there := [file.name for name in names if (file := output / f"{name}.json").exists()]:
        raise UserError([f"--output={output}: holds a {' and a '.join(there)} already; give a folder that has none"])
