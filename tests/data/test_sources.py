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
from harness.compose import points as compose
from harness.config.schema import SourceConfig
from harness.data import sources
from harness.data.sources import SourceError, locate
from harness.workers import fetch_dataset as fetch

FETCH = {"huggingface": "hf_hub_download", "modelscope": "dataset_file_download"}
MATH10K = SourceConfig(repository="lmms-lab/Math10K", file="data/train-00000-of-00001.parquet")


@pytest.fixture(autouse=True)
def nothing_fetched_before() -> None:
    sources._fetch.cache_clear()


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_each_hub_is_asked_in_its_own_words(
    hub: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(repository: str, file: str, **_: str) -> str:
        print("downloading ...")
        return f"/cache/{repository}/{file}"

    monkeypatch.setattr(huggingface_hub if hub == "huggingface" else file_download, FETCH[hub], answer)
    fetch.main(hub, "lmms-lab/Math10K", "rows.parquet")
    assert capsys.readouterr().out == "/cache/lmms-lab/Math10K/rows.parquet\n"


def test_a_hub_that_does_not_answer_is_one_message_with_another_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SourceError, match=r"cannot be fetched from huggingface: .*; .* give dataset\.path"):
        locate(MATH10K, "huggingface")


def test_looking_for_a_file_of_a_hub_imports_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys, subprocess; from harness.config.schema import SourceConfig; from harness.data import sources\n"
        "subprocess.run = lambda *_, **__: subprocess.CompletedProcess([], 0, stdout='/cache/rows.json\\n')\n"
        "assert str(sources.locate(SourceConfig(repository='a/b', file='c'), 'modelscope')) == '/cache/rows.json'\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("given", "said"),
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
    given: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]))
    with pytest.raises(UserError) as refused:
        compose.points([*given, "device=cpu"], multirun=False)
    assert said in refused.value.mistakes


def test_a_file_here_takes_the_place_of_one_of_a_hub(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]))
    given = ["dataset.repository=a/b", "dataset.file=c.json", f"dataset.path={tmp_path / 'rows.json'}"]
    assert compose.points([*given, "dataset=alpaca", "device=cpu"], multirun=False)


def test_a_further_file_is_looked_at_too_and_named_by_its_place(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(json.dumps([{"instruction": "a", "output": "b"}]))
    second.write_text(json.dumps([{"instruction": "a", "output": "b"}, {"instruction": "a", "output": " "}]))
    given = [f"dataset.path={first}", f"dataset.also=[{{path: {second}}}]", "dataset.validation_samples=0"]
    with pytest.raises(UserError) as refused:
        compose.points([*given, "training.validation_steps=null", "device=cpu"], multirun=False)
    assert refused.value.mistakes == [f"dataset.also[0].path={second}: row 2: output is empty"]
