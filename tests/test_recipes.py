"""Each tutorial is a file in sweeps/: what it trains is what the tutorial says, key by key, and nothing besides.

The tutorials' own files are read where they are (../shared/seeds); what they say stands here too, so that the sweeps
are held to it everywhere.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.base.errors import UserError
from harness.base.paths import PACKAGE, configuration_folder
from harness.compose import points as compose
from harness.data import sources
from harness.devices.request import Device, DeviceRequest
from harness.execution.outlook import enough, warnings
from harness.execution.prepare import prepare
from harness.execution.run import tracking_job
from harness.plan.files import train_arguments, write
from harness.plan.planner import Planner
from harness.plan.spec import RunSpec
from tests.conftest import Harness
from tests.planning import spec_of, specs_of

TINY = PACKAGE / "models" / "tiny"
SEEDS = Path(__file__).parents[2] / "shared" / "seeds"
DOCUMENTS = {path.name[:3]: path for path in SEEDS.glob("*.txt")}

Settings = dict[str, Any]

PATHS = ("model_name_or_path", "dataset_dir", "output_dir", "logging_dir")
"""Where the tutorial's author had things. `logging_dir` is TensorBoard's, to which that tutorial does not report."""
SWANLAB = {"use_swanlab": True, "swanlab_project": "llamafactory"}
MATH = {
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "lora_rank": 8,
    "lora_target": "all",
    "dataset": "lmm-lab-math-demo",
    "template": "qwen",
    "cutoff_len": 2048,
    "max_samples": 2000,
    "overwrite_cache": True,
    "preprocessing_num_workers": 16,
    "dataloader_num_workers": 4,
    "logging_steps": 5,
    "save_steps": 500,
    "plot_loss": True,
    "overwrite_output_dir": True,
    "save_only_model": False,
    "report_to": "none",
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 8,
    "learning_rate": 1e-4,
    "num_train_epochs": 1.0,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.1,
    "bf16": True,
    "ddp_timeout": 180000000,
    "eval_dataset": "math-eval-demo",
    "per_device_eval_batch_size": 2,
    "eval_strategy": "steps",
    "eval_steps": 20,
}
QUANTIZED = {"quantization_bit": 4, "quantization_method": "bnb", "double_quantization": False}
PSYCHOLOGY = {
    "stage": "sft",
    "do_train": True,
    "dataset": "distill_psychology-10k-r1",
    "template": "qwen3",
    "finetuning_type": "lora",
    "overwrite_cache": True,
    "overwrite_output_dir": True,
    "cutoff_len": 1024,
    "preprocessing_num_workers": 16,
    "per_device_train_batch_size": 2,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 8,
    "lr_scheduler_type": "cosine",
    "logging_steps": 50,
    "warmup_steps": 20,
    "save_steps": 100,
    "eval_steps": 50,
    "eval_strategy": "steps",
    "load_best_model_at_end": True,
    "learning_rate": 5e-5,
    "num_train_epochs": 5.0,
    "max_samples": 1000,
    "val_size": 0.1,
    "plot_loss": True,
    "fp16": True,
}
TOOLS = {
    "stage": "sft",
    "do_train": True,
    "dataset": "vdian",
    "template": "qwen3_vl",
    "finetuning_type": "lora",
    "lora_rank": 8,
    "lora_dropout": 0.05,
    "overwrite_cache": True,
    "overwrite_output_dir": True,
    "cutoff_len": 1024,
    "preprocessing_num_workers": 1,
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 16,
    "lr_scheduler_type": "constant",
    "logging_steps": 10,
    "warmup_steps": 5,
    "save_steps": 60,
    "eval_steps": 20,
    "eval_strategy": "steps",
    "load_best_model_at_end": True,
    "learning_rate": 1e-4,
    "num_train_epochs": 20.0,
    "max_samples": 1000,
    "val_size": 0.05,
    "plot_loss": True,
    "bf16": True,
}
IDENTITY = {
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "lora_target": "all",
    "dataset": "identity",
    "template": "qwen",
    "cutoff_len": 1024,
    "max_samples": 1000,
    "num_train_epochs": 20.0,
    "learning_rate": 1e-4,
    "lr_scheduler_type": "cosine",
}
ZERO0 = {
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "lora_target": "q_proj,v_proj",
    "ddp_timeout": 180000000,
    "dataset": "identity,alpaca_en_demo",
    "template": "qwen",
    "cutoff_len": 1024,
    "max_samples": 1000,
    "overwrite_cache": True,
    "preprocessing_num_workers": 16,
    "logging_steps": 10,
    "save_steps": 500,
    "plot_loss": True,
    "overwrite_output_dir": True,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1e-4,
    "num_train_epochs": 3.0,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.1,
    "fp16": True,
    "val_size": 0.1,
    "per_device_eval_batch_size": 1,
    "eval_strategy": "steps",
    "eval_steps": 500,
}

ADDED: Settings = {
    # LLaMA-Factory's own values, which it works out from null.
    "lora_alpha": 16,  # twice the rank
    "packing": False,  # in stage sft
    "warmup_ratio": 0.0,
    # A run's folder is new each time, and so are its rows.
    "overwrite_cache": True,
    "overwrite_output_dir": True,
    # The harness shows the progress, and takes tokens per second from the trainer's count.
    "disable_tqdm": True,
    "include_num_input_tokens_seen": "non_padding",
}
"""What the harness says where a tutorial is silent, and LLaMA-Factory's default differs or is null."""


@dataclass(frozen=True)
class Recipe:
    sweep: str
    document: str
    """The number of the tutorial's file."""
    file: int
    """Which of the training files in it."""
    arm: str
    says: Settings
    model: str
    added: Settings = field(default_factory=dict)
    """What this recipe adds besides, with the reason in its sweep file."""
    renamed: Settings = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.document}-{self.sweep}-{self.arm}"


RECIPES = [
    Recipe("qwen2_math", "004", 0, "lora", MATH, "Qwen/Qwen2-7B", {"trust_remote_code": True}),
    Recipe("qwen2_math", "004", 1, "qlora", {**MATH, **QUANTIZED, "trust_remote_code": True}, "Qwen/Qwen2-7B"),
    Recipe("qwen3_psychology", "000", 0, "lora", PSYCHOLOGY, "Qwen/Qwen3-8B"),
    Recipe("qwen3_psychology", "001", 0, "lora", PSYCHOLOGY, "Qwen/Qwen3-8B"),
    Recipe("qwen3_vl_tools", "000", 1, "lora", TOOLS, "Qwen/Qwen3-VL-8B-Instruct"),
    Recipe("qwen2_5_identity", "002", 0, "lora", IDENTITY, "Qwen/Qwen2.5-1.5B-Instruct", {"logging_steps": 5}),
    Recipe(
        "qwen1_5_zero0",
        "003",
        0,
        "lora_zero0",
        ZERO0,
        "qwen/Qwen1.5-7B",
        renamed={"dataset": "identity,identity-2"},  # a further file has its number behind the first one's name
    ),
]
ONE_EACH = {recipe.sweep: recipe for recipe in RECIPES}


def npus(kind: str, wish: DeviceRequest) -> Device:
    """The devices that every tutorial has, where this machine has none."""
    chips = tuple(wish.chips or (0,))
    return Device("ascend", "npu", chips, "910B2", 65536.0, True, {})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows in each tutorial's form, made for tests."""
    folder = tmp_path_factory.mktemp("rows")
    rows: dict[str, list[dict[str, Any]]] = {
        "alpaca": [{"instruction": f"q {n}", "input": "", "output": f"a {n}", "answer": f"{n}.0"} for n in range(40)],
        "psychology": [{"input": f"q {n}", "reasoning_content": "r", "content": f"a {n}"} for n in range(40)],
        "tools": [
            {
                "conversations": [
                    {"from": "human", "value": f"q {n}"},
                    {"from": "function_call", "value": '{"name": "find", "arguments": {}}'},
                    {"from": "observation", "value": "{}"},
                    {"from": "gpt", "value": f"a {n}"},
                ],
                "tools": '[{"name": "find", "description": "d", "parameters": {}}]',
            }
            for n in range(40)
        ],
    }
    for name, records in rows.items():
        (folder / f"{name}.json").write_text(json.dumps(records))
    return folder


def users_own(sweep: str, files: Path) -> list[str]:
    """What a user gives a sweep, in stand-ins; one seed of those that have several."""
    form = {"qwen3_psychology": "psychology", "qwen3_vl_tools": "tools"}.get(sweep, "alpaca")
    given = [f"model.path={TINY}", f"dataset.path={files / form}.json"]
    if sweep == "qwen2_5_identity":
        given.append("launch.master_addr=127.0.0.1")
    if sweep == "qwen1_5_zero0":
        given.append(f"dataset.also=[{{path: {files / 'alpaca.json'}}}]")
    return given if sweep in ONE_EACH else ["seed=0"]


@pytest.fixture
def on_npus(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


def stand_in(patch: pytest.MonkeyPatch) -> None:
    """NPUs, free ports, and hubs that must not be asked."""

    def refuse(*_: str) -> Path:
        raise AssertionError("what has its model and rows here asked a hub")

    patch.setattr("harness.devices.device.choose", npus)
    patch.setattr("harness.base.ports.refusal", lambda port: None)
    patch.setattr(sources, "_fetch", refuse)


Trained = dict[tuple[str, str], tuple[RunSpec, Settings]]
"""By sweep and arm: what was planned, and the train.yaml that a dry run writes."""


@pytest.fixture(scope="module")
def trained(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    home = tmp_path_factory.mktemp("trained")
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        for sweep in ONE_EACH:
            for spec in plans(sweep, [*users_own(sweep, files), f"output={home}"]):
                made[sweep, spec.arm] = spec, yaml.safe_load(spec.folder.train.read_text())
    return made


def plans(sweep: str, overrides: list[str]) -> list[RunSpec]:
    # A dry run needs no DeepSpeed.
    planner = Planner(Path.cwd())
    specs = prepare([f"sweeps={sweep}", "dry_run=true", *overrides], True, planner).specs
    for spec in specs:
        write(spec, planner.rows(spec.config.dataset)[0], {})
    return specs


PARSE = """
import json, sys
from harness.workers import compat
compat.prepare_imports()
from dataclasses import MISSING, fields
from llamafactory.hparams import get_train_args
from llamafactory.hparams.parser import _TRAIN_ARGS
defaults = {}
for part in _TRAIN_ARGS:
    for one in fields(part):
        value = one.default if one.default is not MISSING else one.default_factory() if one.init else None
        defaults[one.name] = getattr(value, "value", value)
refused = {}
for name, arguments in json.load(sys.stdin).items():
    try:
        get_train_args(arguments)
    except Exception as error:
        refused[name] = f"{type(error).__name__}: {error}"
json.dump({"defaults": defaults, "refused": refused}, open(sys.argv[1], "w"), default=str)
"""


@dataclass(frozen=True)
class Parsed:
    defaults: Settings
    refused: dict[str, str]
    names: list[str]


@pytest.fixture(scope="module")
def parsed(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    """What LLaMA-Factory's parser says to the train.yaml of every point of every sweep, in one process, on a CPU."""
    home = tmp_path_factory.mktemp("parse")
    given = {}
    for path in sorted(configuration_folder("sweeps").glob("*.yaml")):
        here = ["device=cpu", "device.chips=null", "training.precision=auto", "launch.master_port=null"]
        nodes = ["launch=cards"] if path.stem == "qwen2_5_identity" else []
        given_here = [*users_own(path.stem, files), *here, *nodes, f"output={home}"]
        for number, spec in enumerate(plans(path.stem, given_here)):
            arguments = yaml.safe_load(spec.folder.train.read_text())
            if find_spec("deepspeed") is None:
                # Its absence would be all that the parser tells of it.
                arguments.pop("deepspeed", None)
            given[f"{path.stem}-{number}-{spec.arm}"] = arguments
    result = home / "parsed.json"
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(result)], input=json.dumps(given), text=True, capture_output=True, cwd=home
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Parsed(**json.loads(result.read_text()), names=list(given))


def test_llamafactory_takes_every_training_file_of_every_sweep(parsed: Parsed) -> None:
    assert parsed.refused == {}
    assert {name.partition("-")[0] for name in parsed.names} >= {*ONE_EACH, "quickstart", "memory_probe"}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_nothing_of_a_tutorial_is_lost_and_nothing_invented(recipe: Recipe, trained: Trained, parsed: Parsed) -> None:
    _, ours = trained[recipe.sweep, recipe.arm]
    compare(ours, recipe.says | recipe.renamed, recipe.added, parsed.defaults)


@pytest.mark.parametrize("sweep", [name for name in ONE_EACH if name != "qwen2_math"])
def test_qlora_stands_beside_it_and_differs_in_quantization_alone(sweep: str, trained: Trained) -> None:
    (_, lora), (_, qlora) = trained[sweep, "lora"], trained[sweep, "qlora"]
    changed = {key: qlora.get(key) for key in lora.keys() | qlora.keys() if lora.get(key) != qlora.get(key)}
    assert {key: value for key, value in changed.items() if key not in PATHS} == {
        **QUANTIZED,
        "quantization_type": "nf4",
    }


def compare(ours: Settings, says: Settings, added: Settings, defaults: Settings) -> None:
    """Every key of a tutorial with its value; every other key as LLaMA-Factory has it, or among what is added."""
    lost = {key: (value, ours.get(key)) for key, value in says.items() if key not in ours or ours[key] != value}
    assert not lost, "the tutorial's value, and what is trained with"
    allowed = defaults | ADDED | added
    silent = {key: value for key, value in ours.items() if key not in (*says, *PATHS, "deepspeed")}
    invented = {
        key: (value, allowed[key]) for key, value in silent.items() if value not in (allowed[key], defaults[key])
    }
    assert not invented, "what is trained with, and LLaMA-Factory's default"


def test_the_training_defaults_are_llamafactorys_own(parsed: Parsed) -> None:
    ours = train_arguments(spec_of("training=llamafactory", "training.validation_steps=null", "device=cpu"))
    names = ["learning_rate", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps"]
    names += ["lr_scheduler_type", "cutoff_len", "logging_steps", "save_strategy", "save_steps", "bf16", "fp16"]
    names += ["lora_rank", "lora_dropout", "lora_target", "disable_gradient_checkpointing"]
    assert {name: ours[name] for name in names} == {name: parsed.defaults[name] for name in names}
    assert (parsed.defaults["warmup_ratio"], parsed.defaults["warmup_steps"]) == (None, 0)


def test_a_recipes_seed_is_the_one_that_its_tutorial_left_to_llamafactory(parsed: Parsed) -> None:
    for recipe in RECIPES:
        assert "seed" not in recipe.says
    assert parsed.defaults["seed"] == 42


@pytest.mark.parametrize("sweep", [*ONE_EACH, "memory_probe"])
def test_a_sweep_of_one_seed_says_which_command_gives_a_verdict(sweep: str) -> None:
    text = (configuration_folder("sweeps") / f"{sweep}.yaml").read_text()
    (said,) = re.findall(rf"# +harness sweep {sweep} seed=([\d,]+)", text.partition("defaults:")[0])
    seed = 0 if sweep == "memory_probe" else 42
    assert [int(number) for number in said.split(",")] == list(enough([seed]))
    assert "allows no verdict on the methods" in " ".join(text.replace("#", "").split())
    assert "seed" not in yaml.safe_load(text)["hydra"]["sweeper"]["params"]
    assert yaml.safe_load(text).get("seed", 0) == seed


@pytest.mark.parametrize("sweep", ONE_EACH)
def test_a_recipe_fetches_the_model_that_its_tutorial_names(sweep: str, files: Path, on_npus: None) -> None:
    given = [text for text in users_own(sweep, files) if not text.startswith("model.path=")]
    points = compose.points([f"sweeps={sweep}", "dry_run=true", *given], multirun=True, check=lambda config: [])
    models = {point.config.model.path for point in points}
    further = {"Qwen/Qwen2-0.5B", "Qwen/Qwen2.5-3B"} if sweep == "qwen2_math" else set()
    assert models == {ONE_EACH[sweep].model, *further}
    assert {point.config.model.hub for point in points} == {"modelscope"}
    if further:
        assert len(points) == 6


@pytest.mark.parametrize(
    ("sweep", "given", "told"),
    [
        ("qwen2_5_identity", "launch.master_addr", "launch.master_addr: a value is needed, the address of node 0"),
        ("qwen1_5_zero0", "dataset.also", "dataset.also[0].path: dataset=identity needs a file; give 'dataset.also=[{"),
    ],
)
def test_what_a_tutorial_has_and_no_hub_is_asked_for(
    sweep: str, given: str, told: str, files: Path, on_npus: None
) -> None:
    without = [text for text in users_own(sweep, files) if not text.startswith(given)]
    with pytest.raises(UserError) as raised:
        specs_of(f"sweeps={sweep}", "dry_run=true", *without)
    (mistake,) = raised.value.mistakes
    assert mistake.startswith(told)


def test_the_math_runs_have_the_tutorials_names_in_swanlab(files: Path, on_npus: None) -> None:
    given = [text for text in users_own("qwen2_math", files) if not text.startswith("model.path=")]
    jobs = [tracking_job(spec) for spec in specs_of("sweeps=qwen2_math", *given)]
    assert sorted(job.experiment for job in jobs) == sorted(
        f"{model}-{method}-math" for model in ("qwen2-7b", "qwen2-0.5b", "qwen2.5-3b") for method in ("lora", "qlora")
    )
    assert {job.project for job in jobs} == {"llamafactory"}


def test_the_seven_npus_and_the_two_nodes_are_the_tutorials(trained: Trained) -> None:
    tools, _ = trained["qwen3_vl_tools", "lora"]
    assert (tools.config.device.chips, tools.config.launch.name) == ([0, 1, 2, 3, 4, 5, 7], "cards")
    assert tools.device.chips == 7
    identity, _ = trained["qwen2_5_identity", "lora"]
    assert (identity.config.launch.nnodes, identity.device.chips) == (2, 2)
    assert identity.config.launch.master_port == 29500
    zero0, _ = trained["qwen1_5_zero0", "lora_zero0"]
    assert (zero0.config.launch.name, zero0.config.launch.nproc) == ("cards", 1)


def test_who_it_is_is_asked_before_and_after(trained: Trained) -> None:
    identity, _ = trained["qwen2_5_identity", "lora"]
    asked = identity.config.evaluation
    assert [(one.prompt, one.expected) for one in asked.prompts] == [("你是谁", "北大助手")]
    assert asked.targets == ["base", "adapter", "merged"]


def test_deepspeed_is_there_for_lora_alone_and_partitions_nothing(trained: Trained) -> None:
    zero0 = {arm: settings.get("deepspeed") for (sweep, arm), (_, settings) in trained.items() if "zero0" in sweep}
    assert zero0["lora_zero0"]["zero_optimization"] == {"stage": 0}
    assert (zero0["lora"], zero0["qlora"]) == (None, None)


@pytest.mark.parametrize("sweep", ONE_EACH)
def test_the_arms_of_a_recipe_differ_in_what_it_compares_alone(sweep: str, files: Path, on_npus: None) -> None:
    assert warnings(specs_of(f"sweeps={sweep}", "dry_run=true", *users_own(sweep, files))) == []


def test_deepspeed_is_set_as_llamafactory_sets_it(trained: Trained) -> None:
    """Its examples/deepspeed/ds_z0_config.json; what stands there and not here is DeepSpeed's own default, or says how
    to partition, which stage 0 does not."""
    _, lora = trained["qwen1_5_zero0", "lora_zero0"]
    auto = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
    assert lora["deepspeed"] == {
        **dict.fromkeys(auto, "auto"),
        "zero_allow_untested_optimizer": True,
        "fp16": {"enabled": "auto"},
        "bf16": {"enabled": "auto"},
        "zero_optimization": {"stage": 0},
    }


def test_deepspeed_that_cannot_be_started_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*given: str) -> list[str]:
        try:
            specs_of(*given, "device=cpu", multirun=False)
        except UserError as error:
            return error.mistakes
        return []

    for given in ("method=lora_zero0", "+deepspeed=zero0"):
        (without_torchrun,) = told(given, "dry_run=true")
        assert without_torchrun.startswith(
            "llamafactory.deepspeed: DeepSpeed is started by torchrun alone; add launch="
        )
        assert told(given, "launch=cards", "dry_run=true") == []
        monkeypatch.setattr("harness.compose.llamafactory_checks._is_installed", lambda requirement: False)
        (not_installed,) = told(given, "launch=cards")
        assert not_installed.startswith("llamafactory.deepspeed: deepspeed is not installed; pip install deepspeed")


def test_a_dry_run_of_a_whole_tutorial_needs_no_network(files: Path, tmp_path: Path, harness: Harness) -> None:
    here = ("device=cpu", "training.precision=auto", "model.hub=local", "evaluation=none", "method=qlora")
    done = harness("sweep", "qwen2_math", "dry_run=true", *users_own("qwen2_math", files), *here)
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("outputs/qwen2_math/qlora-seed42-*/train.yaml")
    assert yaml.safe_load(written.read_text())["dataset"] == "lmm-lab-math-demo"


# ---- The tutorials themselves ----


def yaml_value(text: str) -> Any:
    value = yaml.safe_load(text)
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def training_files(document: str) -> list[Settings]:
    """Each training file and command line of a tutorial, in its order."""
    text = DOCUMENTS[document].read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    blocks += re.findall(r'echo "(model_name_or_path.*?)" > /app/config.yaml', text, re.DOTALL)
    blocks += [re.sub(r"(?m)^  ", "", block) for block in re.findall(r"<< EOF > \S+\n(.*?)\n\s*EOF", text, re.DOTALL)]
    found = [yaml.safe_load(block) for block in blocks if "stage: sft" in block]
    for command in re.findall(r"llamafactory-cli train((?: \\\n\s+--\S+.*?)+)\n?(?=```|\n)", text):
        words = shlex.split(command.replace("\\\n", " "))
        named: Settings = {}
        for word in words:
            if word.startswith("--"):
                name = word[2:]
                named[name] = True
            else:
                named[name] = yaml_value(word)
        found.append(named)
    return [
        {key: yaml_value(value) if isinstance(value, str) else value for key, value in one.items()} for one in found
    ]


tutorials = pytest.mark.skipif(not DOCUMENTS, reason="the tutorials are not here (../shared/seeds)")


@tutorials
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_what_stands_here_is_what_the_tutorial_says(recipe: Recipe) -> None:
    said = training_files(recipe.document)[recipe.file]
    tracked = {key: said.pop(key) for key in list(said) if "swanlab" in key}
    deepspeed = said.pop("deepspeed", None)
    assert {key: value for key, value in said.items() if key not in PATHS and value is not None} == recipe.says
    if recipe.document == "004":
        assert tracked == {**SWANLAB, "swanlab_run_name": f"qwen2-7b-{recipe.arm}-math"}
    assert (deepspeed is not None) == (recipe.document == "003")
    path = str(said["model_name_or_path"]).rstrip("/")
    assert path.startswith("$") or Path(path).name.lower() == Path(recipe.model).name.lower()


@tutorials
def test_no_training_file_of_a_tutorial_is_left_out() -> None:
    assert {(document, number) for document in DOCUMENTS for number, _ in enumerate(training_files(document))} == {
        (recipe.document, recipe.file) for recipe in RECIPES
    }
