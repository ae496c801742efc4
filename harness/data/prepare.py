"""From a dataset's configuration to the two files that LLaMA-Factory reads."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.config import DatasetConfig
from harness.data import arithmetic
from harness.data.sources import read_rows

TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True)
class Rows:
    """What a run trains on and what it validates on; no row is in both."""

    train: list[arithmetic.Row]
    validation: list[arithmetic.Row]

    def digest(self) -> str:
        """A hash of every word that is trained or validated on."""
        return hashlib.sha256(json.dumps([_plain(self.train), _plain(self.validation)]).encode()).hexdigest()


def draw(dataset: DatasetConfig) -> Rows:
    """The rows of a dataset, the same for every arm and seed of a sweep. Raises SourceError."""
    if dataset.path is None:
        return Rows(
            arithmetic.generate("train", dataset.train_samples or 1600, dataset.seed),
            arithmetic.generate("validation", dataset.validation_samples, dataset.seed),
        )
    rows = read_rows(Path(dataset.path).expanduser(), dataset.append_answer)
    boundary = len(rows)
    if dataset.validation_samples:
        boundary = int(len(rows) * (1 - dataset.validation_fraction))
    # One generator for both draws, first train, then validation: the order of the tutorial's own data step.
    generator = random.Random(dataset.seed)
    train, validation = rows[:boundary], rows[boundary:]
    if dataset.train_samples is not None:
        train = generator.sample(train, min(dataset.train_samples, len(train)))
    return Rows(train, generator.sample(validation, min(dataset.validation_samples, len(validation))))


def write(rows: Rows, folder: Path) -> None:
    """Write `folder` as a LLaMA-Factory `dataset_dir` with the datasets `train` and `validation`."""
    folder.mkdir(parents=True, exist_ok=True)
    info = {}
    for name, part in ((TRAIN, rows.train), (VALIDATION, rows.validation)):
        if part:
            info[name] = {"file_name": f"{name}.json"}
            (folder / f"{name}.json").write_text(
                json.dumps(_plain(part), ensure_ascii=False, indent=1), encoding="utf-8"
            )
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=1), encoding="utf-8")


def _plain(rows: list[arithmetic.Row]) -> list[dict[str, str]]:
    return [{key: value for key, value in asdict(row).items() if key != "answer"} for row in rows]
