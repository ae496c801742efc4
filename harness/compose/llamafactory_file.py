"""From the arguments of `llamafactory-cli train` to overrides of the harness.

What a file leaves to LLaMA-Factory is left to it here too (conf/training/llamafactory.yaml). Every argument that it
gives becomes an override, or is named with the reason why not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.base.errors import UserError
from harness.base.paths import is_name
from harness.compose.hydra_values import written
from harness.compose.launched import Launched
from harness.compose.old_names import modernized
from harness.compose.registered import DATASET_INFO, Source, source
from harness.compose.registered import Registered as Registered
from harness.data.check import MEDIA
from harness.trainer.fields import (
    FIELDS,
    LEFT_OUT,
    REFUSED,
    declared_arguments,
    holds_secret,
    training_argument_names,
    unknown_argument,
)

_OF_LORA = ("lora_rank", "lora_alpha", "lora_dropout", "lora_target")
_OF_RAY = ("ray_num_workers", "ray_init_kwargs", "master_addr", "master_port")
_OF_SWANLAB = ("swanlab_mode", "swanlab_project", "swanlab_workspace", "swanlab_run_name")

_MEANT = {
    **dict.fromkeys(("model", "model_path", "model_name", "model_id", "base_model", "model_dir"), "model_name_or_path"),
    **dict.fromkeys(("batch_size", "train_batch_size", "micro_batch_size", "bs"), "per_device_train_batch_size"),
    **dict.fromkeys(("eval_batch_size", "val_batch_size"), "per_device_eval_batch_size"),
    **dict.fromkeys(("epochs", "epoch", "num_epochs", "train_epochs", "n_epochs"), "num_train_epochs"),
    **dict.fromkeys(("grad_accum", "gradient_accumulation", "accumulation_steps"), "gradient_accumulation_steps"),
    **dict.fromkeys(("lr", "learn_rate"), "learning_rate"),
    **dict.fromkeys(("scheduler", "lr_scheduler"), "lr_scheduler_type"),
    **dict.fromkeys(("max_len", "max_seq_len", "max_seq_length", "cutoff", "cutoff_length"), "cutoff_len"),
    **dict.fromkeys(("rank", "r", "lora_r"), "lora_rank"),
    **dict.fromkeys(("target_modules", "lora_target_modules", "lora_modules"), "lora_target"),
    **dict.fromkeys(("bits", "quantization", "load_in_4bit", "quant_bit"), "quantization_bit"),
    **dict.fromkeys(("datasets", "train_dataset", "data", "train_file", "train_data"), "dataset"),
    **dict.fromkeys(("data_dir", "data_path", "dataset_path"), "dataset_dir"),
    **dict.fromkeys(("val_dataset", "validation_dataset"), "eval_dataset"),
    **dict.fromkeys(("output", "out_dir", "output_path", "save_dir"), "output_dir"),
    **dict.fromkeys(("method", "train_type", "finetune_type", "tuning_type"), "finetuning_type"),
    **dict.fromkeys(("adapter", "adapter_path", "lora_path"), "adapter_name_or_path"),
    **dict.fromkeys(("prompt_format", "chat_template"), "template"),
    "alpha": "lora_alpha",
    "random_seed": "seed",
}
"""Names that people give, other tools' too, which are not near enough to the argument that they mean."""


@dataclass(frozen=True)
class Imported:
    """A training as overrides, and what became of everything else that was said of it. None of it holds a secret."""

    overrides: list[str]
    left_out: list[str]
    """`argument: why it is not carried, and what to do instead`."""
    renamed: list[str]
    """`old: what it is called now`."""
    idle: list[str]
    """`argument: why it has no effect`, in LLaMA-Factory neither."""
    anyway: list[str]
    """Arguments that say what is so in the harness without them."""


@dataclass
class _Taking:
    """The arguments that nobody has taken yet, and what became of the others. None of them is null."""

    given: dict[str, Any]
    overrides: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)
    anyway: list[str] = field(default_factory=list)
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

    def rest(self, names: Collection[str], why: str) -> None:
        """Of `names` those that are given have no effect."""
        for name in [name for name in self.given if name in names]:
            self.idle.append(f"{name}: {why}")
            del self.given[name]

    def drop(self, name: str, value: Any) -> None:
        """The argument where it is given as `value`: the harness does so anyway."""
        if name in self.given and self.given[name] == value:
            self.anyway.append(name)
            del self.given[name]

    def number(self, name: str) -> float | None:
        """The argument where it is given."""
        value = self.given.pop(name, None)
        try:
            number = None if value is None else float(value)
        except (TypeError, ValueError, OverflowError):
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


def import_training(
    arguments: Mapping[str, Any], datasets: Registered | None = None, launched: Launched | None = None
) -> Imported:
    """Return overrides that train what these arguments of `llamafactory-cli train` train. Reads and writes nothing.

    `datasets` None: what `dataset` names cannot be told. `deepspeed` is carried where it is the configuration itself,
    not the path of one. `launched`: how the training was started, where a command line tells. Raises UserError with all
    mistakes."""
    modern = modernized(arguments)
    unknown = [name for name in modern.arguments if name not in training_argument_names()]
    taking = _Taking({name: value for name, value in modern.arguments.items() if name not in unknown})
    taking.left_out += modern.left_out
    taking.mistakes += [f"{name}: {_unknown(str(name), taking.given)}" for name in unknown]
    _nulls(taking)
    _model(taking)
    _method(taking)
    started = launched or Launched()
    _data(taking, datasets, started.hub)
    _training(taking)
    _steps(taking)
    _device(taking, started)
    _tracking(taking)
    _rest(taking)
    if taking.mistakes:
        raise UserError(taking.mistakes)
    return Imported(taking.overrides, taking.left_out, modern.renamed, taking.idle, taking.anyway)


def _unknown(name: str, given: Collection[str]) -> str:
    meant = _MEANT.get(re.sub(r"[-.]", "_", name).lower())
    if meant is None:
        return unknown_argument(name)
    why = "LLaMA-Factory has no such training argument"
    return f"{why}; it is {meant}, which is given too" if meant in given else f"{why}; did you mean {meant}?"


def _nulls(taking: _Taking) -> None:
    """A null says nothing, but where LLaMA-Factory means something by it, as by enable_thinking=null."""
    for name in [name for name, value in taking.given.items() if value is None]:
        declared = declared_arguments()[name]
        may_be_null = declared.default is None or "None" in declared.annotation
        if declared.default is None or (may_be_null and name in FIELDS):
            taking.anyway.append(name)
        elif may_be_null:
            taking.set(f"llamafactory.{name}", None)
        else:
            taking.leave(name, f"null, which it cannot be; LLaMA-Factory's own {declared.default} is taken")
        del taking.given[name]


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
    if "do_train" not in taking.given:
        taking.idle.append("do_train: is not given, so that LLaMA-Factory by itself trains nothing; the harness trains")
    taking.drop("stage", "sft")
    stage, kind = taking.take("stage"), taking.take("finetuning_type")
    bits = taking.take("quantization_bit")
    if bits is None:
        taking.rest(("quantization_method", "quantization_type", "double_quantization"), "nothing is quantized")
    elif bits == 8:
        taking.rest(("quantization_type", "double_quantization"), "is for 4 bits; quantization_bit is 8")
    by = taking.take("quantization_method")
    dtype, double = taking.take("quantization_type"), taking.take("double_quantization")
    if stage != "sft":
        taking.mistakes.append(f"stage={stage}: the harness compares supervised fine-tuning alone (stage=sft)")
    if kind not in ("lora", "full"):
        taking.mistakes.append(f"finetuning_type={kind}: the harness knows lora and full")
    if isinstance(bits, str) and bits.strip() in ("4", "8"):
        taking.mistakes.append(
            f"quantization_bit={bits!r}: is a text, which LLaMA-Factory takes for no number and refuses; write {bits} "
            "without quotes"
        )
    elif bits is not None and (by != "bnb" or bits not in (4, 8)):
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
        taking.rest(_OF_LORA, "is LoRA's, and every weight is trained (finetuning_type=full)")
        return
    if (alpha := taking.take("lora_alpha")) is not None:
        taking.set("method.alpha", alpha)
    target = taking.given.get("lora_target")
    if isinstance(target, list):
        if not all(isinstance(name, str) for name in target):
            taking.mistakes.append(f"lora_target={target}: names of modules are needed")
        taking.given["lora_target"] = ",".join(map(str, target))


def _data(taking: _Taking, datasets: Registered | None, hub: str | None) -> None:
    taking.overrides.append("dataset=local")
    folder = taking.take("dataset_dir")
    names, validation = (_split(taking.take(name)) for name in ("dataset", "eval_dataset"))
    if not names:
        taking.leave("dataset", "the file names none; give dataset.path=FILE")
    for argument, listed in (("dataset", names), ("eval_dataset", validation)):
        for name in [name for place, name in enumerate(listed) if name in listed[:place]]:
            taking.idle.append(f"{argument}={name}: is named more than once, and LLaMA-Factory takes it once")
    names, validation = (list(dict.fromkeys(listed)) for listed in (names, validation))
    absent = Source({"path": "FILE"}, why_not=_absent(folder))
    found = {name: source(name, datasets, hub) if datasets else absent for name in (*names, *validation)}
    _cuts(taking, list(found.values()))
    trained, validated = (
        [found[name].keys for name in listed if found[name].why_not is None] for listed in (names, validation)
    )
    for argument, key, listed in (("dataset", "also", names), ("eval_dataset", "validation", validation)):
        for name in listed:
            if (why := found[name].why_not) is not None:
                # The first file that there is takes dataset.path, whatever its place.
                first = key == "also" and name == names[0] and not trained
                instead = found[name].given_by("dataset." if first else f"dataset.{key}=")
                taking.leave(f"{argument}={name}", f"{why}{instead}")
    taking.idle += [line for each in found.values() for line in each.unread]
    if trained:
        for key, value in trained[0].items():
            taking.set(f"dataset.{key}", value)
    if trained[1:]:
        taking.set("dataset.also", trained[1:])
    if validated:
        taking.set("dataset.validation", validated)
    _names(taking, names, validation)
    _mix(taking, len(names), len(trained))
    if datasets and any(column in keys.get("columns", {}) for keys in trained for column in MEDIA):
        taking.given.setdefault("media_dir", str(datasets.folder))
    if not taking.given.get("val_size", 1):
        taking.drop("val_size", taking.given["val_size"])
    if validation or "val_size" in taking.given:
        _evaluation_batch(taking)


def _absent(folder: Any) -> str:
    if isinstance(folder, str) and folder.startswith(("ONLINE", "REMOTE:")):
        return f"dataset_dir={folder} asks a hub; the harness takes a file, as dataset.repository and dataset.file"
    return f"there is no {DATASET_INFO} in {folder}"


def _cuts(taking: _Taking, sources: list[Source]) -> None:
    """The first rows of each file, which LLaMA-Factory takes by a split (`train[:500]`) or by max_samples."""
    most = taking.given.get("max_samples")
    if all(each.rows is None for each in sources) or isinstance(most, str | list | dict):
        return
    least = [min((count for count in (each.rows, most) if count is not None), default=None) for each in sources]
    if len(set(least)) == 1:
        taking.given["max_samples"] = least[0]
        return
    for each in sources:
        if each.rows is not None and each.rows != most:
            each.why_not = (
                f"split=train[:{each.rows}]: the harness cuts all files at one count (dataset.max_samples); "
                "make a file of these rows"
            )


def _mix(taking: _Taking, named: int, carried: int) -> None:
    """How often each dataset is drawn from, which counts them."""
    probabilities = taking.given.get("interleave_probs")
    if probabilities is None:
        return
    if taking.given.get("mix_strategy", "concat") == "concat":
        taking.mistakes.append("interleave_probs: is for interleaved datasets; give mix_strategy=interleave_under too")
    elif len(_split(probabilities)) != named:
        taking.mistakes.append(
            f"interleave_probs={probabilities}: one for each dataset is needed, and there are {named}"
        )
    elif named != carried:
        del taking.given["interleave_probs"]
        taking.leave(
            f"interleave_probs={probabilities}",
            f"{carried} of {named} datasets are carried; with all of them give llamafactory.interleave_probs=[...] too",
        )


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
    name = "per_device_eval_batch_size"
    size = taking.given.get(name, FIELDS[name].default)
    trained = taking.given.get("per_device_train_batch_size", FIELDS["per_device_train_batch_size"].default)
    if str(size) == str(trained):
        taking.drop(name, size)
    else:
        taking.given[name] = size


def _split(names: Any) -> list[str]:
    listed = names if isinstance(names, list) else str(names or "").split(",")
    return [str(name).strip() for name in listed if str(name).strip()]


def _training(taking: _Taking) -> None:
    taking.overrides.append("training=llamafactory")
    if (most := taking.number("max_steps")) is not None:
        taking.set("training.max_steps", int(most) if most > 0 else None)
    steps, ratio = taking.number("warmup_steps"), taking.number("warmup_ratio")
    # transformers 5.6 takes the ratio where both are given, and either for the other by its size.
    warmup = steps if ratio is None else ratio
    if warmup is not None:
        taking.set(*(("training.warmup_steps", int(warmup)) if warmup >= 1 else ("training.warmup_ratio", warmup)))
    if ratio is not None and steps is not None:
        taking.idle.append(f"warmup_steps={steps:g}: transformers takes warmup_ratio where both are given")
    fp16, bf16 = taking.take("fp16"), taking.take("bf16")
    if fp16 and bf16:
        taking.mistakes.append("fp16, bf16: both are true; LLaMA-Factory takes one")
    taking.set("training.precision", "fp16" if fp16 else "bf16" if bf16 else "fp32")
    if "disable_gradient_checkpointing" in taking.given:
        taking.set("training.gradient_checkpointing", not taking.take("disable_gradient_checkpointing"))
    taking.set("seed", taking.take("seed"))


def _steps(taking: _Taking) -> None:
    """What is done every so many steps: logs, the validation loss, which goes by them, and checkpoints."""
    logging = taking.number("logging_steps")
    if logging is not None:
        taking.steps("logging_steps", logging)
    strategy = taking.take("eval_strategy")
    if strategy == "steps":
        taking.steps("eval_steps", taking.number("eval_steps") or logging or FIELDS["logging_steps"].default)
    else:
        taking.rest(("eval_steps",), f"nothing goes by it, eval_strategy is {strategy}")
    if strategy not in ("steps", "no", False):
        taking.leave(f"eval_strategy={strategy}", "the harness validates by steps; give training.validation_steps=N")
    saving = taking.take("save_strategy")
    if saving == "steps":
        steps = taking.number("save_steps")
        taking.steps("save_steps", FIELDS["save_steps"].default if steps is None else steps)
    else:
        taking.rest(("save_steps",), f"nothing goes by it, save_strategy is {saving}")
        taking.set("training.save_steps", None)
    if saving not in ("steps", "no", False):
        taking.leave(f"save_strategy={saving}", "the harness saves by steps; give training.save_steps=N")
    if (strategy, saving) != ("steps", "steps") and taking.given.get("load_best_model_at_end"):
        del taking.given["load_best_model_at_end"]
        taking.leave(
            "load_best_model_at_end",
            "needs validation and checkpoints by steps; give training.validation_steps=N training.save_steps=N "
            "llamafactory.load_best_model_at_end=true",
        )


def _device(taking: _Taking, launched: Launched) -> None:
    taking.drop("use_cpu", False)
    on_cpu = bool(taking.take("use_cpu"))
    deepspeed = taking.given.get("deepspeed")
    if isinstance(deepspeed, str):
        del taking.given["deepspeed"]
        taking.leave(
            "deepspeed",
            f"{deepspeed} is not here; `harness import` where it is, or +deepspeed=zero0 launch={launched.launch}",
        )
    # It works with torchrun alone; more chips are device.chips=[0,1].
    overrides, left_out = launched.overrides(on_cpu, by_torchrun=isinstance(deepspeed, Mapping))
    taking.overrides += overrides
    taking.left_out += [*launched.left_out, *left_out]
    taking.mistakes += launched.mistakes


def _tracking(taking: _Taking) -> None:
    for name, value in (("use_swanlab", False), ("report_to", "none"), ("report_to", [])):
        taking.drop(name, value)
    reports = taking.take("report_to")
    reports = [name for name in (reports if isinstance(reports, list) else [reports]) if name != "none"]
    if taking.take("use_swanlab") or "swanlab" in reports:
        mode, project = taking.take("swanlab_mode"), taking.take("swanlab_project")
        workspace, name = taking.take("swanlab_workspace"), taking.take("swanlab_run_name")
        taking.set("tracking", mode)
        taking.set("tracking.project", project)
        if workspace is not None:
            taking.set("tracking.workspace", workspace)
        if name is not None:
            taking.set("tracking.experiment", str(name).replace("{", "{{").replace("}", "}}"))
    taking.rest(_OF_SWANLAB, "use_swanlab is not given, and nothing tracks with SwanLab")
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
            taking.anyway.append(name)
        elif name in _OF_RAY:
            taking.leave(name, "is Ray's; the harness starts its processes itself, by launch=cards or launch=nodes")
        elif name in LEFT_OUT or name in REFUSED:
            taking.leave(name, LEFT_OUT.get(name) or REFUSED[name])
        elif holds_secret(name):
            taking.leave(name, "a secret; set it as an environment variable (HF_TOKEN, SWANLAB_API_KEY)")
        else:
            taking.set(f"llamafactory.{name}", value)
