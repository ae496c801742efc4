"""`harness data`: the data step of a tutorial as one command."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.base.errors import UserError
from harness.cli.data import write_rows

RECORDS = [
    {"instruction": f"question {n}\n ", "input": "", "output": f"because {n}", "answer": f"{n}.0", "extra": n}
    for n in range(3260)
]


def as_the_tutorial_does(records: list[dict[str, object]]) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """2,000 of the first 90%, then 200 of the rest, after `random.seed(42)`; the answer behind the output."""
    split = int(len(records) * 0.9)
    random.seed(42)
    train = random.sample(records[:split], min(2000, split))
    held_out = random.sample(records[split:], min(200, len(records) - split))

    def row(record: dict[str, object]) -> dict[str, object]:
        output = f"{record['output']}\n#### {record['answer']}"
        return {"instruction": record["instruction"], "input": record["input"], "output": output}

    return list(map(row, train)), list(map(row, held_out))


@pytest.mark.parametrize("given", [["dataset=math10k"], ["qwen2_math"]])
def test_the_rows_are_those_of_the_tutorials_own_code(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "train-00000-of-00001.parquet"
    parquet.write_table(pa.Table.from_pylist(RECORDS), file)
    write_rows([*given, f"dataset.path={file}"], tmp_path / "data")
    info = json.loads((tmp_path / "data" / "dataset_info.json").read_text())
    train, held_out = (json.loads((tmp_path / "data" / entry["file_name"]).read_text()) for entry in info.values())
    assert (train, held_out) == as_the_tutorial_does(RECORDS)
    output = capsys.readouterr().out
    assert output.startswith("2,000 rows to train on, 200 to validate on")
    names = list(info)
    assert names == (["lmm-lab-math-demo", "math-eval-demo"] if given == ["qwen2_math"] else ["train", "validation"])
    assert f"dataset_dir: {tmp_path / 'data'}\ndataset: {names[0]}\neval_dataset: {names[1]}" in output


def test_a_folder_of_the_users_own_datasets_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds a dataset_info\.json already"):
        write_rows(["dataset=arithmetic"], tmp_path)
    assert (tmp_path / "dataset_info.json").read_text() == "{}"


def test_the_users_own_rows_are_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "train.json"
    file.write_text('[{"instruction": "q", "output": "a"}]')
    with pytest.raises(UserError, match=r"holds a train\.json already"):
        write_rows(["dataset=local", f"dataset.path={file}"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["train.json"]
    assert file.read_text() == '[{"instruction": "q", "output": "a"}]'


def test_what_a_training_would_lack_keeps_no_rows_back(tmp_path: Path) -> None:
    """The quickstart's training validates, and this dataset holds nothing out."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"instruction": "q", "output": "a"}\n')
    write_rows(["dataset=local", f"dataset.path={file}", "device=ascend", "training.epochs=0"], tmp_path / "data")
    assert json.loads((tmp_path / "data" / "train.json").read_text())[0]["output"] == "a"


def test_a_file_that_a_hub_does_not_have_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    with pytest.raises(UserError, match=r"dataset\.repository=nobody/nothing: cannot be fetched from huggingface"):
        write_rows(
            ["dataset=local", "dataset.path=null", "dataset.repository=nobody/nothing", "dataset.file=rows.json"],
            tmp_path / "data",
        )
    assert not (tmp_path / "data").exists()


def test_what_is_wrong_with_the_rows_is_told(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"instruction": "q", "output": ""}\n')
    with pytest.raises(UserError) as raised:
        write_rows(["dataset=alpaca", f"dataset.path={file}", "dataset.validation_samples=0"], tmp_path / "data")
    assert raised.value.mistakes == [f"dataset.path={file}: row 1: output is empty"]
    assert not (tmp_path / "data").exists()
