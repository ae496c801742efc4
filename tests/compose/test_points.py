"""What a command line means, and what is told of every mistake in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.base.errors import UserError
from harness.base.paths import PACKAGE
from harness.compose import points as compose
from harness.config.schema import arm_of

TINY = PACKAGE / "models" / "tiny"


def mistakes(*overrides: str, multirun: bool = False) -> list[str]:
    with pytest.raises(UserError) as raised:
        compose.points(overrides, multirun=multirun)
    return raised.value.mistakes


def one(*overrides: str) -> compose.Point:
    (point,) = compose.points(overrides, multirun=False)
    return point


def test_qlora_brings_its_quantization_along() -> None:
    assert one("method=qlora").config.quantization.name == "nf4"
    assert one("method=lora").config.quantization.bits is None


def test_another_quantization_can_take_its_place_and_shows_in_the_arm() -> None:
    config = one("method=qlora", "quantization=int8").config
    assert config.quantization.bits == 8
    assert arm_of(config) == "qlora-int8"
    assert arm_of(one("method=qlora").config) == "qlora"


def test_every_quantization_is_an_arm_of_a_sweep() -> None:
    points = compose.points(["method=lora", "quantization=none,int8,nf4,nf4_double,fp4"], multirun=True)
    arms = [arm_of(point.config) for point in points]
    assert arms == ["lora", "lora-int8", "lora-nf4", "lora-nf4_double", "lora-fp4"]


def test_the_quickstart_is_two_arms_with_three_seeds() -> None:
    points = compose.points(["sweeps=quickstart"], multirun=True)
    assert [(arm_of(p.config), p.config.seed) for p in points] == [(a, s) for a in ("lora", "qlora") for s in range(3)]


def test_the_command_line_comes_before_the_sweeps_own_values() -> None:
    points = compose.points(["sweeps=quickstart", "seed=7", "method=lora"], multirun=True)
    assert [(arm_of(point.config), point.config.seed) for point in points] == [("lora", 7)]


def test_all_mistakes_are_told_at_once() -> None:
    told = "\n".join(
        mistakes(
            "method.rnk=3",
            "method=qlra",
            "training.epochs=many",
            "training.learning_rate=-1",
            "llamafactory.lora_rnk=3",
        )
    )
    assert "method.rnk: no such key; did you mean method.rank?" in told
    assert "method=qlra: did you mean qlora? there is full, lora, lora_zero0, qlora" in told
    assert "training.epochs=many: Value 'many'" in told
    assert "training.learning_rate=-1.0: must be greater than 0" in told
    assert "llamafactory.lora_rnk: LLaMA-Factory has no such training argument; did you mean lora_rank?" in told
    assert len(told.splitlines()) == 5


def test_a_mistake_in_one_point_of_a_sweep_is_told() -> None:
    told = mistakes("sweeps=quickstart", "method.rank=8,-1", multirun=True)
    assert told == ["method.rank=-1: must be greater than 0"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["method.rank=-8"], "method.rank=-8: must be greater than 0"),
        (["method.dropout=1"], "method.dropout=1.0: must be at least 0 and below 1"),
        (["method=full", "quantization=nf4"], "quantization=nf4: a quantized base cannot be trained in full"),
        (["quantization.bits=3"], "quantization.bits=3: use 4 or 8"),
        (["training.precision=fp16", "device=cpu"], "training.precision=fp16: mixed fp16 needs an accelerator"),
        (["training.precision=half"], "training.precision=half: must be one of auto, fp32, fp16, bf16"),
        (["dataset=alpaca"], "dataset.path"),
        (["tracking.experiment='{model}'"], "tracking.experiment={model}: {arm} and {seed} are filled in"),
        (["dataset=math10k", "dataset.path=nowhere.json"], "dataset.path=nowhere.json: no such file"),
        (["model.path=nowhere/at/all"], "model.path=nowhere/at/all: no such folder"),
        (["model=random", "model.shape=gpt9"], "model.shape=gpt9: there is qwen2_0_5b"),
        (["evaluation=gsm8k", "evaluation.path=no.jsonl"], "evaluation.path=no.jsonl: no such file"),
        (["evaluation.prompts=[hi]"], "evaluation.prompts=[hi]: each must be {prompt: TEXT}"),
        (["dataset.also=[x.json]"], "dataset.also=[x.json]: each must be {path: FILE}"),
        (["dataset.train_name=dataset_info"], "dataset.train_name=dataset_info: is the name of LLaMA-Factory's own"),
        (["output='runs, mine'"], "output=runs, mine: LLaMA-Factory parts paths at the comma in /"),
        (["evaluation=arithmetic", "evaluation.path=x"], "evaluation.path=x: evaluation=arithmetic takes no file"),
        (
            ["evaluation.targets=[base,mergd]"],
            "evaluation.targets=[base,mergd]: there is no mergd; there is base, adapter",
        ),
        (
            ["evaluation=arithmetic", "evaluation.targets=[]"],
            "evaluation.targets=[]: evaluation=arithmetic has nothing",
        ),
        (
            ["evaluation.targets=[]", "evaluation.prompts=[{prompt: a}]"],
            "evaluation.targets=[]: evaluation.prompts has",
        ),
        (["method=full", "evaluation.targets=[merged]"], "evaluation.targets=[merged]: method=full has no adapter"),
        (["evaluation.prompts=[{expected: a}]"], "evaluation.prompts[0].prompt: a value is needed"),
        (["evaluation.prompts=[{prompt: a}, {prompt: ' '}]"], "evaluation.prompts[1].prompt: a text is needed"),
        (["evaluation.prompts=[{prompt: a, expected: ''}]"], "evaluation.prompts[0].expected: every answer holds"),
        (["device.interval_seconds=0"], "device.interval_seconds=0.0: must be greater than 0"),
        (["device=cuda"], "device.name"),
        (["sweep=a/b"], "sweep='a/b': names a folder"),
        (["llamafactory.hf_hub_token=abc"], "llamafactory.hf_hub_token: a secret does not belong in a configuration"),
        (["llamafactory.lora_rank=4"], "llamafactory.lora_rank: the harness sets this itself; use method.rank"),
        (["seed=0,1"], "seed=0,1: several values make a sweep"),
        (["nonsense"], "nonsense"),
        (["sweeps=quikstart"], "sweeps=quikstart: did you mean quickstart?"),
    ],
)
def test_a_mistake_names_its_key_and_the_way_out(
    overrides: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert any(mistake.startswith(told) for mistake in mistakes(*overrides)), mistakes(*overrides)


def test_bf16_is_refused_where_the_device_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(kind="cuda", chips=(0,), product="Tesla V100", supports_bf16=False)
    monkeypatch.setattr("harness.compose.checks.choose", lambda kind, chips: card)
    assert mistakes("training.precision=bf16") == ["training.precision=bf16: Tesla V100 has no bf16; use fp16 or auto"]


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    assert mistakes(f"model.path={tmp_path}")[0].endswith("is not a model: there is no config.json in this folder")
    shutil.copy(TINY / "config.json", tmp_path)
    assert "no weights" in mistakes(f"model.path={tmp_path}")[0]


def test_a_dataset_without_its_column_names_row_and_columns(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"instruction": "a", "output": "b", "answer": "1"}) + "\n" + json.dumps({"q": 1}) + "\n")
    told = mistakes("dataset=math10k", f"dataset.path={file}")
    assert [line.removeprefix(f"dataset.path={file}: ") for line in told] == [
        f"row 2: there is no column {name}; there is q" for name in ("instruction", "output", "answer")
    ]


@pytest.mark.parametrize("garbage", ["", "{", "[1, 2]", "[]", '{"a": 1}', "\x00\x01"])
def test_garbage_in_a_dataset_is_a_message(garbage: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(garbage)
    assert mistakes("dataset=alpaca", f"dataset.path={file}")[0].startswith(f"dataset.path={file}: ")


def test_any_llamafactory_argument_is_passed_on() -> None:
    assert one("llamafactory.use_rslora=true").config.llamafactory == {"use_rslora": True}


@pytest.mark.parametrize(
    ("written", "prompts"),
    [
        ("[{prompt: 你是谁, expected: 北大}]", [("你是谁", "北大")]),
        ("[{prompt: who are you?}]", [("who are you?", None)]),
        ("[{prompt: '你是谁, 北大?'}, {prompt: Qui êtes-vous}]", [("你是谁, 北大?", None), ("Qui êtes-vous", None)]),
        ('[{prompt: "1+1=?", expected: "2"}]', [("1+1=?", "2")]),
    ],
)
def test_prompts_are_written_in_any_script_without_quotes(written: str, prompts: list[tuple[str, str | None]]) -> None:
    for multirun in (False, True):
        (point,) = compose.points([f"evaluation.prompts={written}"], multirun=multirun)
        assert [(one.prompt, one.expected) for one in point.config.evaluation.prompts] == prompts
        # The overrides that were recorded compose the same point.
        assert compose.points(point.overrides, multirun=False) == [point]


def test_several_names_in_any_script_make_a_sweep() -> None:
    assert [point.config.arm for point in compose.points(["arm=量化,基线"], multirun=True)] == ["量化", "基线"]


def test_the_users_own_conf_and_sweeps_are_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "training").mkdir(parents=True)
    (tmp_path / "conf" / "training" / "mine.yaml").write_text(
        "learning_rate: 0.5\nepochs: 1\nbatch_size: 1\ncutoff_length: 8\n"
    )
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "quickstart.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /training: mine\nsweep: own\n"
        "hydra: {sweeper: {params: {seed: 5}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    (point,) = compose.points(["sweeps=quickstart"], multirun=True)
    assert (point.config.sweep, point.config.seed, point.config.training.learning_rate) == ("own", 5, 0.5)
