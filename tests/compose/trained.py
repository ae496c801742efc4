"""The train.yaml of a configuration, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.config.schema import Config
from harness.data import prepare
from harness.data.sources import SourceReader
from harness.trainer.arguments import training_arguments
from harness.trainer.named_files import located


def precision_of(config: Config) -> str:
    """On a CPU."""
    return "fp32" if config.training.precision == "auto" else config.training.precision


def rows_of(config: Config) -> prepare.Rows:
    return prepare.draw(config.dataset, SourceReader(Path.cwd()))


def arguments_of(config: Config, folder: Path = Path("/run"), processes: int = 1) -> dict[str, Any]:
    """What a run in `folder` trains with on a CPU."""
    rows = rows_of(config)
    return training_arguments(
        config,
        given=located(config.llamafactory, Path.cwd()),
        train_names=rows.train_names,
        validation_names=rows.validation_names,
        dataset_dir=folder / "dataset",
        output_dir=folder / "adapter",
        model_path=str(config.model.path),
        precision=precision_of(config),
        on_cpu=True,
        processes=processes,
    )
