"""Where rows come from: a file here, or one of a hub, whose network is stood in for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from modelscope.hub import file_download

from harness.base.errors import UserError
from harness.config.schema import SourceConfig
from harness.data.sources import SourceError, SourceReader
from harness.processes.jobs import FetchJob
from harness.workers import fetch_dataset
from tests.compose.checked import mistakes, only

FETCH = {"huggingface": "hf_hub_download", "modelscope": "dataset_file_download"}
MATH10K = SourceConfig(repository="lmms-lab/Math10K", file="data/train-00000-of-00001.parquet")
ROWS = [{"instruction": "a", "output": "b"}]


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_each_hub_is_asked_in_its_own_words(
    hub: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(repository: str, file: str, **_: str) -> str:
        print("downloading ...")
        return f"/cache/{repository}/{file}"

    monkeypatch.setattr(huggingface_hub if hub == "huggingface" else file_download, FETCH[hub], answer)
    fetch_dataset.main(FetchJob(hub=hub, repository="lmms-lab/Math10K", file="rows.parquet"))
    assert capsys.readouterr().out == "/cache/lmms-lab/Math10K/rows.parquet\n"


def test_a_hub_that_does_not_answer_is_one_message_with_another_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    reader = SourceReader(tmp_path)
    with pytest.raises(UserError) as failed:
        reader.fetch(MATH10K, "huggingface")
    (mistake,) = failed.value.mistakes
    assert mistake.startswith("dataset.repository=lmms-lab/Math10K: cannot be fetched from huggingface: ")
    assert mistake.endswith("or fetch it elsewhere and give dataset.path")
    assert not reader.is_here(MATH10K)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str, str]]:
    """A hub that has one file; what it was asked for."""
    asked = []
    (tmp_path / "cached.json").write_text(json.dumps(ROWS))

    def fetch(job: FetchJob, environment: dict[str, str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append((job.hub, job.repository, job.file))
        if job.repository == "a/b":
            return subprocess.CompletedProcess([], 0, f"{tmp_path}/cached.json\n")
        return subprocess.CompletedProcess([], 1, "error: there is none\n")

    monkeypatch.setattr("harness.processes.start.run_to_end", fetch)
    return asked


def test_a_hub_is_asked_once_for_a_file_also_when_it_has_none(hub: list[tuple[str, str, str]], tmp_path: Path) -> None:
    reader = SourceReader(tmp_path)
    there, absent = (SourceConfig(repository=f"a/{name}", file="rows.json") for name in "bc")
    for _ in range(3):
        reader.fetch(there, "modelscope")
        with pytest.raises(SourceError):
            reader.fetch(absent, "modelscope")
    assert hub == [("modelscope", "a/b", "rows.json"), ("modelscope", "a/c", "rows.json")]
    # Nothing of it is kept for another sweep.
    SourceReader(tmp_path).fetch(there, "modelscope")
    assert len(hub) == 3


def test_rows_of_a_hub_can_be_read_once_they_were_fetched_and_not_before(
    hub: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    reader, source = SourceReader(tmp_path), SourceConfig(repository="a/b", file="rows.json")
    assert not reader.is_here(source)
    with pytest.raises(SourceError, match="was not fetched"):
        reader.read(source)
    assert hub == []
    reader.fetch(source, "huggingface")
    assert reader.is_here(source)
    assert reader.read(source) == ROWS


def test_a_file_that_is_here_is_asked_of_no_hub(hub: list[tuple[str, str, str]], tmp_path: Path) -> None:
    source = SourceConfig(path="cached.json", repository="a/b", file="rows.json")
    reader = SourceReader(tmp_path)
    reader.fetch(source, "huggingface")
    assert (reader.read(source), hub) == (ROWS, [])


def test_what_was_read_first_is_what_every_run_of_the_sweep_gets(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(ROWS))
    reader, source = SourceReader(tmp_path), SourceConfig(path=str(file))
    assert reader.read(source) == ROWS
    file.unlink()
    assert reader.read(source) == ROWS
    with pytest.raises(SourceError, match=r"rows\.json: no such file"):
        SourceReader(tmp_path).read(source)


def test_the_same_rows_read_another_way_are_checked_anew(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps([{"instruction": "a", "output": "b", "answer": None}]))
    reader, alpaca = SourceReader(tmp_path), SourceConfig(path="rows.json")
    assert reader.row_problems(alpaca, False) == []
    assert reader.row_problems(alpaca, True) == ["row 1: answer is empty"]
    (problem,) = reader.row_problems(
        SourceConfig(path="rows.json", columns={"prompt": "q", "response": "output"}), False
    )
    assert problem.startswith("row 1: there is no column q")
    (problem,) = reader.row_problems(SourceConfig(path="rows.json", formatting="sharegpt"), False)
    assert problem.startswith("row 1: there is no column conversations")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("deep.json", "[" * 10**5),
        ("rows.json", "[1]"),
        ("rows.json", '"text"'),
        ("rows.jsonl", "{"),
        ("rows.json", ""),
        ("rows.parquet", "no parquet"),
        ("folder.json", None),
        ("x" * 300 + ".json", None),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_no_traceback(
    name: str, content: str | None, tmp_path: Path
) -> None:
    (tmp_path / "folder.json").mkdir()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as refused:
        SourceReader(tmp_path).read(SourceConfig(path=name))
    (mistake,) = refused.value.mistakes
    assert mistake.startswith(f"{tmp_path / name}: ")
    assert "\n" not in mistake


def test_fetching_imports_no_torch_into_this_process() -> None:
    code = "import sys, harness.data.prepare, harness.compose.checks; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (["dataset.repository=a/b"], "dataset.file: a value is needed, the path of a file inside of a/b"),
        (
            ["dataset.repository=a/b", "dataset.file=c.json", "model.hub=local"],
            "dataset.repository=a/b: model.hub=local fetches nothing; use modelscope",
        ),
        (["dataset.path=rows.json", "dataset.formatting=csv"], "dataset.formatting=csv: must be alpaca or sharegpt"),
        (["model.hub=nowhere"], "model.hub=nowhere: must be one of huggingface, modelscope, local"),
    ],
)
def test_a_source_that_cannot_be_meant_is_refused(
    given: list[str], refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]))
    assert refused in mistakes(*given)


def test_a_file_here_takes_the_place_of_one_of_a_hub(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]))
    given = ["dataset.repository=a/b", "dataset.file=c.json", f"dataset.path={tmp_path / 'rows.json'}"]
    assert only(*given, "dataset=alpaca", "dataset.validation_samples=0", "training.validation_steps=null")


def test_a_further_file_is_looked_at_too_and_named_by_its_place(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(json.dumps([{"instruction": "a", "output": "b"}]))
    second.write_text(json.dumps([{"instruction": "a", "output": "b"}, {"instruction": "a", "output": " "}]))
    given = [f"dataset.path={first}", f"dataset.also=[{{path: {second}}}]", "dataset.validation_samples=0"]
    assert mistakes(*given, "training.validation_steps=null") == [
        f"dataset.also[0].path={second}: row 2: output is empty"
    ]
