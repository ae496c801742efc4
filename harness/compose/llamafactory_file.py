"""From the arguments of `llamafactory-cli train` to overrides of the harness.

What a file leaves to LLaMA-Factory is left to it here too (conf/training/llamafactory.yaml).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.base.errors import UserError
from harness.base.paths import is_name
from harness.compose.hydra_values import written
from harness.config.schema import SourceConfig
from harness.data.check import COLUMNS, MEDIA, TAGS
from harness.data.sources import SUFFIXES
from harness.trainer.fields import (
    FIELDS,
    LEFT_OUT,
    REFUSED,
    holds_secret,
    training_argument_names,
    unknown_argument,
)

DATASET_INFO = "dataset_info.json"


@dataclass(frozen=True)
class Registered:
    """A LLaMA-Factory dataset_dir."""

    folder: Path
    entries: Mapping[str, Any]
    """What its dataset_info.json says, by name."""


@dataclass(frozen=True)
class Imported:
    """A training file as overrides, with what cannot be carried over."""

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

    def take(self, name: str) -> Any:
        """The argument, or what LLaMA-Factory takes where it is silent."""
        return self.given.pop(name, FIELDS[name].default)

    def set(self, key: str, value: Any) -> None:
        try:
            self.overrides.append(f"{key}={written(value)}")
        except ValueError as error:
            self.leave(key, f"its value {error}")

    def leave(self, name: str, why: str) -> None:
        self.left_out.append(f"{name}: {why}")

    def number(self, name: str) -> float | None:
        """The argument where it is given."""
        value = self.given.pop(name, None)
        try:
            number = None if value is None else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if number is not None and not math.isfinite(number):
            self.mistakes.append(f"{name}={value}: a number is needed")
            return None
        return number

    def steps(self, name: str, value: float) -> None:
        """Whole steps; below 1 transformers means a share of them."""
        key = FIELDS[name].key or name
        if value >= 1:
            self.set(key, int(value))
        else:
            self.leave(f"{name}={value}", f"the harness counts whole steps; give {key}=N")


def import_training(arguments: Mapping[str, Any], datasets: Registered | None = None) -> Imported:
    """Return overrides that train what these arguments of `llamafactory-cli train` train. Reads and writes nothing.

    `datasets` None: what `dataset` names cannot be told. `deepspeed` is carried where it is the configuration itself,
    not the path of one. Raises UserError with all mistakes."""
    unknown = [name for name in arguments if name not in training_argument_names()]
    mistakes = [f"{name}: {unknown_argument(str(name))}" for name in unknown]
    taking = _Taking({k: v for k, v in arguments.items() if v is not None and k not in unknown}, mistakes=mistakes)
    _model(taking)
    _method(taking)
    _data(taking, datasets)
    _training(taking)
    _steps(taking)
    _device(taking)
    _tracking(taking)
    _rest(taking)
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


def _method(taking: _Taking) -> None:
    stage, kind = taking.take("stage"), taking.take("finetuning_type")
    bits, by = taking.take("quantization_bit"), taking.take("quantization_method")
    dtype, double = taking.take("quantization_type"), taking.take("double_quantization")
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
    _adapter(taking, trained=kind == "lora")


def _adapter(taking: _Taking, trained: bool) -> None:
    """The arguments of LoRA, which mean nothing where it is not trained."""
    if not trained:
        for name in ("lora_rank", "lora_alpha", "lora_dropout", "lora_target"):
            taking.take(name)
        return
    if (alpha := taking.take("lora_alpha")) is not None:
        taking.set("method.alpha", alpha)
    target = taking.given.get("lora_target")
    if isinstance(target, list):
        if not all(isinstance(name, str) for name in target):
            taking.mistakes.append(f"lora_target={target}: names of modules are needed")
        taking.given["lora_target"] = ",".join(map(str, target))


def _data(taking: _Taking, datasets: Registered | None) -> None:
    taking.overrides.append("dataset=local")
    folder = taking.take("dataset_dir")
    names, validation = (_split(taking.take(name)) for name in ("dataset", "eval_dataset"))
    if not names:
        taking.leave("dataset", "the file names none; give dataset.path=FILE")
    absent = f"there is no {DATASET_INFO} in {folder}"
    found = {name: _source(name, datasets) if datasets else absent for name in (*names, *validation)}
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
    if not taking.given.get("val_size"):
        taking.take("val_size")
    if validation or "val_size" in taking.given:
        _evaluation_batch(taking)


def _source(name: str, datasets: Registered) -> dict[str, Any] | str:
    """The keys of a SourceConfig, or why there can be none."""
    entry = datasets.entries.get(name)
    if not isinstance(entry, Mapping):
        return f"{datasets.folder / DATASET_INFO} registers no such name"
    file, default = entry.get("file_name"), SourceConfig()
    if any(key in entry for key in ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")):
        return "it is fetched from a hub or made by a script; the harness takes one file of a dataset"
    if not isinstance(file, str) or Path(file).suffix not in SUFFIXES:
        return f"file_name={file}: the harness reads {', '.join(SUFFIXES)}"
    if entry.get("ranking") or entry.get("num_samples"):
        key = "ranking" if entry.get("ranking") else "num_samples"
        return f"{key}={entry[key]}: the harness knows no such key of {DATASET_INFO}"
    formatting = entry.get("formatting", default.formatting)
    if formatting not in ("alpaca", "sharegpt"):
        return f"formatting={formatting}: the harness knows alpaca and sharegpt"
    source: dict[str, Any] = {"path": str(datasets.folder / file)}
    if formatting != default.formatting:
        source["formatting"] = formatting
    for key, known in (("columns", COLUMNS), ("tags", TAGS)):
        mapped = {name: column for name, column in (entry.get(key) or {}).items() if column and name in known}
        if mapped:
            source[key] = mapped
    return source


def _names(taking: _Taking, names: list[str], validation: list[str]) -> None:
    """Rows keep the names they are registered under, where those can name files."""
    for key, listed, default, other in (
        ("train_name", names, "train", validation[:1] or ["validation"]),
        ("validation_name", validation, "validation", names[:1] or ["train"]),
    ):
        if listed and is_name(listed[0]) and listed[0] not in (default, *other):
            taking.set(f"dataset.{key}", listed[0])


def _evaluation_batch(taking: _Taking) -> None:
    """The batch of the validation rows, where it is another than the training's, whose size a run gives it."""
    size = taking.take("per_device_eval_batch_size")
    trained = taking.given.get("per_device_train_batch_size", FIELDS["per_device_train_batch_size"].default)
    if str(size) != str(trained):
        taking.given["per_device_eval_batch_size"] = size


def _split(names: Any) -> list[str]:
    listed = names if isinstance(names, list) else str(names or "").split(",")
    return [str(name).strip() for name in listed if str(name).strip()]


def _training(taking: _Taking) -> None:
    taking.overrides.append("training=llamafactory")
    if (most := taking.number("max_steps") or 0) > 0:
        taking.set("training.max_steps", int(most))
    steps, ratio = taking.number("warmup_steps"), taking.number("warmup_ratio")
    # transformers 5.6 takes the ratio where both are given, and either for the other by its size.
    warmup = steps if ratio is None else ratio
    if warmup is not None:
        taking.set(*(("training.warmup_steps", int(warmup)) if warmup >= 1 else ("training.warmup_ratio", warmup)))
    if ratio is not None and steps:
        taking.leave(f"warmup_steps={steps:g}", "transformers takes warmup_ratio where both are given")
    fp16, bf16 = taking.take("fp16"), taking.take("bf16")
    if fp16 and bf16:
        taking.mistakes.append("fp16, bf16: both are true; LLaMA-Factory takes one")
    taking.set("training.precision", "fp16" if fp16 else "bf16" if bf16 else "fp32")
    if disabled := taking.take("disable_gradient_checkpointing"):
        taking.set("training.gradient_checkpointing", not disabled)
    taking.set("seed", taking.take("seed"))


def _steps(taking: _Taking) -> None:
    """What is done every so many steps: logs, the validation loss, which goes by them, and checkpoints."""
    logging, validation = taking.number("logging_steps"), taking.number("eval_steps")
    if logging is not None:
        taking.steps("logging_steps", logging)
    strategy = taking.take("eval_strategy")
    if strategy == "steps":
        taking.steps("eval_steps", validation or logging or FIELDS["logging_steps"].default)
    elif strategy not in ("no", False):
        taking.leave(f"eval_strategy={strategy}", "the harness validates by steps; give training.validation_steps=N")
    strategy, saving = taking.take("save_strategy"), taking.number("save_steps")
    if strategy == "steps":
        taking.steps("save_steps", FIELDS["save_steps"].default if saving is None else saving)
        return
    taking.set("training.save_steps", None)
    if strategy not in ("no", False):
        taking.leave(f"save_strategy={strategy}", "the harness saves by steps; give training.save_steps=N")


def _device(taking: _Taking) -> None:
    if taking.take("use_cpu"):
        taking.overrides.append("device=cpu")
    deepspeed = taking.given.get("deepspeed")
    if isinstance(deepspeed, str):
        del taking.given["deepspeed"]
        taking.leave(
            "deepspeed", f"{deepspeed} is not here; `harness import` where it is, or +deepspeed=zero0 launch=cards"
        )
    elif deepspeed is not None:
        # It works with torchrun alone; more chips are device.chips=[0,1].
        taking.overrides.append("launch=cards")


def _tracking(taking: _Taking) -> None:
    reports = taking.take("report_to")
    reports = [name for name in (reports if isinstance(reports, list) else [reports]) if name != "none"]
    mode, project = taking.take("swanlab_mode"), taking.take("swanlab_project")
    workspace, name = taking.take("swanlab_workspace"), taking.take("swanlab_run_name")
    if taking.take("use_swanlab") or "swanlab" in reports:
        taking.set("tracking", mode)
        taking.set("tracking.project", project)
        if workspace is not None:
            taking.set("tracking.workspace", workspace)
        if name is not None:
            taking.set("tracking.experiment", str(name).replace("{", "{{").replace("}", "}}"))
    others = [str(name) for name in reports if name != "swanlab"]
    if others:
        taking.leave(f"report_to={','.join(others)}", "the harness tracks with SwanLab (tracking=local|cloud|offline)")


def _rest(taking: _Taking) -> None:
    """What has the same value under a key of ours goes there, what is so in every run nowhere, and what the harness has
    no key for to LLaMA-Factory as it is."""
    for name, value in taking.given.items():
        known = FIELDS.get(name)
        if known and known.kind == "same" and known.key:
            taking.set(known.key, value)
        elif known and known.kind == "constant" and value == known.value:
            continue
        elif holds_secret(name):
            taking.leave(name, "a secret; set it as an environment variable (HF_TOKEN, SWANLAB_API_KEY)")
        elif name in LEFT_OUT or name in REFUSED:
            taking.leave(name, LEFT_OUT.get(name) or REFUSED[name])
        else:
            taking.set(f"llamafactory.{name}", value)
