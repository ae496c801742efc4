"""From the arguments of `llamafactory-cli train` to overrides of the harness.

What a file leaves to LLaMA-Factory is left to it here too (conf/training/llamafactory.yaml).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.base.errors import UserError
from harness.compose.checks import SECRETS
from harness.compose.dataset_info import DATASET_INFO, Registered, source_of
from harness.compose.hydra_values import written
from harness.trainer.known_arguments import near_argument, training_argument_names

MEDIA = ("images", "videos", "audios")
_DEFAULT_SEED, _DEFAULT_EVAL_BATCH_SIZE, _DEFAULT_STEPS = 42, 8, 500
"""transformers' TrainingArguments (5.6): seed, per_device_eval_batch_size, logging_steps and save_steps."""
_SAME_HERE = {
    "do_train": True,
    "overwrite_cache": True,
    "overwrite_output_dir": True,
    "disable_tqdm": True,
    "include_num_input_tokens_seen": "non_padding",
}
"""What every run of the harness is told anyway (training/arguments.py)."""
_DIRECT = {
    "template": "model.template",
    "trust_remote_code": "model.trust_remote_code",
    "max_samples": "dataset.max_samples",
    "cutoff_len": "training.cutoff_length",
    "packing": "training.packing",
    "learning_rate": "training.learning_rate",
    "num_train_epochs": "training.epochs",
    "per_device_train_batch_size": "training.batch_size",
    "gradient_accumulation_steps": "training.gradient_accumulation",
    "lr_scheduler_type": "training.scheduler",
}
_LORA = {"lora_rank": "method.rank", "lora_alpha": "method.alpha", "lora_dropout": "method.dropout"}
_NOT_CARRIED = {
    "output_dir": "each run has a folder of its own; output=FOLDER is where those are made",
    "overwrite_output_dir": "a run's folder is always a new one",
    "resume_from_checkpoint": "a run starts at its beginning; one that was stopped is trained again",
    "do_train": "the harness trains; for other work use llamafactory-cli",
    "disable_tqdm": "the harness shows the progress itself",
    "include_num_input_tokens_seen": "the harness counts non-padding tokens, for its own figures",
    "swanlab_logdir": "SwanLab's files go into outputs/SWEEP/swanlog",
    "swanlab_lark_webhook_url": "the harness sends no messages",
}


@dataclass(frozen=True)
class Imported:
    overrides: list[str]
    left_out: list[str]
    """`argument: why it is not carried, and what to do instead`. Holds no secret."""


@dataclass
class _Taking:
    """The arguments that nobody has taken yet, and what became of the others. None of them is null."""

    given: dict[str, Any]
    overrides: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.validates = bool(self.given.get("eval_dataset") or self.given.get("val_size"))

    def take(self, name: str, default: Any = None) -> Any:
        return self.given.pop(name, default)

    def set(self, key: str, value: Any) -> None:
        if "${" in str(value):
            self.leave(key, "its value holds ${...}, which Hydra would fill in; give what it stands for")
        else:
            self.overrides.append(f"{key}={written(value)}")

    def leave(self, name: str, why: str) -> None:
        self.left_out.append(f"{name}: {why}")

    def number(self, name: str) -> float | None:
        value = self.take(name)
        try:
            number = None if value is None else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if number is not None and not math.isfinite(number):
            self.mistakes.append(f"{name}={value}: a number is needed")
            return None
        return number

    def steps(self, name: str, key: str, value: float) -> None:
        """Whole steps; below 1 transformers means a share of them."""
        if value >= 1:
            self.set(key, int(value))
        else:
            self.leave(f"{name}={value}", f"the harness counts whole steps; give {key}=N")


def import_training(arguments: Mapping[str, Any], datasets: Registered | None = None) -> Imported:
    """Overrides that train what these arguments of `llamafactory-cli train` train. Reads and writes nothing.

    `datasets` None: what `dataset` names cannot be told. `deepspeed` is carried where it is the configuration itself,
    not the path of one. Raises UserError with all mistakes."""
    unknown = [name for name in arguments if name not in training_argument_names()]
    mistakes = [
        f"{name}: LLaMA-Factory has no such training argument; {near_argument(str(name))}".rstrip("; ")
        for name in unknown
    ]
    taking = _Taking({k: v for k, v in arguments.items() if v is not None and k not in unknown}, mistakes=mistakes)
    _model(taking)
    _method(taking)
    _data(taking, datasets)
    _training(taking)
    _validation(taking)
    _saving(taking)
    _device(taking)
    _tracking(taking)
    _others(taking)
    if taking.mistakes:
        raise UserError(taking.mistakes)
    return Imported(taking.overrides, taking.left_out)


def _model(taking: _Taking) -> None:
    taking.overrides.append("model=local")
    path = taking.take("model_name_or_path")
    if path is None:
        taking.leave("model_name_or_path", "the file names no model; give model.path=FOLDER")
    else:
        taking.set("model.path", str(path))
    if "template" not in taking.given:
        taking.leave("template", "the file names none, and the harness guesses none; give model.template=NAME")
    for name in ("template", "trust_remote_code"):
        if name in taking.given:
            taking.set(_DIRECT[name], taking.take(name))


def _method(taking: _Taking) -> None:
    stage, kind = taking.take("stage", "sft"), taking.take("finetuning_type", "lora")
    bits, by = taking.take("quantization_bit"), taking.take("quantization_method", "bnb")
    dtype, double = taking.take("quantization_type", "nf4"), taking.take("double_quantization", True)
    if stage != "sft":
        taking.mistakes.append(f"stage={stage}: the harness compares supervised fine-tuning alone (stage=sft)")
    if kind not in ("lora", "full"):
        taking.mistakes.append(f"finetuning_type={kind}: the harness knows lora and full")
    if bits is not None and (by != "bnb" or bits not in (4, 8)):
        taking.mistakes.append(
            f"quantization_bit={bits}, quantization_method={by}: the harness quantizes with bnb, to 4 or 8 bits"
        )
    if bits == 4:
        taking.overrides.append("method=qlora")
        if (dtype, double) != ("nf4", False):
            taking.set("quantization", "nf4_double" if dtype == "nf4" else dtype)
        if dtype != "nf4" and double:
            taking.set("quantization.double", True)
    else:
        taking.overrides += [f"method={kind}"] + (["quantization=int8"] if bits else [])
    target = taking.take("lora_target")
    if isinstance(target, list) and not all(isinstance(name, str) for name in target):
        taking.mistakes.append(f"lora_target={target}: names of modules are needed")
        target = None
    adapter = {key: taking.take(name) for name, key in _LORA.items()}
    adapter["method.target"] = ",".join(target) if isinstance(target, list) else target
    for key, value in adapter.items():
        if value is not None and kind == "lora":
            taking.set(key, value)


def _data(taking: _Taking, datasets: Registered | None) -> None:
    taking.overrides.append("dataset=local")
    folder = taking.take("dataset_dir", "data")
    names, validation = (_split(taking.take(name)) for name in ("dataset", "eval_dataset"))
    if not names:
        taking.leave("dataset", "the file names none; give dataset.path=FILE")
    absent = f"there is no {DATASET_INFO} in {folder}"
    found = {name: source_of(name, datasets) if datasets else absent for name in (*names, *validation)}
    trained, validated = (
        [source for name in listed if not isinstance(source := found[name], str)] for listed in (names, validation)
    )
    for argument, key, listed in (("dataset", "also", names), ("eval_dataset", "validation", validation)):
        for name in listed:
            if isinstance(why := found[name], str):
                # The first file that there is takes dataset.path, whatever its place.
                first = key == "also" and name == names[0] and not trained
                instead = "dataset.path=FILE" if first else f"'dataset.{key}=[{{path: FILE}}]'"
                taking.leave(f"{argument}={name}", f"{why}; give {instead}")
    if trained:
        for key, value in trained[0].items():
            taking.set(f"dataset.{key}", value)
    if trained[1:]:
        taking.set("dataset.also", trained[1:])
    if validated:
        taking.set("dataset.validation", validated)
    _names(taking, names, validation)
    if datasets and any(column in source.get("columns", {}) for source in trained for column in MEDIA):
        taking.given.setdefault("media_dir", str(datasets.folder))
    if size := taking.take("val_size"):
        taking.set("dataset.val_size", size)


def _names(taking: _Taking, names: list[str], validation: list[str]) -> None:
    """Rows keep the names they are registered under, where those can name files."""
    for key, listed, default, other in (
        ("train_name", names, "train", validation[:1] or ["validation"]),
        ("validation_name", validation, "validation", names[:1] or ["train"]),
    ):
        if listed and re.fullmatch(r"\w[\w.-]*", listed[0]) and listed[0] not in (default, *other):
            taking.set(f"dataset.{key}", listed[0])


def _split(names: Any) -> list[str]:
    listed = names if isinstance(names, list) else str(names or "").split(",")
    return [str(name).strip() for name in listed if str(name).strip()]


def _training(taking: _Taking) -> None:
    taking.overrides.append("training=llamafactory")
    for name, key in _DIRECT.items():
        if name in taking.given:
            taking.set(key, taking.take(name))
    if (most := taking.number("max_steps") or 0) > 0:
        taking.set("training.max_steps", int(most))
    steps, ratio = taking.number("warmup_steps"), taking.number("warmup_ratio")
    # transformers 5.6 takes the ratio where both are given, and either for the other by its size.
    warmup = steps if ratio is None else ratio
    if warmup is not None:
        taking.set(*(("training.warmup_steps", int(warmup)) if warmup >= 1 else ("training.warmup_ratio", warmup)))
    if ratio is not None and steps:
        taking.leave(f"warmup_steps={steps:g}", "transformers takes warmup_ratio where both are given")
    fp16, bf16 = taking.take("fp16", False), taking.take("bf16", False)
    if fp16 and bf16:
        taking.mistakes.append("fp16, bf16: both are true; LLaMA-Factory takes one")
    taking.set("training.precision", "fp16" if fp16 else "bf16" if bf16 else "fp32")
    if (disabled := taking.take("disable_gradient_checkpointing")) is not None:
        taking.set("training.gradient_checkpointing", not disabled)
    taking.set("seed", taking.take("seed", _DEFAULT_SEED))


def _validation(taking: _Taking) -> None:
    """The validation loss in the midst of training, and how often training is logged, which it goes by."""
    logging, steps = taking.number("logging_steps"), taking.number("eval_steps")
    if logging is not None:
        taking.steps("logging_steps", "training.logging_steps", logging)
    strategy = taking.take("eval_strategy", "no")
    if strategy == "steps":
        taking.steps("eval_steps", "training.validation_steps", steps or logging or _DEFAULT_STEPS)
    elif strategy not in ("no", False):
        taking.leave(f"eval_strategy={strategy}", "the harness validates by steps; give training.validation_steps=N")
    if taking.validates:
        size = taking.take("per_device_eval_batch_size", _DEFAULT_EVAL_BATCH_SIZE)
        trained = next((text for text in taking.overrides if text.startswith("training.batch_size=")), "=8")
        if str(size) != trained.partition("=")[2]:
            taking.given["per_device_eval_batch_size"] = size


def _saving(taking: _Taking) -> None:
    strategy, steps = taking.take("save_strategy", "steps"), taking.number("save_steps")
    if strategy == "steps":
        taking.steps("save_steps", "training.save_steps", _DEFAULT_STEPS if steps is None else steps)
        return
    taking.set("training.save_steps", None)
    if strategy not in ("no", False):
        taking.leave(f"save_strategy={strategy}", "the harness saves by steps; give training.save_steps=N")


def _device(taking: _Taking) -> None:
    if taking.take("use_cpu", False):
        taking.overrides.append("device=cpu")
    deepspeed = taking.take("deepspeed")
    if isinstance(deepspeed, str):
        taking.leave(
            "deepspeed", f"{deepspeed} is not here; `harness import` where it is, or +deepspeed=zero0 launch=cards"
        )
    elif deepspeed is not None:
        # It works with torchrun alone; more chips are device.chips=[0,1].
        taking.overrides.append("launch=cards")
        taking.given["deepspeed"] = deepspeed


def _tracking(taking: _Taking) -> None:
    reports = taking.take("report_to", "none")
    reports = [one for one in (reports if isinstance(reports, list) else [reports]) if one != "none"]
    mode, project = taking.take("swanlab_mode", "cloud"), taking.take("swanlab_project", "llamafactory")
    workspace, name = taking.take("swanlab_workspace"), taking.take("swanlab_run_name")
    if taking.take("use_swanlab", False) or "swanlab" in reports:
        taking.set("tracking", mode)
        taking.set("tracking.project", project)
        if workspace is not None:
            taking.set("tracking.workspace", workspace)
        if name is not None:
            taking.set("tracking.experiment", str(name).replace("{", "{{").replace("}", "}}"))
    others = [str(one) for one in reports if one != "swanlab"]
    if others:
        taking.leave(f"report_to={','.join(others)}", "the harness tracks with SwanLab (tracking=local|cloud|offline)")


def _others(taking: _Taking) -> None:
    """What the harness decides itself is left out, what it has no key for goes to LLaMA-Factory as it is."""
    for name, value in taking.given.items():
        if name in _SAME_HERE and value == _SAME_HERE[name]:
            continue
        if name.endswith(SECRETS):
            taking.leave(name, "a secret; set it as an environment variable (HF_TOKEN, SWANLAB_API_KEY)")
        elif name in _NOT_CARRIED:
            taking.leave(name, _NOT_CARRIED[name])
        else:
            taking.set(f"llamafactory.{name}", value)
