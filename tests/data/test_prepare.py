"""From a user's file to the rows that are trained on."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.config.schema import DatasetConfig, SourceConfig
from harness.data import prepare
from harness.data.sources import Record, SourceReader

ROWS = [{"instruction": f"question {n}", "input": "", "output": f"because {n}", "answer": n * 1.0} for n in range(100)]


def math10k(path: Path, **changes: object) -> DatasetConfig:
    settings: dict[str, object] = {"train_samples": 20, "validation_samples": 5, "append_answer": True, **changes}
    return DatasetConfig(name="math10k", path=str(path), **settings)  # type: ignore[arg-type]


def draw(dataset: DatasetConfig) -> prepare.Rows:
    return prepare.draw(dataset, SourceReader(Path.cwd()))


def read(path: Path) -> list[Record]:
    return SourceReader(path.parent).read(SourceConfig(path=path.name))


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
    rows = draw(math10k(file, train_samples=None, validation_samples=0)).train
    assert len(rows) == 100
    assert rows[7] == {"instruction": "question 7", "input": "", "output": "because 7\n#### 7.0"}


def test_the_rows_are_those_of_the_tutorials_own_data_step(file: Path) -> None:
    """Seed 42, 90% to train on: random.sample of the first part, then of the second, from one generator."""
    random.seed(42)
    train = random.sample(ROWS[:90], 20)
    validation = random.sample(ROWS[90:], 5)
    rows = draw(math10k(file))
    assert [row["instruction"] for row in rows.train] == [row["instruction"] for row in train]
    assert [row["instruction"] for row in rows.validation] == [row["instruction"] for row in validation]


def test_a_file_with_fewer_rows_than_asked_for_gives_what_it_has(file: Path) -> None:
    rows = draw(math10k(file, train_samples=2000, validation_samples=200))
    assert (len(rows.train), len(rows.validation)) == (90, 10)


def test_without_validation_every_row_is_trained_on(file: Path) -> None:
    rows = draw(math10k(file, train_samples=None, validation_samples=0))
    assert (len(rows.train), rows.validation) == (100, [])


def test_generated_rows_share_no_question() -> None:
    rows = draw(DatasetConfig(name="arithmetic", train_samples=500, validation_samples=100))
    assert not {row["instruction"] for row in rows.train} & {row["instruction"] for row in rows.validation}


def test_what_is_written_is_a_dataset_of_llamafactory(file: Path, tmp_path: Path) -> None:
    prepare.write(draw(math10k(file)), tmp_path / "dataset")
    info = json.loads((tmp_path / "dataset" / "dataset_info.json").read_text())
    assert info == {"train": {"file_name": "train.json"}, "validation": {"file_name": "validation.json"}}
    written = json.loads((tmp_path / "dataset" / "train.json").read_text())
    assert len(written) == 20
    assert set(written[0]) == {"instruction", "input", "output"}


def test_a_dataset_is_whole_or_not_listed(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up in the midst leaves no file of rows that is cut off, and no list that names one."""
    calls = []

    def full_after_the_first(path: Path, content: str) -> None:
        calls.append(path)
        if len(calls) > 1:
            raise OSError("no space")
        path.write_text(content)

    monkeypatch.setattr(prepare, "write_atomically", full_after_the_first)
    with pytest.raises(OSError, match="no space"):
        prepare.write(draw(math10k(file)), tmp_path / "dataset")
    assert [path.name for path in (tmp_path / "dataset").iterdir()] == ["train.json"]


def test_a_digest_changes_with_any_word(file: Path) -> None:
    rows = draw(math10k(file))
    assert rows.digest() == draw(math10k(file)).digest()
    assert rows.digest() != draw(math10k(file, append_answer=False)).digest()


def test_rows_to_validate_on_can_be_a_file_of_their_own(file: Path, tmp_path: Path) -> None:
    held = tmp_path / "held.json"
    held.write_text(json.dumps([{"q": "?", "a": "!"}]))
    source = SourceConfig(path=str(held), columns={"prompt": "q", "response": "a"})
    dataset = DatasetConfig(name="local", path=str(file), validation=[source], train_name="mine")
    rows = draw(dataset)
    assert (len(rows.train), rows.validation) == (100, [{"q": "?", "a": "!"}])
    prepare.write(rows, tmp_path / "dataset")
    assert json.loads((tmp_path / "dataset" / "dataset_info.json").read_text()) == {
        "mine": {"file_name": "mine.json"},
        "validation": {"file_name": "validation.json", "columns": {"prompt": "q", "response": "a"}},
    }


def test_every_row_has_every_column_that_llamafactory_asks_for(tmp_path: Path) -> None:
    """Its converter stops with a KeyError at rows without `input`."""
    (tmp_path / "rows.json").write_text(json.dumps([{"instruction": "q", "output": "a", "other": 1}]))
    (row,) = draw(DatasetConfig(name="local", path=str(tmp_path / "rows.json"))).train
    assert row == {"instruction": "q", "input": None, "output": "a"}


def test_a_tag_that_is_named_takes_no_other_away(tmp_path: Path) -> None:
    """LLaMA-Factory forgets its defaults as soon as one is given."""
    (tmp_path / "rows.json").write_text(json.dumps([{"conversations": [{"role": "human"}, {"role": "gpt"}]}]))
    source = DatasetConfig(
        name="local", path=str(tmp_path / "rows.json"), formatting="sharegpt", tags={"role_tag": "role"}
    )
    (part,) = draw(source).train_parts
    assert part.description["tags"]["role_tag"] == "role"
    assert part.description["tags"]["content_tag"] == "value"
    assert len(part.description["tags"]) == 7


def test_json_with_an_object_a_line_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('{"instruction": "a\\u2028b"}\n{"instruction": "c\u2028d"}\n')
    assert [row["instruction"] for row in read(tmp_path / "rows.json")] == ["a\u2028b", "c\u2028d"]
