"""A LLaMA-Factory training file becomes a command of the harness, and trains the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.base.errors import UserError
from harness.base.yaml_text import to_yaml
from harness.cli.importing import command_line, import_file, load
from harness.compose import hydra_values
from harness.compose.hydra_values import written
from harness.compose.llamafactory_file import _MEANT, Imported, Registered, import_training
from harness.config.schema import Config
from harness.data import prepare
from harness.runs import store
from harness.runs.folder import RunFolder
from harness.runs.record import Outcome
from harness.trainer.fields import FIELDS, declared_arguments, training_argument_names
from tests.compose.checked import only
from tests.compose.trained import arguments_of, precision_of, rows_of
from tests.conftest import call, environment
from tests.test_recipes import DOCUMENTS, ONE_EACH, TINY, plans, stand_in, users_own
from tests.test_recipes import files as files  # a fixture

ELSEWHERE = ("dataset_dir", "output_dir")

ROWS = [{"q": f"what is {n} + {n}?", "a": str(n + n)} for n in range(24)]


def imported_again(train_yaml: Path, output: Path) -> Config:
    """The configuration that a run's own train.yaml becomes."""
    imported = import_training(*load(train_yaml))
    assert [line.partition(":")[0] for line in imported.left_out] == ["output_dir"]
    return only(*imported.overrides, f"output={output}", "dry_run=true", device=None)


def without_places(arguments: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key not in ELSEWHERE}


METHODS = ["method=lora", "method=qlora", "method=lora quantization=int8", "method=full"]
METHODS += ["method=qlora quantization=nf4_double", "method=qlora quantization=fp4", "method=lora method.alpha=5"]
METHODS += ["method=qlora quantization=fp4 quantization.double=true", "method=lora method.target='q_proj,v_proj'"]
TRAINING = {
    "training.learning_rate": st.floats(1e-8, 1.0),
    "training.epochs": st.floats(0.1, 50),
    "training.max_steps": st.none() | st.integers(1, 10**6),
    "training.batch_size": st.integers(1, 64),
    "training.gradient_accumulation": st.integers(1, 64),
    "training.scheduler": st.sampled_from(["cosine", "linear", "constant"]),
    "training.warmup_ratio": st.floats(0, 0.99),
    "training.warmup_steps": st.none() | st.integers(1, 1000),
    "training.precision": st.sampled_from(["auto", "bf16", "fp32"]),
    "training.cutoff_length": st.integers(8, 8192),
    "training.packing": st.booleans(),
    "training.gradient_checkpointing": st.booleans(),
    "training.logging_steps": st.integers(1, 1000),
    "training.validation_steps": st.none() | st.integers(1, 1000),
    "training.save_steps": st.none() | st.integers(1, 1000),
    "dataset.max_samples": st.none() | st.integers(8, 1000),  # fewer than val_size holds out are refused
    "seed": st.integers(0, 2**31),
    "llamafactory.plot_loss": st.booleans(),
    "llamafactory.default_system": st.text(st.characters(exclude_characters="$", codec="utf-8"), max_size=30),
    "llamafactory.per_device_eval_batch_size": st.integers(1, 8),
}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(METHODS),
    training=st.fixed_dictionaries({}, optional=TRAINING),
    held_out=st.sampled_from(["dataset.validation_samples=8", "dataset.val_size=0.2", "dataset.val_size=4"]),
)
def test_a_configuration_comes_back_from_its_own_training_file(
    method: str, training: dict[str, Any], held_out: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("round")
    rows = ["dataset.train_samples=20", "dataset.validation_samples=0", held_out, "device=cpu", f"output={home}"]
    config = only(*method.split(), *rows, *(f"{key}={written(value)}" for key, value in training.items()))
    arguments = arguments_of(config, home)
    prepare.write(rows_of(config), home / "dataset")
    (home / "train.yaml").write_text(to_yaml(arguments), encoding="utf-8")
    again = imported_again(home / "train.yaml", home)
    assert without_places(arguments_of(again, home)) == without_places(arguments)
    assert carried(again, arguments) == carried(config, arguments)


def carried(config: Config, arguments: dict[str, Any]) -> dict[str, Any]:
    """What of a configuration a training file can hold, as it was resolved."""
    method, quantization, training = asdict(config.method), asdict(config.quantization), asdict(config.training)
    training["precision"] = precision_of(config)
    if training["warmup_steps"] is not None:
        del training["warmup_ratio"]
    del method["name"], method["quantization"], quantization["name"]
    if config.method.finetuning_type == "full":
        method = {"finetuning_type": "full"}
    else:
        method["alpha"] = config.method.alpha or 2 * config.method.rank
    if config.quantization.bits != 4:
        quantization = {"bits": quantization["bits"]}
    dataset = {"max_samples": config.dataset.max_samples, "val_size": config.dataset.val_size}
    # The batch of the validation rows has no key, and is the training's where nothing is said.
    given = {"per_device_eval_batch_size": config.training.batch_size} | config.llamafactory
    if "per_device_eval_batch_size" not in arguments:
        del given["per_device_eval_batch_size"]
    parts = {"method": method, "quantization": quantization, "training": training, "dataset": dataset}
    return parts | {"llamafactory": given, "seed": config.seed, "template": config.model.template}


@pytest.mark.parametrize("sweep", ONE_EACH)
def test_the_training_files_of_every_recipe_imported_give_the_same(
    sweep: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    for spec in plans(sweep, [*users_own(sweep, files), f"output={tmp_path}"]):
        written_first = yaml.safe_load(spec.folder.train.read_text(encoding="utf-8"))
        again = arguments_of(imported_again(spec.folder.train, tmp_path))
        # Imported on this CPU; it was planned for several NPUs.
        elsewhere = {"use_cpu": written_first["use_cpu"]}
        assert without_places(again | elsewhere) == without_places(written_first)


DIFFICULT = st.text(st.sampled_from("'\"\\:{}[](),= \t\n$#&你é🙂aT1.-"), max_size=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | (DIFFICULT | st.text(st.characters(codec="utf-8"))).filter(lambda text: "${" not in text),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.from_regex(r"[a-z]+_", fullmatch=True), inner),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@given(VALUES)
@example(" leading: blanks, {and} 'more\\'")
@example("\\\né")
@example({"a_": ["null", "\\", "'", "你好 🙂: {x}", ""]})
def test_hydra_reads_a_value_as_it_was_written(value: Any) -> None:
    (text,) = hydra_values.admit([f"llamafactory.x={written(value)}"])
    override = OverridesParser.create().parse_override(text)
    assert override.value() == value
    assert not override.is_sweep_override()
    assert hydra_values.admit([text]) == [text]


@pytest.mark.parametrize("value", ["${x}", {"a b": 1}, {"你": 1}, {"null": 1}, [{"x": "${oc.env:HOME}"}]])
def test_what_hydras_grammar_has_no_way_for_is_refused_and_named(value: Any) -> None:
    with pytest.raises(ValueError, match="Hydra"):
        written(value)
    (line,) = [line for line in import_training({"rope_scaling": value}).left_out if "rope_scaling" in line]
    assert line.startswith("llamafactory.rope_scaling: its value h")


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(training_argument_names())), VALUES, max_size=12))
@example({"lora_target": [None]})
@example({"dataset": ["a", None, ["b"]], "eval_dataset": [{}]})
def test_whatever_stands_in_a_file_is_carried_or_named(arguments: dict[str, Any]) -> None:
    try:
        imported = import_training(arguments)
    except UserError:
        return
    keys = [text.partition("=")[0] for text in imported.overrides]
    given = {key.removeprefix("llamafactory.") for key in keys if key.startswith("llamafactory.")}
    assert not given & {name for name, field in FIELDS.items() if field.key}
    assert len(keys) == len(set(keys))


def test_a_shell_reads_the_command_as_it_was_meant(tmp_path: Path) -> None:
    overrides = ["model.path=/a b/it's", "llamafactory.default_system='你 $HOME `x` \"y\"'", "seed=42"]
    script = 'harness() { printf "%s\\n" "$@"; }\n' + command_line(overrides)
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["run", *overrides]


def overrides_of(arguments: dict[str, Any], datasets: Registered | None = None) -> dict[str, str]:
    return dict(text.split("=", 1) for text in import_training(arguments, datasets).overrides)


WORDS = st.sampled_from(["a", "b,c", "some/where", "x-1"])
LIKE: dict[str, st.SearchStrategy[Any]] = {
    "stage": st.just("sft"),
    "finetuning_type": st.sampled_from(["lora", "full"]),
    "quantization_bit": st.sampled_from([None, 4, 8]),
    "quantization_method": st.just("bnb"),
    "quantization_type": st.sampled_from(["nf4", "fp4"]),
    "eval_strategy": st.sampled_from(["no", "steps", "epoch"]),
    "save_strategy": st.sampled_from(["no", "steps", "epoch", "best"]),
    "report_to": st.sampled_from(["none", "wandb", "swanlab", ["tensorboard", "swanlab"]]),
    "bf16": st.just(False),
}
"""Of arguments whose values go together; any others, and the import is refused."""


def like(name: str) -> st.SearchStrategy[Any]:
    """Values of the type that LLaMA-Factory declares."""
    annotation = declared_arguments()[name].annotation
    if name in LIKE:
        return LIKE[name]
    parts = {"bool": st.booleans(), "int": st.integers(1, 64), "float": st.floats(0.01, 0.9), "None": st.none()}
    found = [strategy for part, strategy in parts.items() if part in annotation.replace("|", " ").split()]
    return st.one_of(found) if found and "str" not in annotation else WORDS


KNOWN = sorted(training_argument_names() - {"interleave_probs"})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(KNOWN), unique=True, max_size=25).flatmap(lambda names: arguments_like(names)))
def test_no_argument_disappears(arguments: dict[str, Any]) -> None:
    """It is an override, or named with a reason, or among those that say what is so anyway."""
    imported = import_training(arguments)
    for name in arguments:
        assert became(name, imported), (name, imported)


def arguments_like(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: like(name) for name in names})


def became(name: str, imported: Imported) -> list[str]:
    """All that an import says of an argument."""
    field = FIELDS.get(name)
    key = (field.key if field else None) or f"llamafactory.{name}"
    keys = {key, *([key.partition(".")[0]] if field and field.kind != "same" else []), f"llamafactory.{name}"}
    # The quantization of QLoRA is the method's own, and steps below 1 are a share of them.
    keys |= {"method"} if "quantization" in name else {"training.warmup_ratio"} if name == "warmup_steps" else set()
    carried = [text for text in imported.overrides if text.partition("=")[0] in keys]
    named = [line for line in (*imported.left_out, *imported.idle) if re.match(rf"(llamafactory\.)?{name}[=:]", line)]
    return carried + named + [again for again in imported.anyway if again == name]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"eval_steps": 10}, "eval_steps: nothing goes by it, eval_strategy is no"),
        ({"save_strategy": "no", "save_steps": 10}, "save_steps: nothing goes by it, save_strategy is no"),
        ({"swanlab_project": "p"}, "swanlab_project: use_swanlab is not given"),
        ({"finetuning_type": "full", "lora_rank": 8}, "lora_rank: is LoRA's, and every weight is trained"),
        ({"quantization_type": "fp4"}, "quantization_type: nothing is quantized"),
        ({"quantization_bit": 8, "double_quantization": True}, "double_quantization: is for 4 bits"),
        ({"warmup_ratio": 0.1, "warmup_steps": 5}, "warmup_steps=5: transformers takes warmup_ratio"),
        ({"learning_rate": 1e-4}, "do_train: is not given, so that LLaMA-Factory by itself trains nothing"),
    ],
)
def test_what_llamafactory_would_not_use_either_is_named(arguments: dict[str, Any], named: str) -> None:
    assert any(line.startswith(named) for line in import_training(arguments).idle)


def test_a_null_says_nothing_but_where_llamafactory_means_something_by_it() -> None:
    """enable_thinking is true by itself, and null trains on both kinds of rows."""
    imported = import_training({"resume_from_checkpoint": None, "enable_thinking": None, "model_revision": None})
    assert "resume_from_checkpoint" in imported.anyway
    assert "llamafactory.enable_thinking=null" in imported.overrides
    assert "model_revision: null, which it cannot be; LLaMA-Factory's own 'main' is taken" in imported.left_out
    assert any(line.startswith("learning_rate: null") for line in import_training({"learning_rate": None}).left_out)
    config = only(*imported.overrides, f"model.path={TINY}", "model.template=qwen", *WITH_ROWS)
    assert config.llamafactory == {"enable_thinking": None}


WITH_ROWS = ["dataset=arithmetic", "device=cpu"]


def test_the_best_checkpoint_is_left_out_where_validation_or_checkpoints_are() -> None:
    """transformers would stop at it."""
    for strategy in ({"eval_strategy": "epoch"}, {"eval_strategy": "steps", "save_strategy": "epoch"}):
        imported = import_training({"load_best_model_at_end": True, **strategy})
        assert not any("load_best" in text for text in imported.overrides)
        assert any(line.startswith("load_best_model_at_end: needs") for line in imported.left_out)
    told = overrides_of({"load_best_model_at_end": True, "eval_strategy": "steps"})
    assert told["llamafactory.load_best_model_at_end"] == "true"


def test_probabilities_are_for_as_many_datasets_as_there_are(tmp_path: Path) -> None:
    """LLaMA-Factory would stop at another number deep in the run."""
    mixed = {"mix_strategy": "interleave_over", "interleave_probs": "0.5,0.3,0.2"}
    datasets = Registered(tmp_path, {"a": {"file_name": "a.json"}, "b": {"file_name": "b.json"}})
    imported = import_training({"dataset": "a,b,c", **mixed}, datasets)
    assert not any("interleave_probs" in text for text in imported.overrides)
    (line,) = [line for line in imported.left_out if line.startswith("interleave_probs")]
    assert "2 of 3 datasets are carried" in line
    with pytest.raises(UserError, match="one for each dataset is needed, and there are 2"):
        import_training({"dataset": "a,b", **mixed}, datasets)
    with pytest.raises(UserError, match="give mix_strategy="):
        import_training({"dataset": "a,b,c", "interleave_probs": "0.5,0.3,0.2"}, datasets)
    whole = import_training(
        {"dataset": "a,b", "mix_strategy": "interleave_under", "interleave_probs": "0.9,0.1"}, datasets
    )
    assert "llamafactory.interleave_probs='0.9,0.1'" in whole.overrides


def test_what_a_file_leaves_open_is_left_to_llamafactory() -> None:
    """Its 4-bit quantization is double, its seed 42, its batch of validation rows 8."""
    told = overrides_of({"model_name_or_path": "a/b", "template": "qwen", "quantization_bit": 4, "val_size": 0.1})
    assert told["quantization"] == "nf4_double"
    assert (told["training"], told["seed"], told["training.precision"]) == ("llamafactory", "42", "fp32")
    more = overrides_of({"per_device_train_batch_size": 2, "val_size": 0.1})
    assert more["llamafactory.per_device_eval_batch_size"] == "8"


def test_swanlab_becomes_tracking() -> None:
    told = overrides_of({"use_swanlab": True, "swanlab_project": "p", "swanlab_run_name": "qwen {7b}"})
    assert (told["tracking"], told["tracking.project"]) == ("cloud", "p")
    assert told["tracking.experiment"] == "'qwen {{7b}}'"
    assert "tracking" not in overrides_of({"swanlab_project": "p", "report_to": "none"})


def test_datasets_are_found_by_their_names(tmp_path: Path) -> None:
    entries = {
        "mine": {"file_name": "mine.json", "columns": {"prompt": "q", "response": "a", "query": None}},
        "talk": {"file_name": "talk.jsonl", "formatting": "sharegpt", "columns": {"messages": "m", "tools": "t"}},
        "far": {"hf_hub_url": "a/b"},
        "ranked": {"file_name": "r.json", "ranking": True},
        "table": {"file_name": "t.txt"},
    }
    datasets = Registered(tmp_path, entries)
    told = overrides_of({"dataset": "mine, talk", "eval_dataset": "talk"}, datasets)
    assert told["dataset.path"] == f"{tmp_path}/mine.json"
    assert told["dataset.columns"] == "{prompt:q,response:a}"
    assert (
        told["dataset.also"] == f"[{{path:{tmp_path}/talk.jsonl,formatting:sharegpt,columns:{{messages:m,tools:t}}}}]"
    )
    assert told["dataset.validation"] == told["dataset.also"]
    assert (told["dataset.train_name"], told["dataset.validation_name"]) == ("mine", "talk")
    left = import_training({"dataset": "far,ranked,table,gone"}, datasets).left_out
    assert [line.partition(":")[0] for line in left if line.startswith("dataset=")] == [
        f"dataset={name}" for name in ("far", "ranked", "table", "gone")
    ]
    assert "registers no such name" in "".join(left)


def test_the_folder_of_datasets_is_found_from_a_file_deep_in_llamafactory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset_info.json").write_text('{"x": {"file_name": "x.json"}}')
    file = tmp_path / "examples" / "train_lora" / "mine.yaml"
    file.parent.mkdir(parents=True)
    (tmp_path / "examples" / "zero.json").write_text('{"zero_optimization": {"stage": 0}}')
    file.write_text("dataset: x\nlearning_rate: 1e-4\ndeepspeed: examples/zero.json\n")
    monkeypatch.chdir("/")
    imported = import_training(*load(file))
    assert f"dataset.path={tmp_path}/data/x.json" in imported.overrides
    assert "training.learning_rate=0.0001" in imported.overrides
    # Written out, so that what is trained is in the record, and by torchrun, without which DeepSpeed does not start.
    assert "llamafactory.deepspeed={zero_optimization:{stage:0}}" in imported.overrides
    assert "launch=cards" in imported.overrides


def test_what_cannot_be_carried_is_named_with_its_reason_and_no_secret() -> None:
    imported = import_training(
        {
            "output_dir": "saves/x",
            "resume_from_checkpoint": "saves/x/checkpoint-5",
            "deepspeed": "examples/z3.json",
            "report_to": ["wandb"],
            "hf_hub_token": "hf_very_secret",
            "swanlab_api_key": "also_secret",
            "swanlab_lark_webhook_url": "https://open.feishu.cn/open-apis/bot/v2/hook/very_secret",
            "eval_strategy": "epoch",
            "save_steps": 0.1,
            "dataset": "x",
            "tokenized_path": "cache",
            "max_new_tokens": 64,
            "ignore_pad_token_for_loss": False,
        }
    )
    named = [line.partition(":")[0] for line in imported.left_out]
    for name in ("output_dir", "resume_from_checkpoint", "deepspeed", "report_to=wandb", "hf_hub_token"):
        assert name in named
    assert {"eval_strategy=epoch", "save_steps=0.1", "dataset=x", "swanlab_api_key", "template"} <= set(named)
    assert "secret" not in " ".join(imported.overrides)
    assert "very_secret" not in " ".join(imported.left_out)
    assert "swanlab_lark_webhook_url: the harness sends no messages" in imported.left_out
    # Their names hold the word token, and they are no secrets.
    for argument in ("max_new_tokens=64", "ignore_pad_token_for_loss=false"):
        assert f"llamafactory.{argument}" in imported.overrides
    assert "tokenized_path" in named, "what a run does not take is named"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("- a\n- b\n", "is no mapping"),
        ("just words", "is no mapping"),
        ("a: [1", "cannot be read: line 1, column 6: expected ',' or ']', but got '<stream end>'"),
        ("[" * 5000, "cannot be read: is nested too deep"),
        ("lora_rnk: 8\nlearning_rat: 1\n", "lora_rnk: LLaMA-Factory has no such training argument; did you mean"),
        ("stage: dpo\n", "stage=dpo: the harness compares supervised fine-tuning alone"),
        ("finetuning_type: freeze\n", "finetuning_type=freeze: the harness knows lora and full"),
        ("quantization_bit: 4\nquantization_method: hqq\n", "quantization_bit=4, quantization_method=hqq"),
        ("quantization_bit: '4'\n", "quantization_bit='4': is a text, which LLaMA-Factory takes for no number"),
        ("model: m\n", "model: LLaMA-Factory has no such training argument; did you mean model_name_or_path?"),
        ("batch_size: 8\n", "batch_size: LLaMA-Factory has no such training argument; did you mean per_device_train"),
        ("epochs: 3\n", "epochs: LLaMA-Factory has no such training argument; did you mean num_train_epochs?"),
        ("lr: 1e-4\n", "lr: LLaMA-Factory has no such training argument; did you mean learning_rate?"),
        ("lr: 1\nlearning_rate: 1\n", "lr: LLaMA-Factory has no such training argument; it is learning_rate, which"),
        (
            "Max-Seq-Length: 8\n",
            "Max-Seq-Length: LLaMA-Factory has no such training argument; did you mean cutoff_len?",
        ),
        ("warmup_ratio: much\n", "warmup_ratio=much: a number is needed"),
        (f"max_steps: {'9' * 400}\n", "max_steps=9999"),
        ("fp16: true\nbf16: true\n", "fp16, bf16: both are true"),
    ],
)
def test_a_file_that_is_none_is_told_with_its_reason(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(content)
    with pytest.raises(UserError) as raised:
        import_file([str(tmp_path / "train.yaml")])
    assert any(told in mistake for mistake in raised.value.mistakes), raised.value.mistakes
    assert len(raised.value.mistakes) == (2 if "rnk" in content else 1)


def test_the_hub_is_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.yaml").write_text("model_name_or_path: qwen/Qwen1.5-7B\n")
    import_file([str(tmp_path / "train.yaml")])
    monkeypatch.setenv("USE_MODELSCOPE_HUB", "1")
    assert "modelscope" not in capsys.readouterr().out
    import_file([str(tmp_path / "train.yaml")])
    assert "model.hub=modelscope" in capsys.readouterr().out


def test_a_command_says_no_to_the_hub_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USE_MODELSCOPE_HUB", "1")
    script = tmp_path / "x.sh"
    for said, hubs in (("export USE_MODELSCOPE_HUB=0; ", 0), ("", 1), ("USE_MODELSCOPE_HUB=true ", 1)):
        script.write_text(f"{said}llamafactory-cli train --model_name_or_path qwen/Qwen1.5-7B\n")
        import_file([str(script)])
        assert capsys.readouterr().out.count("model.hub=modelscope") == hubs


def test_names_that_people_give_lead_to_arguments_that_there_are() -> None:
    assert not _MEANT.keys() & training_argument_names()
    assert set(_MEANT.values()) <= training_argument_names()


def test_what_is_rays_is_left_out() -> None:
    given = {"ray_num_workers": 4, "ray_init_kwargs": "{}", "master_addr": "h", "master_port": "5"}
    imported = import_training(given)
    assert {
        f"{name}: is Ray's; the harness starts its processes itself, by launch=cards or launch=nodes" for name in given
    } <= set(imported.left_out)


def test_a_file_that_is_not_there_or_of_another_kind_is_told(tmp_path: Path) -> None:
    for name in ("nowhere.yaml", "train.toml"):
        with pytest.raises(UserError, match=name):
            import_file([str(tmp_path / name)])


def test_json_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "train.json"
    file.write_text(json.dumps({"learning_rate": 1e-4, "template": "qwen"}))
    assert "training.learning_rate=0.0001" in import_training(*load(file)).overrides


@pytest.mark.skipif(not DOCUMENTS, reason="the tutorials are not here (../shared/seeds)")
def test_the_tutorials_own_qlora_file_is_carried_whole(tmp_path: Path) -> None:
    text = DOCUMENTS["004"].read_text(encoding="utf-8")
    block = next(part for part in text.split("```yaml\n")[1:] if "quantization_bit" in part).partition("```")[0]
    (tmp_path / "train.yaml").write_text(block)
    imported = import_training(*load(tmp_path / "train.yaml"))
    assert [line.partition(":")[0] for line in imported.left_out] == [
        "dataset=lmm-lab-math-demo",
        "eval_dataset=math-eval-demo",
        "output_dir",
    ]
    assert {"method=qlora", "tracking=cloud", "tracking.experiment=qwen2-7b-qlora-math"} <= set(imported.overrides)


UNDERSTOOD = """
import json, sys
from harness.workers import compat
compat.prepare_imports()
from llamafactory.hparams import get_train_args
understood = []
for arguments in json.load(sys.stdin):
    parts = get_train_args(arguments)
    every = [item for part in parts for item in vars(part).items()]
    understood.append({name: repr(getattr(value, "value", value)) for name, value in every})
json.dump(understood, open(sys.argv[1], "w"))
"""

MEANT_TO_DIFFER = {
    *("dataset_dir", "media_dir", "output_dir", "logging_dir", "overwrite_output_dir", "overwrite_cache"),
    *("disable_tqdm", "include_num_input_tokens_seen", "save_strategy"),
    *("warmup_ratio", "warmup_steps"),  # 0, 0.0 and null
    *("accelerator_config", "distributed_state", "device_map"),  # objects of the process
    *("use_swanlab", "swanlab_run_name"),  # the harness tracks it itself
}


def test_llamafactory_understands_of_the_imported_file_what_it_does_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field that its parser fills, for files that say much and files that say next to nothing."""
    monkeypatch.setenv("SWANLAB_API_KEY", "a-key-of-nobody")
    (tmp_path / "dataset_info.json").write_text(json.dumps({name: {"file_name": "rows.json"} for name in "ab"}))
    (tmp_path / "rows.json").write_text(json.dumps([{"instruction": "q", "input": "", "output": "a"}] * 30))
    least = {"model_name_or_path": str(TINY), "template": "qwen", "dataset": "a", "dataset_dir": str(tmp_path)}
    least |= {"do_train": True, "output_dir": str(tmp_path / "saves"), "use_cpu": True}
    files = [
        least,
        least | {"quantization_bit": 4, "val_size": 0.2, "eval_strategy": "steps", "logging_steps": 7},
        least | {"quantization_bit": 8, "eval_dataset": "b", "do_eval": True, "warmup_steps": 3, "max_steps": 9},
        least | {"finetuning_type": "full", "packing": True, "save_strategy": "no", "seed": 7},
        least | {"use_swanlab": True, "swanlab_run_name": "x", "use_rslora": True, "warmup_ratio": 0.2, "bf16": True},
        {**least, "dataset": "a,b", "max_samples": 5, "lora_target": "q_proj,v_proj", "neftune_noise_alpha": 5},
    ]
    given = []
    for number, arguments in enumerate(files):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(arguments))
        imported = import_training(*load(tmp_path / f"{number}.yaml"))
        config = only(*imported.overrides, f"output={tmp_path}")
        prepare.write(rows_of(config), tmp_path / str(number) / "dataset")
        given += [arguments, arguments_of(config, tmp_path / str(number))]
    result = tmp_path / "understood.json"
    done = subprocess.run(
        [sys.executable, "-c", UNDERSTOOD, str(result)], input=json.dumps(given), text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    understood = json.loads(result.read_text())
    for theirs, ours in zip(understood[::2], understood[1::2], strict=True):
        names = (theirs.keys() | ours.keys()) - MEANT_TO_DIFFER
        differing = {name: (theirs.get(name), ours.get(name)) for name in names if theirs.get(name) != ours.get(name)}
        assert differing.pop("dataset", None) in (None, ("['a', 'b']", "['a', 'a-2']"))
        assert differing == {}


def test_a_file_is_imported_and_trained(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its rows have columns of their own names and none for the input, and its validation rows are a file."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "rows.json").write_text(json.dumps(ROWS))
    (data / "held.json").write_text(json.dumps(ROWS[:4]))
    columns = {"prompt": "q", "response": "a"}
    info = {name: {"file_name": f"{name}.json", "columns": columns} for name in ("rows", "held")}
    (data / "dataset_info.json").write_text(json.dumps(info))
    arguments = {
        "model_name_or_path": str(TINY),
        "template": "qwen3_nothink",
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": 4,
        "quantization_bit": 4,
        "double_quantization": False,
        "dataset": "rows",
        "eval_dataset": "held",
        "dataset_dir": str(data),
        "cutoff_len": 64,
        "output_dir": str(tmp_path / "saves"),
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "max_steps": 4,
        "logging_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "use_cpu": True,
        "plot_loss": False,
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(arguments))
    import_file([str(tmp_path / "mine.yaml")])
    script = capsys.readouterr().out
    words = subprocess.run(
        ["sh", "-c", 'harness() { printf "%s\\0" "$@"; }\n' + script], capture_output=True, text=True, check=True
    )
    done = call(*words.stdout.split("\0")[:-1], "tracking=disabled", cwd=tmp_path, env=environment(cache))
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = tmp_path.glob("outputs/mine/qlora-seed42-*")
    trained = store.load(RunFolder(folder))
    assert trained is not None
    assert trained.status is Outcome.COMPLETED
    assert trained.training is not None
    assert trained.training.steps == 4
    assert trained.training.validation_loss is not None
    written_again = yaml.safe_load((folder / "train.yaml").read_text())
    places = (*ELSEWHERE, "plot_loss")
    carried = {key: value for key, value in arguments.items() if key not in places}
    assert {key: written_again[key] for key in carried} == carried
