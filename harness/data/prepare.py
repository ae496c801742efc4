"""From a dataset's configuration to the files that LLaMA-Factory reads."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.base.decoding import without_lone_surrogates
from harness.base.files import write_atomically
from harness.config.schema import DatasetConfig, SourceConfig
from harness.data import arithmetic
from harness.data.check import MEDIA, Record, columns_of, tags_of
from harness.data.sources import SourceReader


@dataclass(frozen=True)
class Part:
    """Rows of one source."""

    rows: list[Record]
    description: dict[str, Any]
    """What dataset_info.json says of them beside the file's name."""
    media_columns: tuple[str, ...] = ()
    """Those that name images, videos or sounds."""

    def media(self) -> Iterator[str]:
        """Yield each name in them, row by row."""
        for row in self.rows:
            for column in self.media_columns:
                named = row.get(column) or []
                yield from (name for name in (named if isinstance(named, list) else [named]) if isinstance(name, str))


@dataclass(frozen=True)
class Rows:
    """What a run trains on and what it validates on; no row is in both, unless the user's own files share it."""

    train_parts: list[Part]
    """None of these is empty."""
    validation_parts: list[Part]
    train_name: str
    validation_name: str
    in_files: int
    """All rows of the files that are trained on, or those that were generated to train on."""
    set_aside: int
    """Those of them that only validation rows are drawn from."""

    @property
    def train(self) -> list[Record]:
        return [row for part in self.train_parts for row in part.rows]

    @property
    def validation(self) -> list[Record]:
        return [row for part in self.validation_parts for row in part.rows]

    def media(self) -> list[str]:
        """Return the name of every image, video or sound, each once."""
        parts = (*self.train_parts, *self.validation_parts)
        return list(dict.fromkeys(name for part in parts for name in part.media()))

    @property
    def train_names(self) -> list[str]:
        """What they are registered as, one name for each source that has such rows."""
        return _numbered(self.train_name, self.train_parts)

    @property
    def validation_names(self) -> list[str]:
        return _numbered(self.validation_name, self.validation_parts)

    def digest(self) -> str:
        """A hash of every word that is trained or validated on, and of how it is read."""
        both = (self.train_parts, self.validation_parts)
        content = [[[part.rows, part.description] for part in parts] for parts in both]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def draw(dataset: DatasetConfig, sources: SourceReader) -> Rows:
    """Return the rows of a dataset, the same for every arm and seed of a sweep. What is on a hub was fetched before.

    Raises SourceError, and ValueError where more rows are to be generated than there are."""
    trained_on = (dataset, *dataset.also)
    drawn = [_draw(dataset, source, sources) for source in trained_on]
    read = [sources.read(source) for source in trained_on if not (source is dataset and is_generated(dataset))]
    generated = len(drawn[0][0].rows) if is_generated(dataset) else 0
    given = [_part(sources.read(source), source, dataset) for source in dataset.validation]
    return Rows(
        [train for train, _ in drawn if train.rows],
        [part for part in (*(held_out for _, held_out in drawn), *given) if part.rows],
        dataset.train_name,
        dataset.validation_name,
        in_files=generated + sum(map(len, read)),
        set_aside=sum(len(rows) - boundary(dataset, len(rows)) for rows in read),
    )


def is_generated(dataset: DatasetConfig) -> bool:
    """Return whether the project generates the dataset's rows: nothing says from where to take them."""
    return dataset.path is None and dataset.repository is None


def boundary(dataset: DatasetConfig, count: int) -> int:
    """Return how many of the `count` rows of a file may be trained on: the first ones, before those held out."""
    return int(count * (1 - dataset.validation_fraction)) if dataset.validation_samples else count


def _draw(dataset: DatasetConfig, source: SourceConfig, sources: SourceReader) -> tuple[Part, Part]:
    """The rows of a source that are trained on, and those that are held out of it."""
    if source is dataset and is_generated(dataset):
        count = dataset.train_samples or arithmetic.DEFAULT_TRAIN_ROWS
        train = arithmetic.generate("train", count, dataset.seed)
        validation = arithmetic.generate("validation", dataset.validation_samples, dataset.seed)
        return _generated(train), _generated(validation)
    records = sources.read(source)
    first_held_out = boundary(dataset, len(records))
    # One generator for both draws, first train, then validation: the order of the tutorial's own data step.
    generator = random.Random(dataset.seed)
    drawn, held_out = records[:first_held_out], records[first_held_out:]
    if dataset.train_samples is not None:
        drawn = generator.sample(drawn, min(dataset.train_samples, len(drawn)))
    held_out = generator.sample(held_out, min(dataset.validation_samples, len(held_out)))
    return _part(drawn, source, dataset), _part(held_out, source, dataset)


def _part(records: list[Record], source: SourceConfig, dataset: DatasetConfig) -> Part:
    columns = columns_of(source)
    description: dict[str, Any] = {}
    if source.formatting != "alpaca":
        description["formatting"] = source.formatting
    if source.columns:
        description["columns"] = columns
    if source.tags:
        # All of them: LLaMA-Factory forgets its defaults as soon as one tag is given.
        description["tags"] = tags_of(source)
    kept = [_kept(record, columns, dataset.append_answer) for record in records]
    return Part(kept, description, tuple(columns[name] for name in MEDIA if name in columns))


def _kept(record: Record, columns: dict[str, str], append_answer: bool) -> Record:
    """The columns that are read, each in every row, since LLaMA-Factory stops at a row without `input`. Others may
    differ in type from row to row, which the reader refuses."""
    row = {name: without_lone_surrogates(record.get(name)) for name in columns.values()}
    if append_answer:
        output = columns["response"]
        row[output] = f"{row[output] or ''}\n#### {without_lone_surrogates(record['answer'])}"
    return row


def write(rows: Rows, folder: Path) -> None:
    """Write `folder` as a LLaMA-Factory `dataset_dir`, its dataset_info.json last. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    info = {}
    named = zip((*rows.train_names, *rows.validation_names), (*rows.train_parts, *rows.validation_parts), strict=True)
    for name, part in named:
        info[name] = {"file_name": f"{name}.json", **part.description}
        write_atomically(folder / f"{name}.json", json.dumps(part.rows, ensure_ascii=False, indent=1, default=str))
    write_atomically(folder / "dataset_info.json", json.dumps(info, indent=1))


def _numbered(name: str, parts: list[Part]) -> list[str]:
    return [name if number == 1 else f"{name}-{number}" for number, _ in enumerate(parts, start=1)]


def _generated(rows: list[arithmetic.Row]) -> Part:
    return Part([{key: value for key, value in asdict(row).items() if key != "answer"} for row in rows], {})
