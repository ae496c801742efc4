"""From a user's file to the rows that are trained on."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.config import DatasetConfig
from harness.data import prepare
from harness.data.sources import SourceError, read_rows

ROWS = [{"instruction": f"question {n}", "input": "", "output": f"because {n}", "answer": n * 1.0} for n in range(100)]


def math10k(path: Path, **changes: object) -> DatasetConfig:
    settings: dict[str, object] = {"train_samples": 20, "validation_samples": 5, "append_answer": True, **changes}
    return DatasetConfig(name="math10k", path=str(path), **settings)  # type: ignore[arg-type]


@pytest.fixture(params=["json", "jsonl", "parquet"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"rows.{request.param}"
    if request.param == "parquet":
        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif request.param == "json":
        path.write_text(json.dumps(ROWS))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_every_kind_of_file_gives_the_same_rows(file: Path) -> None:
    rows = read_rows(file, append_answer=True)
    assert len(rows) == 100
    assert rows[7].instruction == "question 7"
    assert rows[7].output == "because 7\n#### 7.0"


def test_the_rows_are_those_of_the_tutorials_own_data_step(file: Path) -> None:
    """Seed 42, 90% to train on: random.sample of the first part, then of the second, from one generator."""
    random.seed(42)
    train = random.sample(ROWS[:90], 20)
    validation = random.sample(ROWS[90:], 5)
    rows = prepare.draw(math10k(file))
    assert [row.instruction for row in rows.train] == [row["instruction"] for row in train]
    assert [row.instruction for row in rows.validation] == [row["instruction"] for row in validation]


def test_a_file_with_fewer_rows_than_asked_for_gives_what_it_has(file: Path) -> None:
    rows = prepare.draw(math10k(file, train_samples=2000, validation_samples=200))
    assert (len(rows.train), len(rows.validation)) == (90, 10)


def test_without_validation_every_row_is_trained_on(file: Path) -> None:
    rows = prepare.draw(math10k(file, train_samples=None, validation_samples=0))
    assert (len(rows.train), rows.validation) == (100, [])


def test_generated_rows_share_no_question() -> None:
    rows = prepare.draw(DatasetConfig(name="arithmetic", train_samples=500, validation_samples=100))
    assert not {row.instruction for row in rows.train} & {row.instruction for row in rows.validation}


def test_what_is_written_is_a_dataset_of_llamafactory(file: Path, tmp_path: Path) -> None:
    prepare.write(prepare.draw(math10k(file)), tmp_path / "dataset")
    info = json.loads((tmp_path / "dataset" / "dataset_info.json").read_text())
    assert info == {"train": {"file_name": "train.json"}, "validation": {"file_name": "validation.json"}}
    written = json.loads((tmp_path / "dataset" / "train.json").read_text())
    assert len(written) == 20
    assert set(written[0]) == {"instruction", "input", "output"}


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b")
    with pytest.raises(SourceError, match=r"must end in \.json, \.jsonl, \.parquet"):
        read_rows(tmp_path / "rows.csv", append_answer=False)


def test_a_digest_changes_with_any_word(file: Path) -> None:
    rows = prepare.draw(math10k(file))
    assert rows.digest() == prepare.draw(math10k(file)).digest()
    assert rows.digest() != prepare.draw(math10k(file, append_answer=False)).digest()
