"""What a dataset_info.json says is carried, or named: the rows are those that LLaMA-Factory would train on."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.compose.launched import Launched
from harness.compose.llamafactory_file import Imported, Registered, import_training
from harness.compose.registered import source
from tests.compose.checked import only
from tests.compose.trained import rows_of
from tests.test_recipes import TINY

ROWS = [{"instruction": f"q{number}", "input": "", "output": f"a{number}"} for number in range(6)]


def imported(tmp_path: Path, entries: dict[str, Any], **arguments: Any) -> Imported:
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    return import_training({"dataset": ",".join(entries), **arguments}, Registered(tmp_path, entries))


def entry(**keys: Any) -> dict[str, Any]:
    return {"file_name": "rows.json", **keys}


def outputs(found: Imported, *more: str) -> list[str]:
    """The answers that a run would train on."""
    config = only(*found.overrides, f"model.path={TINY}", "model.template=qwen", "device=cpu", *more)
    most = config.dataset.max_samples
    return [row["output"] for part in rows_of(config).train_parts for row in part.rows[:most]]


LOAD = """
import json, sys
from datasets import load_dataset
file, cases = json.loads(sys.argv[1])
loaded = [load_dataset("json", data_files=[file], split=split)["output"][:most] for split, most in cases]
print(json.dumps(loaded))
"""


def test_the_rows_are_those_that_llamafactorys_reader_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [
        ("train", None),
        ("train[:2]", None),
        ("train[:4]", 3),
        ("train[:2]", 3),
        ("train[:99]", None),
        ("train", 2),
    ]
    ours = [outputs(imported(tmp_path, {"x": entry(split=split)}, max_samples=most)) for split, most in cases]
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    told = json.dumps([str(tmp_path / "rows.json"), cases])
    done = subprocess.run([sys.executable, "-c", LOAD, told], capture_output=True, text=True, check=True)
    assert ours == json.loads(done.stdout)


@pytest.mark.parametrize("split", ["train[2:4]", "train[:50%]", "train[-2:]", "train[:1]+train[3:]"])
def test_a_split_that_cannot_be_carried_says_how_to_make_a_file_of_it(split: str, tmp_path: Path) -> None:
    """The command that it gives makes the rows that LLaMA-Factory's reader loads."""
    found = imported(tmp_path, {"x": entry(split=split)})
    assert not any(text.startswith("dataset.path=") for text in found.overrides)
    (line,) = [line for line in found.left_out if line.startswith("dataset=x")]
    assert f"split={split}" in line
    command, instead = line.partition("python -c ")[2].split("; give ")
    done = subprocess.run(
        ["sh", "-c", f"HF_HOME={tmp_path}/home {sys.executable} -c {command}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    made = [json.loads(row)["output"] for row in (tmp_path / "rows-split.jsonl").read_text().splitlines()]
    expected = {
        "train[2:4]": [2, 3],
        "train[:50%]": [0, 1, 2],
        "train[-2:]": [4, 5],
        "train[:1]+train[3:]": [0, 3, 4, 5],
    }
    assert made == [f"a{number}" for number in expected[split]]
    assert instead == f"dataset.path={tmp_path}/rows-split.jsonl"
    assert outputs(found, instead) == made


@pytest.mark.parametrize(
    ("keys", "rows", "most"),
    [
        ({"num_samples": 3}, range(6), 1),
        ({"num_samples": 2, "split": "train[:3]"}, range(3), 1),
        ({"num_samples": 5, "split": "train[4:]"}, (4, 5), 3),
    ],
)
def test_rows_that_llamafactory_draws_become_a_file_whatever_is_trained_beside(
    keys: dict[str, Any], rows: Sequence[int], most: int, tmp_path: Path
) -> None:
    """Of the split's rows as many as are said, each once before any comes again, as there."""
    found = imported(tmp_path, {"y": entry(), "x": entry(**keys)})
    assert outputs(found) == [f"a{number}" for number in range(6)]
    (line,) = [line for line in found.left_out if line.startswith("dataset=x")]
    assert all(f"{key}={value}" in line for key, value in keys.items())
    command, _, instead = line.partition("python -c ")[2].partition("; give ")
    environment = f"HF_HOME={tmp_path}/home"
    subprocess.run(["sh", "-c", f"{environment} {sys.executable} -c {command}"], check=True, capture_output=True)
    assert instead == f"'dataset.also=[{{path:{tmp_path}/rows-split.jsonl}}]'"
    made = Counter(outputs(found, shlex.split(instead)[0])[6:])
    assert made.total() == keys["num_samples"]
    assert set(made) <= {f"a{number}" for number in rows}
    assert max(made.values()) == most


HUBS = {"hf_hub_url": "a/hf", "ms_hub_url": "a/ms", "om_hub_url": "a/om"}


@pytest.mark.parametrize(
    ("urls", "hub", "given"),
    [
        ("hf ms om", None, "dataset.repository=a/hf dataset.file=FILE"),
        ("hf ms om", "huggingface", "dataset.repository=a/hf dataset.file=FILE"),
        ("hf ms om", "modelscope", "dataset.repository=a/ms dataset.file=FILE"),
        ("hf ms om", "openmind", "dataset.path=FILE"),
        ("ms om", None, "dataset.repository=a/ms dataset.file=FILE model.hub=modelscope"),
        ("ms", "huggingface", "dataset.repository=a/ms dataset.file=FILE model.hub=modelscope"),
        ("hf", "modelscope", "dataset.path=FILE"),
        ("om", None, "dataset.path=FILE"),
    ],
)
def test_a_hub_is_chosen_as_llamafactory_chooses_it(
    urls: str, hub: str | None, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {f"{name}_hub_url": HUBS[f"{name}_hub_url"] for name in urls.split()}
    found = import_training({"dataset": "x"}, Registered(tmp_path, {"x": listed}), Launched(hub=hub))
    (line,) = [line for line in found.left_out if line.startswith("dataset=x: ")]
    assert line.partition("; give ")[2] == given
    for variable, name in (("USE_MODELSCOPE_HUB", "modelscope"), ("USE_OPENMIND_HUB", "openmind")):
        monkeypatch.setenv(variable, str(int(hub == name)))
    (theirs,) = their_choice({"x": listed})
    assert line.startswith(f"dataset=x: {theirs.partition('/')[2]}_hub_url={theirs}")


def their_choice(entries: dict[str, Any]) -> list[str]:
    told = json.dumps(entries)
    done = subprocess.run([sys.executable, "-c", CHOOSE, told], capture_output=True, text=True, check=True)
    chosen: list[str] = json.loads(done.stdout)
    return chosen


CHOOSE = """
import ast, json, os, sys
from types import SimpleNamespace
from typing import Any
from harness.trainer.installed import syntax_tree
parser = syntax_tree("llamafactory/data/parser.py").body
(function,) = [node for node in parser if getattr(node, "name", "") == "get_dataset_list"]
function.returns = None
names = {
    "DatasetAttr": lambda _, dataset_name: SimpleNamespace(dataset_name=dataset_name, join=lambda entry: None),
    "use_modelscope": lambda: os.environ["USE_MODELSCOPE_HUB"] == "1",
    "use_openmind": lambda: os.environ["USE_OPENMIND_HUB"] == "1",
}
exec(compile(ast.Module([function], []), "parser", "exec"), names)
entries = json.loads(sys.argv[1])
print(json.dumps([each.dataset_name for each in names["get_dataset_list"](list(entries), entries)]))
"""
"""LLaMA-Factory's own choice, without the ten seconds of importing it whole."""


@pytest.mark.parametrize("wrong", [3, None, "rows.json", ["rows.json"]])
def test_an_entry_that_is_no_object_is_told(wrong: Any, tmp_path: Path) -> None:
    found = imported(tmp_path, {"x": wrong, "y": entry()})
    (line,) = [line for line in found.left_out if line.startswith("dataset=x: ")]
    shown = '{"x": {"file_name": "FILE"}}'
    assert line.endswith(f"dataset_info.json says of it is no object; write {shown}, or leave the dataset out")
    assert f"dataset.path={tmp_path}/rows.json" in found.overrides


def test_several_files_are_cut_at_one_count_or_named(tmp_path: Path) -> None:
    same = imported(tmp_path, {"x": entry(split="train[:2]"), "y": entry(split="train[:2]")})
    assert outputs(same) == ["a0", "a1", "a0", "a1"]
    other = imported(tmp_path, {"x": entry(split="train[:2]"), "y": entry()})
    assert not any(text.startswith("dataset.max_samples") for text in other.overrides)
    assert any(line.startswith("dataset=x: split=train[:2]: ") for line in other.left_out)
    cut_anyway = imported(tmp_path, {"x": entry(split="train[:5]"), "y": entry()}, max_samples=2)
    assert outputs(cut_anyway) == ["a0", "a1", "a0", "a1"]
    validated = imported(tmp_path, {"x": entry(split="train[:2]")}, eval_dataset="x")
    assert outputs(validated) == ["a0", "a1"]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            {"format": "sharegpt"},
            "x.format: LLaMA-Factory reads no such key and takes formatting=alpaca; did you mean formatting?",
        ),
        ({"column": {"prompt": "q"}}, "x.column: LLaMA-Factory reads no such key; did you mean columns?"),
        ({"prompt": "q"}, "x.prompt: LLaMA-Factory reads no such key; it belongs under columns"),
        ({"role_tag": "role"}, "x.role_tag: LLaMA-Factory reads no such key; it belongs under tags"),
        ({"file_sha1": "607f94a7f581341e59685aef32f531095232cf23"}, "x.file_sha1: LLaMA-Factory reads no such key"),
        ({"subset": "main"}, "x.subset=main: LLaMA-Factory reads it of hubs and scripts alone, of a file never"),
        ({"folder": "main"}, "x.folder=main: LLaMA-Factory reads it of hubs and scripts alone, of a file never"),
        ({"tags": {"role_tag": "role"}}, "x.tags: LLaMA-Factory reads them of formatting=sharegpt alone"),
        (
            {"columns": {"instruction": "q", "prompt": "instruction", "response": "output"}},
            "x.columns.instruction: LLaMA-Factory knows no such name and reads nothing by it; did you mean prompt?",
        ),
        (
            {"columns": {"promt": "q", "prompt": "instruction", "response": "output"}},
            "x.columns.promt: LLaMA-Factory knows no such name and reads nothing by it; did you mean prompt?",
        ),
        (
            {"formatting": "sharegpt", "columns": {"messages": "m", "role": "from"}},
            "x.columns.role: LLaMA-Factory knows no such name and reads nothing by it; did you mean tags.role_tag?",
        ),
        (
            {"formatting": "sharegpt", "tags": {"role_tag": "role", "contents_tag": "c"}},
            "x.tags.contents_tag: LLaMA-Factory knows no such name and reads nothing by it; did you mean content_tag?",
        ),
    ],
)
def test_what_llamafactory_passes_over_in_silence_is_named(keys: dict[str, Any], told: str, tmp_path: Path) -> None:
    """And the dataset is carried as LLaMA-Factory reads it."""
    found = imported(tmp_path, {"x": entry(**keys)})
    assert [line for line in found.idle if told in line], found.idle
    assert f"dataset.path={tmp_path}/rows.json" in found.overrides
    formatted = [text for text in found.overrides if text.startswith("dataset.formatting")]
    assert formatted == (["dataset.formatting=sharegpt"] if "formatting" in keys else [])


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"num_samples": "3"}, "num_samples=3: a whole number of rows is needed"),
        ({"num_samples": 0}, "num_samples=0: a whole number of rows is needed"),
        ({"num_samples": 3, "split": "test"}, "split=test: a file has the split train alone"),
        ({"ranking": True}, "ranking=True: is for training on preferences"),
        ({"split": "test"}, "split=test: a file has the split train alone"),
        ({"formatting": "openai"}, "formatting=openai: LLaMA-Factory 0.9.5 adds"),
        (
            {"formatting": "sharegpt", "columns": {"messages": "m", "kto_tag": "label"}},
            "columns.kto_tag: is of training",
        ),
        ({"columns": {}}, "columns: none of its names is LLaMA-Factory's"),
        ({"columns": {"instruction": "q", "output": "a"}}, "columns: none of its names is LLaMA-Factory's"),
        ({"columns": {"promt": "q", "response": "a"}}, "columns.prompt: a value is needed"),
        (
            {"hf_hub_url": "a/b", "subset": "main", "split": "test"},
            "hf_hub_url=a/b (subset=main, split=test): is fetched",
        ),
        ({"script_url": "made"}, "script_url=made: is fetched, or made by a script"),
        ({"file_name": "rows.txt"}, "file_name=rows.txt: the harness reads .json"),
        ({"file_name": "."}, "file_name=.: is a folder"),
        ({"file_name": None}, "file_name=None: a file is needed"),
    ],
)
def test_what_the_harness_would_train_otherwise_is_left_out_with_the_reason(
    keys: dict[str, Any], told: str, tmp_path: Path
) -> None:
    found = imported(tmp_path, {"x": entry(**keys)})
    (line,) = [line for line in found.left_out if line.startswith("dataset=x: ")]
    assert told in line
    assert re.search(r"; give 'dataset|; give dataset|; mend it in dataset_info.json", line)
    assert not any(text.startswith("dataset.path=") for text in found.overrides)


def test_a_dataset_that_is_named_twice_is_trained_on_once_as_by_llamafactory(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    found = import_training({"dataset": "x, x"}, Registered(tmp_path, {"x": entry()}))
    assert len(outputs(found)) == len(ROWS)
    assert "dataset=x: is named more than once, and LLaMA-Factory takes it once" in found.idle


def test_a_name_that_is_not_registered_is_told_with_the_nearest(tmp_path: Path) -> None:
    found = source("identiy", Registered(tmp_path, {"identity": entry()}))
    assert found.why_not == f"{tmp_path}/dataset_info.json registers no such name; did you mean identity?"


def test_a_dataset_on_a_hub_keeps_its_columns_in_what_is_to_be_given(tmp_path: Path) -> None:
    entries = {"x": entry(), "y": {"hf_hub_url": "a/b", "columns": {"prompt": "q", "response": "a"}}}
    (line,) = [line for line in imported(tmp_path, entries).left_out if line.startswith("dataset=y")]
    assert line.endswith("give 'dataset.also=[{repository:a/b,file:FILE,columns:{prompt:q,response:a}}]'")
