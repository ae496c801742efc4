"""The one table of LLaMA-Factory's arguments and our keys: what is written, read back, refused and left out goes by it.

What is not in it has no key of ours, and goes to LLaMA-Factory as it is given under `llamafactory`, if it takes it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Literal

from harness.base.errors import did_you_mean
from harness.base.redaction import names_secret
from harness.trainer.installed import syntax_tree

_SOURCES = (
    *(f"llamafactory/hparams/{kind}_args.py" for kind in ("model", "data", "training", "finetuning", "generating")),
    "transformers/training_args.py",
    "transformers/training_args_seq2seq.py",
)


@dataclass(frozen=True)
class Field:
    """An argument of LLaMA-Factory's that the harness decides, or leaves out of what it imports."""

    argument: str
    kind: Literal["same", "constant", "derived", "unwritten"]
    """same: the key's value is the argument's. constant: `value` in every run. derived: worked out of the key and of
    others (trainer/arguments.py), and read back so (compose/llamafactory_file.py). unwritten: in no train.yaml."""
    key: str | None = None
    """Ours, which is to be used in place of `llamafactory.ARGUMENT`; None: that may be given too."""
    default: Any = None
    """What LLaMA-Factory 0.9.5 takes where a file is silent."""
    value: Any = None
    """A constant's."""


_TABLE = (
    Field("model_name_or_path", "derived", "model.path"),
    Field("template", "same", "model.template"),
    Field("trust_remote_code", "same", "model.trust_remote_code", False),
    Field("stage", "constant", "method", "sft", value="sft"),
    Field("do_train", "constant", "harness run", False, value=True),
    Field("finetuning_type", "derived", "method.finetuning_type", "lora"),
    Field("lora_rank", "same", "method.rank", 8),
    Field("lora_alpha", "derived", "method.alpha"),
    Field("lora_dropout", "same", "method.dropout", 0.0),
    Field("lora_target", "same", "method.target", "all"),
    Field("quantization_bit", "derived", "quantization.bits"),
    Field("quantization_method", "derived", "quantization", "bnb"),
    Field("quantization_type", "derived", "quantization.type", "nf4"),
    Field("double_quantization", "derived", "quantization.double", True),
    Field("dataset", "derived", "dataset.path"),
    Field("eval_dataset", "derived", "dataset.validation_samples"),
    Field("dataset_dir", "derived", "dataset.path", "data"),
    Field("max_samples", "same", "dataset.max_samples"),
    Field("val_size", "same", "dataset.val_size", 0.0),
    Field("cutoff_len", "same", "training.cutoff_length", 2048),
    Field("packing", "same", "training.packing"),
    Field("overwrite_cache", "constant", default=False, value=True),
    Field("output_dir", "derived", "output"),
    # A stale output_dir would silently continue an older run.
    Field("overwrite_output_dir", "constant", default=False, value=True),
    Field("resume_from_checkpoint", "unwritten"),
    Field("per_device_train_batch_size", "same", "training.batch_size", 8),
    Field("per_device_eval_batch_size", "derived", default=8),
    Field("gradient_accumulation_steps", "same", "training.gradient_accumulation", 1),
    Field("learning_rate", "same", "training.learning_rate", 5e-5),
    Field("num_train_epochs", "same", "training.epochs", 3.0),
    Field("max_steps", "same", "training.max_steps", -1),
    Field("lr_scheduler_type", "same", "training.scheduler", "linear"),
    Field("warmup_ratio", "same", "training.warmup_ratio"),
    Field("warmup_steps", "same", "training.warmup_steps", 0),
    Field("bf16", "derived", "training.precision", False),
    Field("fp16", "derived", "training.precision", False),
    Field("disable_gradient_checkpointing", "derived", "training.gradient_checkpointing", False),
    Field("logging_steps", "same", "training.logging_steps", 500),
    Field("eval_strategy", "derived", "training.validation_steps", "no"),
    Field("eval_steps", "same", "training.validation_steps"),
    Field("save_strategy", "derived", "training.save_steps", "steps"),
    Field("save_steps", "same", "training.save_steps", 500),
    Field("seed", "same", "seed", 42),
    Field("use_cpu", "derived", "device", False),
    Field("ddp_backend", "derived"),
    Field("disable_tqdm", "constant", value=True),
    Field("include_num_input_tokens_seen", "constant", default="no", value="non_padding"),
    Field("report_to", "constant", "tracking", "none", value="none"),
    Field("use_swanlab", "unwritten", "tracking", False),
    Field("swanlab_mode", "unwritten", "tracking.mode", "cloud"),
    Field("swanlab_project", "unwritten", "tracking.project", "llamafactory"),
    Field("swanlab_workspace", "unwritten", "tracking.workspace"),
    Field("swanlab_run_name", "unwritten", "tracking.experiment"),
    Field("swanlab_logdir", "unwritten"),
    Field("swanlab_lark_webhook_url", "unwritten"),
)
FIELDS = {field.argument: field for field in _TABLE}
"""By LLaMA-Factory's name, in the order of train.yaml."""


class Reach(StrEnum):
    """Which steps of a run an argument reaches."""

    EVERY_STEP = "every step"
    """It says what the model, an adapter below it or the tokenizer is, or how it is asked: training, evaluation, the
    base's score, merge, chat and server have it alike."""
    QUANTIZATION = "quantization"
    """Every step that loads the base quantized: the training and what uses its adapter, but neither the base's score
    nor a merge."""
    TRAINING = "training"
    """It decides what is trained, how, or how fast. What it makes of an adapter stands in the adapter's own files."""
    NONE = "none"
    """It is refused: see `REFUSED`."""


_MODEL = "the harness trains a model as its checkpoint holds it"
_EXPORT = "`harness merge` exports"
_ENGINE = "the harness asks a model with LLaMA-Factory's own engine"
_EXPERTS = "what KTransformers makes of a model, no later step could load"
_PREFERENCES = "is for training on preferences; the harness compares supervised fine-tuning (stage=sft)"
_ORTHOGONAL = "is for finetuning_type=oft; the harness knows lora and full"
REFUSED = {
    "adapter_folder": "give adapter_name_or_path=ADAPTER/FOLDER",
    "train_from_scratch": f"{_MODEL}; for random weights use model=random",
    "mixture_of_depths": _MODEL,
    "use_mca": "Megatron's trainer knows none of the harness's callbacks",
    "use_hyper_parallel": "HyperParallel's trainer knows none of the harness's callbacks",
    "hyper_parallel_args": "HyperParallel's trainer knows none of the harness's callbacks",
    "tokenized_path": "rows from there would be trained on in place of those of dataset.path, which are tokenized anew",
    "infer_backend": _ENGINE,
    "infer_dtype": "training.precision decides it for every step",
    **dict.fromkeys(("export_dir", "export_size", "export_device", "export_legacy_format"), _EXPORT),
    **dict.fromkeys(("export_quantization_bit", "export_quantization_dataset", "export_hub_model_id"), _EXPORT),
    **dict.fromkeys(("export_quantization_nsamples", "export_quantization_maxlen"), _EXPORT),
    **dict.fromkeys(("vllm_maxlen", "vllm_gpu_util", "vllm_enforce_eager", "vllm_max_lora_rank"), _ENGINE),
    **dict.fromkeys(("vllm_config", "sglang_maxlen", "sglang_mem_fraction", "sglang_tp_size"), _ENGINE),
    **dict.fromkeys(("sglang_config", "sglang_lora_backend"), _ENGINE),
    **dict.fromkeys(("use_kt", "kt_weight_path", "kt_expert_checkpoint_path", "kt_use_lora_experts"), _EXPERTS),
    **dict.fromkeys(("kt_lora_expert_num", "kt_lora_expert_intermediate_size"), _EXPERTS),
    **dict.fromkeys(("pref_beta", "pref_ftx", "pref_bco_weight", "pref_loss", "dpo_label_smoothing"), _PREFERENCES),
    **dict.fromkeys(("kto_chosen_weight", "kto_rejected_weight", "simpo_gamma", "ld_alpha"), _PREFERENCES),
    **dict.fromkeys(("ppo_buffer_size", "ppo_epochs", "ppo_score_norm", "ppo_target"), _PREFERENCES),
    **dict.fromkeys(("ppo_whiten_rewards", "reward_model", "reward_model_adapters"), _PREFERENCES),
    **dict.fromkeys(("reward_model_quantization_bit", "reward_model_type"), _PREFERENCES),
    **dict.fromkeys(("module_dropout", "oft_rank", "oft_block_size", "oft_target"), _ORTHOGONAL),
}
"""Arguments that a run does not take, and why, or what to give instead."""

_REACHES: dict[Reach, tuple[str, ...]] = {
    Reach.EVERY_STEP: (
        *("model_name_or_path", "adapter_name_or_path", "model_revision", "trust_remote_code", "cache_dir"),
        *("hf_hub_token", "ms_hub_token", "om_hub_token", "rope_scaling", "flash_attn"),
        *("use_fast_tokenizer", "resize_vocab", "split_special_tokens", "add_tokens", "add_special_tokens"),
        *("new_special_tokens_config", "init_special_tokens"),
        *("template", "tool_format", "default_system", "enable_thinking", "preserve_thinking"),
        *("image_max_pixels", "image_min_pixels", "image_do_pan_and_scan", "crop_to_patches"),
        *("video_max_pixels", "video_min_pixels", "video_fps", "video_maxlen"),
        *("use_audio_in_video", "audio_sampling_rate"),
    ),
    Reach.QUANTIZATION: (
        *("quantization_method", "quantization_bit", "quantization_type", "double_quantization"),
        "quantization_device_map",
    ),
    Reach.TRAINING: (
        # Of ModelArguments.
        *("low_cpu_mem_usage", "offload_folder", "shift_attn", "use_unsloth", "use_unsloth_gc", "enable_liger_kernel"),
        *("moe_aux_loss_coef", "disable_gradient_checkpointing", "use_reentrant_gc", "upcast_layernorm"),
        *("upcast_lmhead_output", "use_kv_cache", "use_v1_kernels", "print_param_status"),
        # Of DataArguments.
        *("dataset", "eval_dataset", "dataset_dir", "media_dir", "cutoff_len", "train_on_prompt", "mask_history"),
        *("streaming", "buffer_size", "mix_strategy", "interleave_probs", "overwrite_cache"),
        *("preprocessing_batch_size", "preprocessing_num_workers", "max_samples", "eval_num_beams"),
        *("ignore_pad_token_for_loss", "val_size", "eval_on_each_dataset", "packing", "neat_packing"),
        "data_shared_file_system",
        # Of FinetuningArguments.
        *("stage", "finetuning_type", "pure_bf16", "use_llama_pro", "use_adam_mini", "use_muon"),
        *("freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules", "freeze_vision_tower"),
        *("freeze_multi_modal_projector", "freeze_language_model"),
        *("additional_target", "lora_alpha", "lora_dropout", "lora_rank", "lora_target", "loraplus_lr_ratio"),
        *("loraplus_lr_embedding", "use_rslora", "use_dora", "pissa_init", "pissa_iter", "pissa_convert"),
        *("create_new_adapter", "ref_model", "ref_model_adapters", "ref_model_quantization_bit"),
        *("use_dft_loss", "use_asft_loss", "asft_alpha", "use_eaft_loss", "eaft_alpha"),
        *("use_galore", "galore_target", "galore_rank", "galore_update_interval", "galore_scale"),
        *("galore_proj_type", "galore_layerwise"),
        *("use_apollo", "apollo_target", "apollo_rank", "apollo_update_interval", "apollo_scale", "apollo_proj"),
        *("apollo_proj_type", "apollo_scale_type", "apollo_layerwise", "apollo_scale_front"),
        *("use_badam", "badam_mode", "badam_start_block", "badam_switch_mode", "badam_switch_interval"),
        *("badam_update_ratio", "badam_mask_mode", "badam_verbose"),
        *("use_swanlab", "swanlab_project", "swanlab_workspace", "swanlab_run_name", "swanlab_mode"),
        *("swanlab_api_key", "swanlab_logdir", "swanlab_lark_webhook_url", "swanlab_lark_secret"),
        *("compute_accuracy", "disable_shuffling", "early_stopping_steps", "plot_loss"),
        "include_effective_tokens_per_second",
        # Of GeneratingArguments: for predict_with_generate, while it trains. The harness asks greedily.
        *("do_sample", "temperature", "top_p", "top_k", "num_beams", "max_length", "max_new_tokens"),
        *("repetition_penalty", "length_penalty", "skip_special_tokens"),
    ),
    Reach.NONE: tuple(REFUSED),
}
REACH = {argument: reach for reach, arguments in _REACHES.items() for argument in arguments}
"""Every argument of LLaMA-Factory's own classes (ModelArguments, DataArguments, FinetuningArguments and
GeneratingArguments). Those of the trainer, which are not here, are of the training alone."""
NAMES_FILES = (
    *("adapter_name_or_path", "new_special_tokens_config", "media_dir", "ref_model", "ref_model_adapters"),
    *("deepspeed", "fsdp_config", "accelerator_config", "resume_from_checkpoint"),
)
"""Arguments that may name files or folders whose content decides what is trained; several are parted by commas."""


LEFT_OUT = {
    "do_train": "the harness trains; for other work use llamafactory-cli",
    "output_dir": "each run has a folder of its own; output=FOLDER is where those are made",
    "overwrite_output_dir": "a run's folder is always a new one",
    "resume_from_checkpoint": "a run starts at its beginning; one that was stopped is trained again",
    "disable_tqdm": "the harness shows the progress itself",
    "include_num_input_tokens_seen": "the harness counts non-padding tokens, for its own figures",
    "swanlab_logdir": "SwanLab's files go into outputs/SWEEP/swanlog",
    "swanlab_lark_webhook_url": "the harness sends no messages",
}
"""What an import leaves out, why, and what to do instead; any other is carried, or says what is so in every run."""


def holds_secret(argument: str) -> bool:
    """Return whether an argument of this name holds a secret, which stands in no file of ours."""
    return names_secret(argument) and argument != "ignore_pad_token_for_loss"


@dataclass(frozen=True)
class Declared:
    """An argument as LLaMA-Factory's dataclasses declare it."""

    annotation: str
    default: str | None
    """The source of its default; None: it is null, or there is none."""


@cache
def declared_arguments() -> Mapping[str, Declared]:
    """Return by name all arguments that `llamafactory-cli train` takes. Raises ModuleNotFoundError without it.

    Read from the source, since importing its parser takes about ten seconds and a mistake has to be told at once: they
    are the annotated fields of the dataclasses."""
    found: dict[str, Declared] = {}
    for source in _SOURCES:
        for definition in syntax_tree(source).body:
            for field in definition.body if isinstance(definition, ast.ClassDef) else []:
                if isinstance(field, ast.AnnAssign) and "init=False" not in ast.unparse(field):
                    name = ast.unparse(field.target)
                    found[name] = Declared(ast.unparse(field.annotation), _default(field.value))
    return {name: argument for name, argument in found.items() if not name.startswith("_")}


def _default(value: ast.expr | None) -> str | None:
    keywords = {word.arg: ast.unparse(word.value) for word in value.keywords} if isinstance(value, ast.Call) else {}
    default = keywords.get("default", keywords.get("default_factory"))
    return None if default == "None" else default


@cache
def training_argument_names() -> frozenset[str]:
    """Return the names of all arguments that `llamafactory-cli train` takes. Raises ModuleNotFoundError without it."""
    return frozenset(declared_arguments())


def unknown_argument(name: str) -> str:
    """Return that LLaMA-Factory has no argument `name`, and which one may have been meant."""
    known = did_you_mean(name, training_argument_names())
    return f"LLaMA-Factory has no such training argument; {known}".rstrip("; ")
