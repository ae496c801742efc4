"""What LLaMA-Factory 0.9.5 refuses, some of it only once a model is loaded; told before anything starts."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import isclose
from typing import Any

from packaging.requirements import Requirement

from harness.base.errors import did_you_mean
from harness.base.files import content
from harness.base.redaction import redact
from harness.base.yaml_text import UnreadableError, load
from harness.config.schema import Config
from harness.data.sources import SourceReader
from harness.devices.device import Device
from harness.models import checkpoint
from harness.trainer.fields import (
    FIELDS,
    REFUSED,
    declared_arguments,
    holds_secret,
    training_argument_names,
    unknown_argument,
)
from harness.trainer.installed import syntax_tree
from harness.trainer.named_files import parts_of
from harness.trainer.templates import templates_without_eos

_PIXELS = {"image": (32 * 32, 768 * 768), "video": (16 * 16, 256 * 256)}
"""The least and the most where none is given."""
_BY_VALIDATION = ("reduce_lr_on_plateau", "greedy")
"""Schedulers that follow the validation loss."""
_UNPACKED = ("mxfp4", "fp8")
"""Quantized weights that LLaMA-Factory unpacks while it loads them."""


@dataclass(frozen=True)
class Asked:
    """A training, by what LLaMA-Factory's own conditions ask of it."""

    config: Config
    device: Device | None
    base: Mapping[str, Any]
    """The model's config.json, as far as it is known."""
    packed_as: str | None
    """How the model's weights are quantized on the disk and stay so; None: they are not."""
    zero_stage: int | None
    """DeepSpeed's."""

    def given(self, argument: str, default: Any = None) -> Any:
        value = self.config.llamafactory.get(argument)
        return default if value is None else value

    def has(self, argument: str) -> bool:
        """Whether an argument asks for something: a flag that is true, and any other that is not null."""
        value = self.given(argument)
        return bool(value) if declared_arguments()[argument].annotation == "bool" else value is not None

    @property
    def is_full(self) -> bool:
        return self.config.method.finetuning_type == "full"

    @property
    def is_quantized(self) -> bool:
        return self.config.quantization.bits is not None

    @property
    def is_distributed(self) -> bool:
        return self.config.launch.name != "single"

    @property
    def has_zero3(self) -> bool:
        return self.zero_stage == 3

    @property
    def has_validation_rows(self) -> bool:
        dataset = self.config.dataset
        return bool(dataset.validation_samples or dataset.val_size or dataset.validation)

    @property
    def validates(self) -> bool:
        return self.has_validation_rows and bool(self.config.training.validation_steps)

    @property
    def saves_only_what_it_validates(self) -> bool:
        training = self.config.training
        if not (self.validates and training.validation_steps and training.save_steps):
            return not self.validates and not training.save_steps
        return training.save_steps % training.validation_steps == 0

    @property
    def says_what_must_improve(self) -> bool:
        """Whether transformers takes the loss, or what it is told, for the measure of the best."""
        named = self.has("load_best_model_at_end") or self.has("metric_for_best_model")
        return named or self.config.training.scheduler in _BY_VALIDATION

    @property
    def datasets_mixed(self) -> set[int]:
        """How many to train on, and how many to validate on."""
        dataset = self.config.dataset
        trained_on = 1 + len(dataset.also)
        return {trained_on, len(dataset.validation) or trained_on}

    @property
    def probabilities(self) -> list[float] | None:
        """With which datasets are mixed; None: they are no numbers in a text, nor a list of them."""
        given = self.given("interleave_probs")
        try:
            return None if isinstance(given, int | float) else [float(part) for part in parts_of(given)]
        except ValueError:
            return None

    @property
    def parts_layers_evenly(self) -> bool:
        layers, blocks = self.base.get("num_hidden_layers"), self.given("freeze_trainable_layers", 2)
        return not isinstance(layers, int) or (blocks != 0 and layers % blocks == 0)

    def wants_fewer_pixels_than_its_least(self, medium: str) -> bool:
        least, most = _PIXELS[medium]
        return bool(self.given(f"{medium}_max_pixels", most) < self.given(f"{medium}_min_pixels", least))


@dataclass(frozen=True)
class Refusal:
    """What LLaMA-Factory refuses, which is told as `key: why; fix`."""

    key: str
    """`llamafactory.NAME` is refused only where it asks for something."""
    applies: Callable[[Asked], bool]
    why: str
    fix: str


def _argument(name: str, applies: Callable[[Asked], bool], why: str, fix: str = "leave it out") -> Refusal:
    return Refusal(f"llamafactory.{name}", applies, why, fix)


_OF_ALL_WEIGHTS = "is an optimizer of all weights, which LLaMA-Factory refuses for an adapter"
_OF_ADAPTERS = "is for adapters, and there is none in a full fine-tuning"
_NO_ROWS = "there are no rows to validate on"
_HOLD_OUT = "set dataset.validation_samples, or leave it out"
_NO_ZERO3 = "does not go with DeepSpeed's ZeRO-3"
_OTHER_STAGE = "give DeepSpeed another zero_optimization.stage, or leave it out"
_PACKED = "the model's weights are quantized on the disk"
_UNQUANTIZED_MODEL = "give the unquantized model, or leave it out"
_TAKEN_OPTIMIZERS = {
    "use_galore": ("adamw_torch", "adafactor", "adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit"),
    "use_apollo": ("adamw_torch",),
}


def _other_optimizer(flag: str, taken: tuple[str, ...]) -> Refusal:
    # transformers' own default, adamw_torch_fused, is not among them.
    return _argument(
        flag,
        lambda asked: asked.is_full and asked.given("optim") not in taken,
        f"LLaMA-Factory has it for llamafactory.optim={'|'.join(taken)}",
        "name one of these",
    )


def _layerwise(optimizer: str) -> Iterator[Refusal]:
    name, flag = f"{optimizer}_layerwise", f"use_{optimizer}"
    yield _argument(
        name,
        lambda asked: asked.is_distributed and asked.has(flag),
        "is for one process, and this is torchrun's",
        "use launch=single, or leave it out",
    )
    yield _argument(
        name,
        lambda asked: asked.has(flag) and asked.config.training.gradient_accumulation != 1,
        "takes its step in the backward pass, and so gathers no gradients",
        "set training.gradient_accumulation=1, or leave it out",
    )


def _by_validation(scheduler: str) -> Refusal:
    return Refusal(
        "training.scheduler",
        lambda asked: asked.config.training.scheduler == scheduler and not asked.validates,
        f"{scheduler} goes by the validation loss, which is never taken",
        "set training.validation_steps, and rows to validate on",
    )


def _one_adapter(what: str, applies: Callable[[Asked], bool]) -> Refusal:
    """What compose/adapter_checks.py does not tell of several."""
    return _argument(
        "adapter_name_or_path",
        lambda asked: (
            not (asked.is_full or asked.is_quantized)
            and applies(asked)
            and len(parts_of(asked.given("adapter_name_or_path"))) > 1
        ),
        f"{what} takes one adapter",
        "merge the others first (llamafactory-cli export), and give the merged model",
    )


def _unreadable(architecture: str, example: str) -> Refusal:
    return Refusal(
        "model.path",
        lambda asked: architecture in str(asked.base.get("architectures")),
        f"LLaMA-Factory reads no {architecture}",
        f"fetch the model in transformers' own format, as {example}",
    )


def _crossed_pixels(medium: str) -> Iterator[Refusal]:
    least, most = _PIXELS[medium]
    low, high = f"{medium}_min_pixels", f"{medium}_max_pixels"
    why = f"{medium}s would have fewer pixels at most ({high}, {most:,}) than at least ({low}, {least:,})"
    yield _argument(high, lambda asked: asked.wants_fewer_pixels_than_its_least(medium), why, "give more")
    yield _argument(
        low,
        lambda asked: not asked.has(high) and asked.wants_fewer_pixels_than_its_least(medium),
        why,
        f"give fewer, or {high} too",
    )


REFUSALS = (
    # hparams/finetuning_args.py
    *(
        _argument(name, lambda asked: not asked.is_full, _OF_ALL_WEIGHTS, "use method=full, or leave it out")
        for name in ("use_galore", "use_apollo", "use_badam")
    ),
    *(
        _argument(name, lambda asked: asked.is_full, _OF_ADAPTERS, "use method=lora, or leave it out")
        for name in ("use_llama_pro", "loraplus_lr_ratio", "use_rslora", "use_dora", "pissa_init")
    ),
    _argument(
        "use_apollo", lambda asked: asked.is_full and asked.has("use_galore"), "so is use_galore, and one is taken"
    ),
    _argument(
        "use_badam",
        lambda asked: asked.is_full and (asked.has("use_galore") or asked.has("use_apollo")),
        "there is another optimizer, use_galore or use_apollo",
    ),
    _argument(
        "ref_model_quantization_bit",
        lambda asked: asked.given("ref_model_quantization_bit") not in (4, 8),
        "the model of reference is quantized to 4 or 8 bits",
        "give one of these, or leave it out",
    ),
    # hparams/data_args.py
    _argument("mask_history", lambda asked: asked.has("train_on_prompt"), "does not go with train_on_prompt"),
    _argument(
        "streaming",
        lambda asked: asked.config.dataset.max_samples is not None,
        "a stream is not cut by dataset.max_samples",
        "use dataset.train_samples, or leave it out",
    ),
    _argument(
        "streaming",
        lambda asked: 0 < (asked.config.dataset.val_size or 0) < 1,
        "of a stream nobody knows how many rows are the share dataset.val_size",
        "give dataset.val_size as a count",
    ),
    _argument(
        "interleave_probs",
        lambda asked: asked.probabilities is None,
        "are numbers in a text",
        "write them as '0.7,0.3'",
    ),
    _argument(
        "interleave_probs",
        lambda asked: asked.given("mix_strategy", "concat") == "concat",
        "datasets that follow each other are not mixed",
        "add llamafactory.mix_strategy=interleave_under, or leave it out",
    ),
    _argument(
        "interleave_probs",
        lambda asked: asked.probabilities is not None and asked.datasets_mixed != {len(asked.probabilities)},
        "each dataset to train on has one, and of those to validate on there must be as many",
        "give one for `dataset` and for each of dataset.also",
    ),
    _argument(
        "interleave_probs",
        lambda asked: len(shares := asked.probabilities or []) > 1 and not isclose(sum(shares), 1),
        "are shares, and do not add up to 1",
        "write them as '0.7,0.3'",
    ),
    # hparams/model_args.py
    *(refusal for medium in _PIXELS for refusal in _crossed_pixels(medium)),
    # hparams/parser.py
    _argument(
        "do_predict",
        lambda asked: not asked.has("predict_with_generate"),
        "it is by predict_with_generate that LLaMA-Factory writes predictions",
        "add llamafactory.predict_with_generate=true, or leave it out",
    ),
    *(
        _argument(name, lambda asked: not asked.has_validation_rows, _NO_ROWS, _HOLD_OUT)
        for name in ("do_eval", "predict_with_generate")
    ),
    _argument(
        "compute_accuracy", lambda asked: asked.has("predict_with_generate"), "does not go with predict_with_generate"
    ),
    _argument("predict_with_generate", lambda asked: asked.has_zero3, _NO_ZERO3, _OTHER_STAGE),
    _argument(
        "deepspeed",
        lambda asked: not asked.is_distributed,
        "DeepSpeed is started by torchrun alone",
        "add launch=cards, or launch=nodes",
    ),
    _argument(
        "streaming",
        lambda asked: asked.config.training.max_steps is None,
        "nobody knows where the rows end",
        "give training.max_steps",
    ),
    _argument(
        "quantization_device_map",
        lambda asked: True,
        "LLaMA-Factory itself places a model that it trains",
    ),
    _argument("pissa_init", lambda asked: asked.has_zero3, _NO_ZERO3, _OTHER_STAGE),
    _argument(
        "pure_bf16",
        lambda asked: (
            asked.device is not None and (asked.device.torch_device == "cpu" or asked.device.supports_bf16 is False)
        ),
        "needs an accelerator that has bf16",
        "use training.precision, or leave it out",
    ),
    _argument("pure_bf16", lambda asked: asked.has_zero3, _NO_ZERO3, _OTHER_STAGE),
    *(refusal for name in ("galore", "apollo") for refusal in _layerwise(name)),
    _argument(
        "use_badam",
        lambda asked: asked.is_distributed and asked.given("badam_mode") == "ratio",
        "badam_mode=ratio is for one process, and this is torchrun's",
        "use launch=single, or leave it out",
    ),
    _argument(
        "use_badam",
        lambda asked: asked.is_distributed and asked.given("badam_mode", "layer") == "layer" and not asked.has_zero3,
        "several processes share it by DeepSpeed's ZeRO-3 alone",
        "add llamafactory.deepspeed with zero_optimization.stage=3, or use launch=single",
    ),
    *(
        _argument(name, lambda asked: asked.has("deepspeed"), "does not go with llamafactory.deepspeed")
        for name in ("use_galore", "use_apollo")
    ),
    _argument(
        "fp8",
        lambda asked: asked.is_quantized,
        "the base is quantized already",
        "use quantization=none, or leave it out",
    ),
    _argument("use_unsloth", lambda asked: asked.has_zero3, _NO_ZERO3, _OTHER_STAGE),
    _argument(
        "resize_vocab",
        lambda asked: asked.is_quantized,
        "the embedding of quantized weights keeps its size",
        "use quantization=none, or leave it out",
    ),
    # transformers/training_args.py
    _argument(
        "load_best_model_at_end",
        lambda asked: not asked.saves_only_what_it_validates,
        "each checkpoint must be of a step that is validated",
        "set rows to validate on, and training.save_steps to a multiple of training.validation_steps",
    ),
    _argument(
        "dataloader_prefetch_factor",
        lambda asked: not asked.given("dataloader_num_workers"),
        "it is other processes that fetch ahead",
        "add llamafactory.dataloader_num_workers=1, or leave it out",
    ),
    _argument("fp16_full_eval", lambda asked: asked.has("bf16_full_eval"), "does not go with bf16_full_eval"),
    _argument(
        "torch_empty_cache_steps",
        lambda asked: asked.given("torch_empty_cache_steps") <= 0,
        "must be greater than 0",
    ),
    *(_by_validation(scheduler) for scheduler in _BY_VALIDATION),
    # transformers/trainer_callback.py
    _argument(
        "early_stopping_steps",
        lambda asked: not asked.validates,
        "goes by the validation, and there is none",
        "set training.validation_steps, and rows to validate on",
    ),
    _argument(
        "early_stopping_steps",
        lambda asked: not asked.says_what_must_improve,
        "it is not said what must improve",
        "add llamafactory.metric_for_best_model=loss, or load_best_model_at_end",
    ),
    # data/loader.py, which makes as many shards as there are such processes; data/template.py; model/
    _argument(
        "streaming",
        lambda asked: not asked.given("dataloader_num_workers"),
        "without a process that reads, LLaMA-Factory finds no row",
        "add llamafactory.dataloader_num_workers=1",
    ),
    _argument(
        "train_on_prompt",
        lambda asked: asked.config.model.template in templates_without_eos(),
        "in the template that model.template names a turn has no end of its own",
        "use another template, or leave it out",
    ),
    _argument(
        "shift_attn",
        lambda asked: True,
        "LLaMA-Factory has it for transformers 4.45 to 4.47 and Llama, and leaves it out for any other model",
    ),
    _argument(
        "flash_attn",
        lambda asked: asked.given("flash_attn") == "fa3" and asked.base.get("model_type", "gpt_oss") != "gpt_oss",
        "fa3 is for gpt_oss alone",
        "use fa2, or leave it out",
    ),
    _argument(
        "neat_packing",
        lambda asked: asked.given("flash_attn") == "fa2" and asked.config.training.batch_size > 1,
        "FlashAttention-2 takes one packed row at a time",
        "set training.batch_size=1, or use llamafactory.flash_attn=sdpa",
    ),
    _argument(
        "neat_packing",
        lambda asked: asked.given("flash_attn") == "fa2" and asked.base.get("model_type") == "gemma4",
        "Gemma 4 is not packed so with FlashAttention-2",
        "use llamafactory.flash_attn=sdpa, or leave it out",
    ),
    _argument(
        "use_llama_pro",
        lambda asked: not asked.is_full and not asked.parts_layers_evenly,
        "the model's layers are no multiple of freeze_trainable_layers (2 where it is not given)",
        "give llamafactory.freeze_trainable_layers one that parts them evenly",
    ),
    _argument(
        "use_dora",
        lambda asked: asked.packed_as not in (None, "bitsandbytes"),
        _PACKED,
        _UNQUANTIZED_MODEL,
    ),
    _argument("pissa_init", lambda asked: asked.packed_as is not None, _PACKED, _UNQUANTIZED_MODEL),
    _one_adapter("DeepSpeed's ZeRO-3", lambda asked: asked.has_zero3),
    _one_adapter("Unsloth", lambda asked: asked.has("use_unsloth")),
    _one_adapter("a model that is quantized on the disk", lambda asked: asked.packed_as is not None),
    Refusal(
        "method.finetuning_type=full",
        lambda asked: asked.is_full and asked.packed_as is not None,
        _PACKED,
        "use method=lora, or give the unquantized model",
    ),
    Refusal(
        "quantization.bits=8",
        lambda asked: asked.config.quantization.bits == 8 and asked.has_zero3,
        _NO_ZERO3,
        "use quantization=nf4, or another zero_optimization.stage",
    ),
    _unreadable("InternVLChatModel", "OpenGVLab/InternVL3-8B-hf"),
    _unreadable("LlavaLlamaForCausalLM", "llava-hf/llava-1.5-7b-hf"),
    *(_other_optimizer(flag, taken) for flag, taken in _TAKEN_OPTIMIZERS.items()),
    _argument(
        "use_badam",
        lambda asked: asked.given("badam_mode") == "ratio" and asked.given("badam_update_ratio", 0.05) <= 1e-6,
        "badam_update_ratio must be greater than 1e-6",
        "give more, or leave it out",
    ),
)
"""By the file that refuses it, in the order in which it is reached."""

NEEDED = {
    "use_unsloth": ("unsloth",),
    "enable_liger_kernel": ("liger-kernel",),
    "use_galore": ("galore_torch",),
    "use_apollo": ("apollo_torch",),
    "use_badam": ("badam>=1.2.1",),
    "use_adam_mini": ("adam-mini",),
    "plot_loss": ("matplotlib",),
    "deepspeed": ("deepspeed",),
    "predict_with_generate": ("jieba", "nltk", "rouge_chinese"),
}
"""What has to be installed for an argument (hparams/parser.py, _check_extra_dependencies)."""


def llamafactory_mistakes(config: Config, device: Device | None, sources: SourceReader) -> Iterator[str]:
    """Yield what is wrong with `llamafactory`, and with what else LLaMA-Factory refuses: `key: why; fix`.

    Without a device, what concerns it is left out."""
    if wrong := [*_names(config), *_values(config), *_files(config, sources)]:
        yield from wrong
        return
    asked = _asked(config, device, sources)
    refused = [refusal for refusal in REFUSALS if _is_told(refusal.key, asked) and refusal.applies(asked)]
    yield from (f"{refusal.key}: {refusal.why}; {refusal.fix}" for refusal in refused)
    if not config.dry_run:
        yield from _missing(asked, {refusal.key for refusal in refused})


def _is_told(key: str, asked: Asked) -> bool:
    section, _, argument = key.partition(".")
    return section != "llamafactory" or asked.has(argument)


def _asked(config: Config, device: Device | None, sources: SourceReader) -> Asked:
    base: Mapping[str, Any] = {}
    packed_as = None
    if config.model.path is not None:
        folder = sources.path(config.model.path)
        base, packed_as = checkpoint.config_of(folder), checkpoint.quantized_as(folder)
    elif config.model.shape in config.model.shapes:
        base = asdict(config.model.shapes[config.model.shape])
    stage = _zero_stage(config.llamafactory.get("deepspeed"), sources)
    return Asked(config, device, base, None if packed_as in _UNPACKED else packed_as, stage)


def _zero_stage(deepspeed: object, sources: SourceReader) -> int | None:
    if isinstance(deepspeed, str):
        deepspeed = _settings(deepspeed, sources)
    optimization = deepspeed.get("zero_optimization") if isinstance(deepspeed, Mapping) else None
    return optimization.get("stage") if isinstance(optimization, Mapping) else None


def _settings(named: str, sources: SourceReader) -> Any:
    """Return what is in a file of settings, or in their text itself. Raises OSError and UnreadableError."""
    # JSON is YAML.
    return load(named.encode() if named.startswith("{") else content(sources.path(named)))


def _names(config: Config) -> Iterator[str]:
    known = training_argument_names()
    for name, value in config.llamafactory.items():
        key = f"llamafactory.{name}"
        if secret := key if holds_secret(name) else _secret_in(key, value):
            yield (
                f"{secret}: a secret does not belong in a configuration; "
                "set it as an environment variable (HF_TOKEN, SWANLAB_API_KEY)"
            )
        elif ours := _key(name):
            yield f"{key}: the harness sets this itself; use {ours}"
        elif name in REFUSED:
            yield f"{key}: {REFUSED[name]}; leave it out"
        elif name not in known:
            yield f"{key}: {unknown_argument(name)}"


def _secret_in(key: str, value: object) -> str | None:
    """Return the key under which a secret stands: by its name, or by its value, which train.yaml would hold."""
    if isinstance(value, str):
        return key if redact(value) != value or holds_secret(key.rpartition(".")[2]) else None
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    return next(filter(None, (_secret_in(f"{key}.{name}", inner) for name, inner in parts)), None)


def _key(argument: str) -> str | None:
    """Ours, for an argument that the harness sets itself."""
    field = FIELDS.get(argument)
    return field.key if field else None


def _missing(asked: Asked, refused: Collection[str]) -> Iterator[str]:
    """What has to be installed first. What is refused anyway needs nothing."""
    for name, needed in NEEDED.items():
        key = f"llamafactory.{name}"
        lacking = [requirement for requirement in needed if not _is_installed(Requirement(requirement))]
        if lacking and asked.has(name) and key not in refused:
            command = f"pip install {' '.join(map(shlex.quote, lacking))}"
            yield f"{key}: {' and '.join(lacking)} is not installed; {command}, or leave out the arms with it"


def _is_installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _values(config: Config) -> Iterator[str]:
    """What is not of the type that LLaMA-Factory declares. Its parser takes it, and fails at its use, or not at all."""
    arguments = declared_arguments()
    given = {f"llamafactory.{name}": (name, value) for name, value in config.llamafactory.items() if not _key(name)}
    given["training.scheduler"] = ("lr_scheduler_type", config.training.scheduler)
    for key, (name, value) in given.items():
        if name not in arguments or name in REFUSED or value is None:
            continue
        annotation = arguments[name].annotation
        choices = _tool_formats() if name == "tool_format" else _choices(annotation)
        if choices and value not in choices:
            near = did_you_mean(str(value), choices) or f"it has {', '.join(choices)}"
            yield f"{key}={value}: LLaMA-Factory has no such value; {near}".rstrip()
        elif annotation == "bool" and value not in (True, False):
            yield f"{key}={value}: must be true or false"
        elif annotation.removesuffix(" | None") in ("int", "float") and type(value) not in (int, float):
            yield f"{key}={value}: must be a number"


def _files(config: Config, sources: SourceReader) -> Iterator[str]:
    """Settings in a file that is not there, or that are none."""
    for name in ("deepspeed", "fsdp_config", "accelerator_config", "new_special_tokens_config"):
        value = config.llamafactory.get(name)
        if not isinstance(value, str):
            continue
        try:
            settings = _settings(value, sources)
        except OSError as error:
            yield f"llamafactory.{name}={value}: {error.strerror}; give the path of a file"
        except UnreadableError as error:
            yield f"llamafactory.{name}={value}: cannot be read: {error}; mend it"
        else:
            if not isinstance(settings, dict):
                yield f"llamafactory.{name}={value}: holds no NAME: VALUE; give a file that does"


@cache
def _choices(annotation: str) -> tuple[str, ...]:
    """Return the texts that an annotation allows, a Literal's or an enumeration's; none where it allows any."""
    kind = annotation.removesuffix(" | None").removesuffix(" | str")
    if kind.startswith("Literal["):
        return tuple(ast.literal_eval(kind.removeprefix("Literal").replace("[", "(").replace("]", ",)")))
    return _enumerations().get(kind, ())


@cache
def _enumerations() -> Mapping[str, tuple[str, ...]]:
    """Return by name those that annotate arguments, with their texts."""
    sources = ("llamafactory/extras/constants.py", "transformers/trainer_utils.py", "transformers/training_args.py")
    classes = [node for source in sources for node in syntax_tree(source).body if isinstance(node, ast.ClassDef)]
    return {
        definition.name: tuple(
            member.value.value
            for member in definition.body
            if isinstance(member, ast.Assign)
            and isinstance(member.value, ast.Constant)
            and isinstance(member.value.value, str)
        )
        for definition in classes
        if any("Enum" in ast.unparse(base) for base in definition.bases)
    }


@cache
def _tool_formats() -> tuple[str, ...]:
    for node in syntax_tree("llamafactory/data/tool_utils.py").body:
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "TOOLS"
            and isinstance(node.value, ast.Dict)
        ):
            return tuple(ast.literal_eval(key) for key in node.value.keys if key is not None)
    return ()
