"""What a command line means, and what is told of every mistake in it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.base.errors import UserError
from harness.base.paths import PACKAGE
from harness.compose import checks
from harness.compose.points import points
from harness.config.schema import Config, arm_of
from harness.data import sources
from harness.data.sources import SourceReader
from tests.compose.checked import CPU, all_points, mistakes, only

TINY = PACKAGE / "models" / "tiny"


def test_qlora_brings_its_quantization_along() -> None:
    assert only("method=qlora").quantization.name == "nf4"
    assert only("method=lora").quantization.bits is None


def test_another_quantization_can_take_its_place_and_shows_in_the_arm() -> None:
    config = only("method=qlora", "quantization=int8")
    assert config.quantization.bits == 8
    assert arm_of(config) == "qlora-int8"
    assert arm_of(only("method=qlora")) == "qlora"


def test_every_quantization_is_an_arm_of_a_sweep() -> None:
    found = all_points("method=lora", "quantization=none,int8,nf4,nf4_double,fp4", multirun=True)
    arms = [arm_of(point.config) for point in found]
    assert sorted(arms) == ["lora", "lora-fp4", "lora-int8", "lora-nf4", "lora-nf4_double"]


def test_the_quickstart_is_two_arms_with_five_seeds() -> None:
    found = all_points("sweeps=quickstart", multirun=True)
    assert {(arm_of(point.config), point.config.seed) for point in found} == {
        (arm, seed) for arm in ("lora", "qlora") for seed in range(5)
    }
    assert len(found) == 10


@pytest.mark.parametrize(
    "varied",
    [
        ("seed=3,1,2", "training.epochs=1,2", "method=lora,qlora"),
        # One number that others are made of.
        ("training.max_steps=4,6", "training.logging_steps=${training.max_steps}"),
        ("llamafactory.seed_of_mine=1,2",),
    ],
)
def test_points_that_differ_in_numbers_are_what_hydra_composes_of_each(varied: tuple[str, ...]) -> None:
    several = points(("device=cpu", *varied), True, lambda config: [])
    assert len({repr(point.config) for point in several}) == len(several) > 1
    for point in several:
        (alone,) = points(point.overrides, False, lambda config: [])
        assert point.config == alone.config


def test_the_command_line_comes_before_the_sweeps_own_values() -> None:
    found = all_points("sweeps=quickstart", "seed=7", "method=lora", multirun=True)
    assert [(arm_of(point.config), point.config.seed) for point in found] == [("lora", 7)]


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
        (["sweep=a/b"], "sweep='a/b': names a folder"),
        (["llamafactory.hf_hub_token=abc"], "llamafactory.hf_hub_token: a secret does not belong in a configuration"),
        (["llamafactory.lora_rank=4"], "llamafactory.lora_rank: the harness sets this itself; use method.rank"),
        (["seed=0,1"], "seed=0,1: several values make a sweep"),
        (["nonsense"], "nonsense"),
        (["seed=-1"], "seed=-1: must be 0 or greater"),
        (["seed=4294967296"], "seed=4294967296: must be 0 or greater, and below 2**32"),
        (["training.learning_rate=nan"], "training.learning_rate=nan: must be a finite number"),
        (["training.epochs=inf"], "training.epochs=inf: must be a finite number"),
        (["tracking.experiment='{arm.name}'"], "tracking.experiment={arm.name}: {arm} and {seed} are filled in"),
        (
            ["llamafactory.streaming=true", "training.max_steps=2"],
            "llamafactory.streaming: without a process that reads, LLaMA-Factory finds no row; add llamafactory.data",
        ),
        (
            ["llamafactory.streaming=true", "llamafactory.dataloader_num_workers=1", "training.max_steps=null"],
            "llamafactory.streaming: nobody knows where the rows end; give training.max_steps",
        ),
        (["llamafactory.swanlab_mode=cloud"], "llamafactory.swanlab_mode: the harness sets this itself; use tracking"),
        (["sweeps=quikstart"], "sweeps=quikstart: did you mean quickstart?"),
        (["comparison.margin_points=0"], "comparison.margin_points=0.0: must be greater than 0"),
        (["comparison.margin_nats=inf"], "comparison.margin_nats=inf: must be a finite number"),
        (["comparison.memory_limit_mib=-1"], "comparison.memory_limit_mib=-1.0: must be greater than 0"),
        (["comparison.looks=0"], "comparison.looks=0: must be greater than 0"),
        (["report.language=tlh"], "report.language=tlh: must be one of en, zh"),
        (["comparison.margin_time_ratios=[1.05,0.95]"], "comparison.margin_time_ratios=[1.05, 0.95]: give [LOW, HIGH]"),
        (["comparison.margin_time_ratios=[0,1.05]"], "comparison.margin_time_ratios=[0.0, 1.05]: give [LOW, HIGH]"),
        (["comparison.margin_memory_ratios=[0.9]"], "comparison.margin_memory_ratios=[0.9]: give [LOW, HIGH], where"),
        (["comparison.margin_memory_ratios=[0.9,inf]"], "comparison.margin_memory_ratios=[0.9, inf]: give [LOW, HIGH]"),
        (["comparison.margin_memory_ratios=[nan,2]"], "comparison.margin_memory_ratios=[nan, 2.0]: give [LOW, HIGH]"),
    ],
)
def test_a_mistake_names_its_key_and_the_way_out(
    overrides: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert any(mistake.startswith(told) for mistake in mistakes(*overrides)), mistakes(*overrides)


def test_bf16_is_refused_where_the_device_has_none() -> None:
    card = SimpleNamespace(torch_device="cuda", chips=(0,), product="Tesla V100", supports_bf16=False)
    refused = mistakes("training.precision=bf16", device=card)
    assert refused == ["training.precision=bf16: Tesla V100 has no bf16; use fp16 or auto"]


def test_what_needs_a_device_is_left_out_where_there_is_none_and_nothing_else() -> None:
    assert mistakes("training.precision=fp16", "method.rank=-1", device=None) == [
        "method.rank=-1: must be greater than 0"
    ]


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
    assert only("llamafactory.use_rslora=true").llamafactory == {"use_rslora": True}


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
        (point,) = all_points(f"evaluation.prompts={written}", multirun=multirun)
        assert [(asked.prompt, asked.expected) for asked in point.config.evaluation.prompts] == prompts
        # The overrides that were recorded compose the same point.
        assert all_points(*point.overrides) == [point]


def test_several_names_in_any_script_make_a_sweep() -> None:
    assert {point.config.arm for point in all_points("arm=量化,基线", multirun=True)} == {"量化", "基线"}


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
    (point,) = all_points("sweeps=quickstart", multirun=True)
    assert (point.config.sweep, point.config.seed, point.config.training.learning_rate) == ("own", 5, 0.5)


def test_an_axis_is_a_key_or_a_fact_that_a_report_compares() -> None:
    right = ["method.rank", "training", "llamafactory.use_rslora", "dataset.columns.messages", "precision"]
    assert list(checks.axis_mistakes(right, ["precision", "host"])) == []
    assert list(checks.axis_mistakes(["method.rnk", "hots", "zzz"], ["precision", "host"])) == [
        "comparison.axes: method.rnk: no such key, nor a fact that is compared; did you mean method.rank?",
        "comparison.axes: hots: no such key, nor a fact that is compared; did you mean host?",
        "comparison.axes: zzz: no such key, nor a fact that is compared; name a key, such as method.rank, or one of "
        "precision, host",
    ]


# ---- What is known before training is told before training ----

QUESTIONS = '{"question": "q", "answer": "#### 1"}\n'


@pytest.mark.parametrize(
    ("overrides", "refused"),
    [
        (["evaluation=arithmetic", "evaluation.few_shot=2"], "evaluation.few_shot=2: evaluation=arithmetic is asked"),
        (["evaluation=arithmetic", "evaluation.limit=1000000000000"], "has 32256 questions; give at most those"),
        (["dataset.train_samples=1000000000000"], "dataset.train_samples=1000000000000: dataset=arithmetic has 89856"),
        (["dataset.validation_samples=18433"], "dataset.validation_samples=18433: dataset=arithmetic has 18432"),
        (["dataset.validation_samples=0", "dataset.val_size=1600"], "holds out 1600 of 1600 rows, and none is left"),
        (["dataset.validation_samples=0", "dataset.val_size=1"], "dataset.val_size=1.0: holds out 1600 of 1600 rows"),
        (
            ["dataset.validation_samples=0", "dataset.max_samples=3", "dataset.val_size=0.9"],
            "dataset.val_size=0.9: holds out 3 of 3 rows, and none is left to train on",
        ),
        (["evaluation=gsm8k", "evaluation.path=test.txt"], "evaluation.path=test.txt: a file of questions must end in"),
        (
            ["evaluation=gsm8k", "evaluation.path=test.jsonl", "evaluation.few_shot=2"],
            "evaluation.few_shot=2: the examples come from train.jsonl beside",
        ),
        (
            ["evaluation=gsm8k", "evaluation.path=.", "evaluation.few_shot=2"],
            "evaluation.few_shot=2: the examples come from train.jsonl beside",
        ),
        (
            ["evaluation=gsm8k", "evaluation.benchmark=other", "evaluation.path=alone/q.csv", "evaluation.few_shot=1"],
            "evaluation.few_shot=1: the examples come from a further file beside",
        ),
    ],
)
def test_what_an_evaluation_or_a_split_would_stop_at_is_refused(
    overrides: list[str], refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alone").mkdir()
    for name in ("test.jsonl", "test.txt", "other.jsonl", "alone/q.csv"):
        (tmp_path / name).write_text(QUESTIONS)
    (mistake,) = mistakes(*overrides)
    assert refused in mistake


def test_as_many_as_there_are_is_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for split in ("test", "train"):
        (tmp_path / f"{split}.jsonl").write_text(2 * QUESTIONS)
    only("evaluation=arithmetic", "evaluation.limit=32256", "dataset.train_samples=89856")
    only("dataset.validation_samples=0", "dataset.val_size=1599")
    for path in ("test.jsonl", "."):
        only("evaluation=gsm8k", f"evaluation.path={path}", "evaluation.few_shot=2")


@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_file_too_short_to_hold_rows_out_is_refused(count: int, tmp_path: Path) -> None:
    file, long = tmp_path / "short.json", tmp_path / "long.json"
    row = {"instruction": "q", "output": "a"}
    file.write_text(json.dumps([row] * count))
    long.write_text(json.dumps([row] * 50))
    short = ["dataset=local", "dataset.validation_samples=1", f"dataset.validation_fraction={1 - 0.5 / count}"]
    (mistake,) = mistakes(*short, f"dataset.path={file}")
    assert mistake.startswith(f"dataset.path={file}: dataset.validation_samples=1 holds out the last of {count} rows")
    # Rows of another file do not make up for it: nothing of this one would be trained on.
    (mistake,) = mistakes(*short, f"dataset.path={long}", f"dataset.also=[{{path: {file}}}]")
    assert mistake.startswith(f"dataset.also[0].path={file}: ")
    only(*short[:2], f"dataset.path={long}")


def unwritable(home: Path) -> dict[str, str]:
    (home / "file").write_text("")
    (home / "dangling").symlink_to(home / "nowhere")
    return {
        "/proc/x": "/proc belongs to the kernel",
        "/proc/self/fd/x/y": "belongs to the kernel",
        "/sys/kernel/x": "/sys/kernel belongs to the kernel",
        "/dev/null": "/dev/null is no folder",
        "file/below": f"{home}/file is no folder",
        "dangling": f"{home}/dangling is no folder",
        "x" * 300: "is longer than the 255 bytes",
    }


@pytest.mark.parametrize("key", ["output", "reports"])
def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_made(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, reason in unwritable(tmp_path).items():
        (mistake,) = mistakes(f"{key}={folder}")
        assert mistake.startswith(f"{key}={folder}: ")
        assert reason in mistake
    before = sorted(tmp_path.iterdir())
    only(f"{key}=new/folder")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    (mistake,) = mistakes(f"output={tmp_path}/x")
    assert "cannot be written by this user" in mistake


def test_reports_matter_only_where_one_is_made(tmp_path: Path) -> None:
    config = replace(only("device=cpu"), reports="/proc/x")
    assert checks.check(config, CPU, SourceReader(tmp_path), reported=False) == []
    assert len(checks.check(config, CPU, SourceReader(tmp_path))) == 1


@pytest.mark.parametrize("key", ["sweep", "arm", "dataset.train_name", "dataset.validation_name"])
@pytest.mark.parametrize("name", ["a/b", "..", ".", "-x", "a b", "x" * 201, "量" * 67])
def test_a_name_that_can_name_no_folder_is_refused(key: str, name: str) -> None:
    (mistake,) = mistakes(f"{key}='{name}'")
    assert mistake.startswith(f"{key}={name!r}: names a f")


def test_a_name_may_be_in_any_script_and_long() -> None:
    assert only(*(f"{key}='{letter * 66}'" for key, letter in {"sweep": "量", "arm": "化"}.items()))


def test_a_sweep_whose_name_is_taken_by_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    (mistake,) = mistakes(f"output={tmp_path}", "sweep=mine")
    assert mistake == f"output={tmp_path}: {tmp_path}/mine is no folder; give a folder that can be written"


@pytest.mark.parametrize(("value", "is_made"), [("", True), (" ", True), ("0", False), ("No", False), ("TRUE", True)])
def test_a_variable_switches_the_forecast(value: str, is_made: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_FORECAST", value)
    assert only().device.forecast is is_made


@pytest.mark.parametrize("value", ["x", "null", "${", "'"])
def test_a_variable_that_says_neither_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_FORECAST", value)
    assert mistakes() == [f"device.forecast: HARNESS_FORECAST={value}: give true or false"]


# ---- A check is pure ----


@pytest.mark.parametrize("key", ["output", "model.path", "llamafactory.media_dir", "evaluation.path"])
@pytest.mark.parametrize("half", ["\udcff", "b\ud83d"])
def test_a_name_that_is_no_utf_8_is_told_before_a_file_has_to_hold_it(key: str, half: str) -> None:
    (found,) = mistakes(f"{key}='a{half}'")
    assert found.startswith(f"{key.removesuffix('.media_dir')}=")
    assert "no UTF-8 can name" in found


def test_a_sweep_reads_and_checks_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([{"instruction": "q", "output": "a"}] * 3))
    reads, checks_of_rows = [], []
    read_bytes, row_problems = Path.read_bytes, sources.row_problems
    monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(path) or read_bytes(path))
    monkeypatch.setattr(sources, "row_problems", lambda *given: checks_of_rows.append(given) or row_problems(*given))
    found = all_points("dataset=local", f"dataset.path={file}", "training.validation_steps=null", "seed=range(5)",
                       multirun=True)  # fmt: skip
    assert len(found) == 5
    assert reads.count(file) == 1
    assert len(checks_of_rows) == 1


def test_what_a_hub_has_is_not_asked_for_while_mistakes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a check asked a hub")

    monkeypatch.setattr("harness.processes.start.run_to_end", refuse)
    assert mistakes("dataset=math10k", "method.rank=-1") == ["method.rank=-1: must be greater than 0"]


def test_relative_paths_are_meant_from_the_folder_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spec may be planned for a folder that is not the one of this process."""
    (tmp_path / "rows.json").write_text(json.dumps([{"instruction": "q", "output": "a"}]))
    monkeypatch.chdir("/")
    given = ["dataset=local", "dataset.path=rows.json", "training.validation_steps=null"]

    def told(root: Path) -> list[str]:
        try:
            points(given, False, lambda config: checks.check(config, CPU, SourceReader(root)))
        except UserError as error:
            return error.mistakes
        return []

    assert told(tmp_path) == []
    assert told(Path("/")) == ["dataset.path=rows.json: no such file"]


def test_mistakes_of_all_points_and_all_kinds_are_told_together() -> None:
    assert mistakes("seed=0,1", "method.rnk=1", "method.rank=-1", "dataset.train_samples=0") == [
        "method.rnk: no such key; did you mean method.rank?",
        "seed=0,1: several values make a sweep; use `harness sweep`, or --multirun, or give one value",
        "method.rank=-1: must be greater than 0",
        "dataset.train_samples=0: must be greater than 0",
    ]


def test_a_check_of_ones_own_is_asked_about_every_point() -> None:
    asked: list[Config] = []
    points(["seed=3,4"], True, lambda config: asked.append(config) or [])
    assert [config.seed for config in asked] == [3, 4]


# ---- Hydra's own words ----


def test_an_interval_names_no_values_and_a_glob_names_those_that_there_are() -> None:
    assert mistakes("seed=interval(0,3)", multirun=True) == [
        "seed=interval(0,3): an interval names no values; give them, seed=1,2,3 or seed=range(1,4)"
    ]
    found = all_points("method=glob(qlora*)", multirun=True)
    assert sorted(point.config.method.name for point in found) == ["qlora", "qlora_int8", "qlora_rank32"]


def test_one_value_with_a_comma_is_answered_with_its_quoted_form() -> None:
    (told,) = mistakes("llamafactory.default_system=Be brief, please")
    assert told.startswith("llamafactory.default_system=Be brief, please: several values make a sweep")
    quoted = 'llamafactory.default_system="Be brief, please"'
    assert told.endswith(f"one value with a comma in it is quoted: '{quoted}'")
    assert only(quoted).llamafactory == {"default_system": "Be brief, please"}
