"""Every rule that a combination of keys can break. A mistake names the key, what is wrong and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from harness.config.schema import MERGED, TARGETS, Config, SourceConfig
from harness.data.check import mapping_problems, row_problems
from harness.data.sources import SourceError, locate, read_records
from harness.devices.device import Device, DeviceError, Wish, choose
from harness.launch import torchrun as launch
from harness.trainer.known_arguments import near_argument, training_argument_names

PRECISIONS = ("auto", "fp32", "fp16", "bf16")
HUBS = ("huggingface", "modelscope", "local")
SECRETS = ("token", "api_key", "password", "secret")
"""How the names of arguments that hold one end; `tokenized_path` and `max_new_tokens` hold none."""


def check(config: Config) -> list[str]:
    """All mistakes of one configuration; an empty list when there is none."""
    return [
        *_values(config),
        *_quantization(config),
        *_model(config),
        *_data(config),
        *_evaluation(config),
        *_device(config),
        *_llamafactory(config),
    ]


def check_rows(config: Config) -> list[str]:
    """Those of them that concern the rows alone."""
    all_mistakes = (*_values(config), *_model(config), *_data(config))
    return [mistake for mistake in all_mistakes if mistake.startswith(("dataset.", "model.hub="))]


def _values(config: Config) -> Iterator[str]:
    method, training, evaluation = config.method, config.training, config.evaluation
    positive = {
        "method.rank": method.rank,
        "method.alpha": method.alpha,
        "training.learning_rate": training.learning_rate,
        "training.epochs": training.epochs,
        "training.max_steps": training.max_steps,
        "training.batch_size": training.batch_size,
        "training.gradient_accumulation": training.gradient_accumulation,
        "training.cutoff_length": training.cutoff_length,
        "training.logging_steps": training.logging_steps,
        "training.validation_steps": training.validation_steps,
        "training.save_steps": training.save_steps,
        "dataset.train_samples": config.dataset.train_samples,
        "dataset.max_samples": config.dataset.max_samples,
        "dataset.val_size": config.dataset.val_size,
        "evaluation.limit": evaluation.limit,
        "evaluation.batch_size": evaluation.batch_size,
        "evaluation.max_new_tokens": evaluation.max_new_tokens,
        "device.interval_seconds": config.device.interval_seconds,
        "device.threads": config.device.threads,
    }
    for key, value in positive.items():
        if value is not None and value <= 0:
            yield f"{key}={value}: must be greater than 0"
    for key, value in {
        "seed": config.seed,
        "dataset.validation_samples": config.dataset.validation_samples,
        "evaluation.few_shot": evaluation.few_shot,
        "training.warmup_steps": training.warmup_steps,
    }.items():
        if value is not None and value < 0:
            yield f"{key}={value}: must be 0 or greater"
    if not 0 <= method.dropout < 1:
        yield f"method.dropout={method.dropout}: must be at least 0 and below 1"
    if not 0 <= training.warmup_ratio < 1:
        yield f"training.warmup_ratio={training.warmup_ratio}: a share of all steps, at least 0 and below 1"
    if not 0 < config.dataset.validation_fraction < 1:
        yield f"dataset.validation_fraction={config.dataset.validation_fraction}: must be between 0 and 1"
    if training.precision not in PRECISIONS:
        yield f"training.precision={training.precision}: must be one of {', '.join(PRECISIONS)}"
    if method.finetuning_type not in ("lora", "full"):
        yield f"method.finetuning_type={method.finetuning_type}: must be lora or full"
    if config.tracking.mode not in ("local", "cloud", "offline", "disabled"):
        yield f"tracking.mode={config.tracking.mode}: must be local, cloud, offline or disabled"
    if config.dataset.val_size and config.dataset.validation_samples:
        yield (
            f"dataset.val_size={config.dataset.val_size}: the rows are held out already; "
            "set dataset.validation_samples=0, or leave val_size out"
        )
    dataset = config.dataset
    if dataset.validation and (dataset.val_size or dataset.validation_samples):
        yield (
            "dataset.validation: rows are held out already; leave it out, or set dataset.val_size=null and "
            "dataset.validation_samples=0"
        )
    if training.validation_steps and not (dataset.validation_samples or dataset.val_size or dataset.validation):
        yield (
            f"training.validation_steps={training.validation_steps}: there are no rows to validate on; "
            "set dataset.validation_samples, or training.validation_steps=null"
        )
    try:
        (config.tracking.experiment or "").format(arm="lora", seed=0)
    except (KeyError, IndexError, ValueError):
        yield f"tracking.experiment={config.tracking.experiment}: {{arm}} and {{seed}} are filled in, and nothing else"
    if "," in (full := str(Path(config.output).resolve())):
        yield f"output={config.output}: LLaMA-Factory parts paths at the comma in {full}; use a folder without one"
    for key, name in {"sweep": config.sweep, "arm": config.arm or "arm"}.items():
        if not re.fullmatch(r"\w[\w.-]*", name):
            yield f"{key}={name!r}: names a folder; use letters, digits, dots, dashes and underscores"


def _quantization(config: Config) -> Iterator[str]:
    quantization, method = config.quantization, config.method
    if quantization.bits not in (None, 4, 8):
        yield f"quantization.bits={quantization.bits}: use 4 or 8, or null for weights as they are"
    if quantization.type not in ("nf4", "fp4"):
        yield f"quantization.type={quantization.type}: must be nf4 or fp4"
    if quantization.bits and method.finetuning_type == "full":
        yield (
            f"quantization={quantization.name}: a quantized base cannot be trained in full (method={method.name}); "
            "use method=qlora, or quantization=none"
        )
    if quantization.bits is None and method.name == "qlora" and quantization.name != "none":
        yield "quantization.bits=null: method=qlora needs a quantized base; use 4 or 8, or method=lora"


def _model(config: Config) -> Iterator[str]:
    model = config.model
    if model.hub not in HUBS:
        yield f"model.hub={model.hub}: must be one of {', '.join(HUBS)}"
    if model.path is None:
        if model.shape is None:
            yield "model.path: a value is needed; give a folder or a hub id, or model=random with a model.shape"
        elif model.shape not in model.shapes:
            yield f"model.shape={model.shape}: there is {', '.join(model.shapes)}"
        return
    folder = Path(model.path).expanduser()
    owner = model.path.partition("/")[0]
    looks_like_hub_id = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model.path) and not Path(owner).exists()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            yield f"model.path={model.path}: is not a model: there is no config.json in this folder"
        elif not [*folder.glob("*.safetensors"), *folder.glob("*.bin")]:
            yield f"model.path={model.path}: is not a model: no weights (*.safetensors or *.bin) in this folder"
    elif folder.exists():
        yield f"model.path={model.path}: is a file; give the folder that holds config.json and the weights"
    elif not looks_like_hub_id or model.hub == "local":
        yield (
            f"model.path={model.path}: no such folder; "
            "give a folder with config.json and weights, or a hub id (owner/name) with model.hub=huggingface|modelscope"
        )


def _data(config: Config) -> Iterator[str]:
    dataset, evaluation = config.dataset, config.evaluation
    yield from _source(config, "dataset", dataset)
    for key, sources in (("also", dataset.also), ("validation", dataset.validation)):
        for number, source in enumerate(sources):
            yield from _source(config, f"dataset.{key}[{number}]", source)
    for key, name in {"train_name": dataset.train_name, "validation_name": dataset.validation_name}.items():
        if not re.fullmatch(r"\w[\w.-]*", name):
            yield f"dataset.{key}={name!r}: names a file; use letters, digits, dots, dashes and underscores"
        if name == "dataset_info":
            yield f"dataset.{key}={name}: is the name of LLaMA-Factory's own list of datasets; use another"
    if dataset.train_name == dataset.validation_name:
        yield f"dataset.validation_name={dataset.validation_name}: is dataset.train_name too; give each its own"
    if evaluation.path is not None:
        if evaluation.benchmark in (None, "arithmetic"):
            yield (
                f"evaluation.path={evaluation.path}: evaluation={evaluation.name} takes no file; "
                "use evaluation=gsm8k for GSM8K's questions"
            )
        elif not Path(evaluation.path).expanduser().exists():
            yield f"evaluation.path={evaluation.path}: no such file"


def _evaluation(config: Config) -> Iterator[str]:
    evaluation = config.evaluation
    key = f"evaluation.targets=[{','.join(evaluation.targets)}]"
    for target in evaluation.targets:
        if target not in TARGETS:
            yield f"{key}: there is no {target}; there is {', '.join(TARGETS)}"
    if not evaluation.targets and (evaluation.benchmark or evaluation.prompts):
        what = f"evaluation={evaluation.name}" if evaluation.benchmark else "evaluation.prompts"
        yield f"{key}: {what} has nothing to ask; name some of {', '.join(TARGETS)}"
    if MERGED in evaluation.targets and config.method.finetuning_type == "full":
        yield f"{key}: method={config.method.name} has no adapter to merge; leave {MERGED} out"
    for number, one in enumerate(evaluation.prompts):
        if not one.prompt.strip():
            yield f"evaluation.prompts[{number}].prompt: a text is needed"
        if one.expected is not None and not one.expected.strip():
            yield (
                f"evaluation.prompts[{number}].expected: every answer holds an empty text; "
                "give one that a right answer must hold, or leave expected out"
            )


def _source(config: Config, key: str, source: SourceConfig) -> Iterator[str]:
    dataset, hub = config.dataset, config.model.hub
    wrong = [f"{key}.{problem}" for problem in mapping_problems(source)]
    if source.path is None and source.repository is not None:
        if hub == "local":
            wrong.append(f"{key}.repository={source.repository}: model.hub=local fetches nothing; use modelscope")
        elif source.file is None:
            wrong.append(f"{key}.file: a value is needed, the path of a file inside of {source.repository}")
    elif source.path is None and (source is not dataset or dataset.name != "arithmetic"):
        given = f"{key}.path=FILE" if source is dataset else f"'{key.partition('[')[0]}=[{{path: FILE}}]'"
        wrong.append(f"{key}.path: dataset={dataset.name} needs a file; give {given} (JSON, JSONL or parquet)")
    yield from wrong
    if wrong:
        return
    place = f"{key}.path={source.path}" if source.path is not None else f"{key}.repository={source.repository}"
    try:
        path = locate(source, hub)
        problems = [] if path is None else row_problems(read_records(path), source, dataset.append_answer)
    except SourceError as error:
        problems = [str(error)]
    yield from (f"{place}: {problem}" for problem in problems)


def _device(config: Config) -> Iterator[str]:
    try:
        device = device_of(config)
    except DeviceError as error:
        elsewhere = "; a dry run needs none: device=cpu device.chips=null training.precision=auto"
        yield f"{error}{elsewhere if config.dry_run else ''}"
        return
    precision = config.training.precision
    if precision == "bf16" and device.supports_bf16 is False:
        yield f"training.precision=bf16: {device.product} has no bf16; use fp16 or auto"
    if precision == "fp16" and device.torch_device == "cpu":
        yield "training.precision=fp16: mixed fp16 needs an accelerator; on a CPU use fp32, bf16 or auto"
    yield from launch.problems(config.launch, device)


def device_of(config: Config, kind: str | None = None) -> Device:
    """The device that is asked for, or one of another kind (auto, cpu, cuda, ascend). Raises DeviceError."""
    wanted = config.device
    return choose(kind or wanted.name, Wish(wanted.chips, wanted.sensor, wanted.stand_in))


def resolve_precision(config: Config, device: Device) -> str:
    """fp32, fp16 or bf16: what `auto` means on this device."""
    if config.training.precision != "auto":
        return config.training.precision
    if device.torch_device == "cpu":
        return "fp32"
    return "fp16" if device.supports_bf16 is False else "bf16"


def _llamafactory(config: Config) -> Iterator[str]:
    from harness.trainer.arguments import OWN_ARGUMENTS

    known = training_argument_names()
    for name in config.llamafactory:
        key = f"llamafactory.{name}"
        if name.endswith(SECRETS):
            yield (
                f"{key}: a secret does not belong in a configuration; "
                "set it as an environment variable (HF_TOKEN, SWANLAB_API_KEY)"
            )
        elif name in OWN_ARGUMENTS:
            yield f"{key}: the harness sets this itself; use {OWN_ARGUMENTS[name]}"
        elif name not in known:
            yield f"{key}: LLaMA-Factory has no such training argument; {near_argument(name)}".rstrip("; ")
    if config.llamafactory.get("deepspeed"):
        if config.launch.name == "single":
            yield "llamafactory.deepspeed: DeepSpeed is started by torchrun alone; add launch=cards, or launch=nodes"
        if not config.dry_run and find_spec("deepspeed") is None:
            yield "llamafactory.deepspeed: it is not installed; pip install deepspeed, or leave out the arms with it"
