"""What earlier versions of LLaMA-Factory, and of transformers under it, called their arguments and values.

Read from the dataclasses of the packages themselves: llmtuner 0.0.9 to 0.7.1 and llamafactory 0.8.0 to 0.9.5, which are
one project, and transformers 4.29 to 5.6. A version is the first of those looked at that has the new name, or lacks the
old one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.trainer.fields import holds_secret


@dataclass(frozen=True)
class _Renamed:
    since: str
    becomes: Callable[[Any], Mapping[str, Any]]
    """The arguments of today that say what this value said; none where it says what is so without it."""


def _as(new: str, since: str) -> _Renamed:
    return _Renamed(since, lambda value: {new: value})


def _where_true(since: str, **new: Any) -> _Renamed:
    return _Renamed(since, lambda value: new if value else {})


_PREFERENCES = "LLaMA-Factory 0.8.0"
_RENAMED = {
    "prompt_template": _as("template", "LLaMA-Factory 0.1.4"),
    "dev_ratio": _as("val_size", "LLaMA-Factory 0.1.8"),
    "hf_auth_token": _as("hf_hub_token", "LLaMA-Factory 0.2.3"),
    "dpo_ref_model": _as("ref_model", "LLaMA-Factory 0.3.0"),
    "dpo_ref_model_checkpoint": _as("ref_model_adapters", "LLaMA-Factory 0.4.0"),
    "checkpoint_dir": _as("adapter_name_or_path", "LLaMA-Factory 0.4.0"),
    "ref_model_checkpoint": _as("ref_model_adapters", "LLaMA-Factory 0.4.0"),
    "reward_model_checkpoint": _as("reward_model_adapters", "LLaMA-Factory 0.4.0"),
    "resume_lora_training": _Renamed("LLaMA-Factory 0.4.0", lambda value: {"create_new_adapter": not value}),
    "neft_alpha": _Renamed("LLaMA-Factory 0.4.0", lambda value: {"neftune_noise_alpha": value or None}),
    "system_prompt": _as("default_system", "LLaMA-Factory 0.8.0"),
    "sft_packing": _as("packing", "LLaMA-Factory 0.6.0"),
    "cache_path": _as("tokenized_path", "LLaMA-Factory 0.6.3"),
    "name_module_trainable": _as("freeze_trainable_modules", "LLaMA-Factory 0.7.1"),
    "num_layer_trainable": _as("freeze_trainable_layers", "LLaMA-Factory 0.7.1"),
    "badam_switch_block_every": _as("badam_switch_interval", "LLaMA-Factory 0.7.1"),
    "dpo_beta": _as("pref_beta", _PREFERENCES),
    "dpo_loss": _as("pref_loss", _PREFERENCES),
    "dpo_ftx": _as("pref_ftx", _PREFERENCES),
    "orpo_beta": _as("pref_beta", _PREFERENCES),
    "vllm_dtype": _as("infer_dtype", "LLaMA-Factory 0.8.3"),
    "image_dir": _as("media_dir", "LLaMA-Factory 0.9.2"),
    "image_resolution": _Renamed("LLaMA-Factory 0.9.2", lambda value: {"image_max_pixels": _pixels(value)}),
    "video_resolution": _Renamed("LLaMA-Factory 0.9.2", lambda value: {"video_max_pixels": _pixels(value)}),
    "train_mm_proj_only": _where_true(
        "LLaMA-Factory 0.9.2", freeze_vision_tower=True, freeze_language_model=True, freeze_multi_modal_projector=False
    ),
    "new_special_tokens": _as("add_special_tokens", "LLaMA-Factory 0.9.3"),
    "evaluation_strategy": _as("eval_strategy", "transformers 4.41"),
    "no_cuda": _as("use_cpu", "transformers 4.36"),
    "xpu_backend": _as("ddp_backend", "transformers 4.36"),
    "per_gpu_train_batch_size": _as("per_device_train_batch_size", "transformers 5"),
    "per_gpu_eval_batch_size": _as("per_device_eval_batch_size", "transformers 5"),
    "push_to_hub_token": _as("hub_token", "transformers 5"),
    "push_to_hub_model_id": _as("hub_model_id", "transformers 5"),
    "torchdynamo": _as("torch_compile_backend", "transformers 5"),
    "adafactor": _where_true("transformers 5", optim="adafactor"),
    "group_by_length": _where_true("transformers 5", train_sampling_strategy="group_by_length"),
    "include_inputs_for_metrics": _where_true("transformers 4.46", include_for_metrics=["inputs"]),
}
_LENGTHS = ("max_source_length", "max_target_length")
_NEEDLESS = "nothing takes its place, and nothing has to"
_KERNELS = "KTransformers' older form; the harness does not train with it (use_kt)"
_RAY = "Ray's; the harness starts its processes itself"
_DISTRIBUTED = "is gone; give llamafactory.accelerator_config or llamafactory.fsdp_config, which have it"
_GONE = {
    "split": "is said of each dataset since LLaMA-Factory 0.8.3: as split in dataset_info.json",
    "reserved_label_len": "is gone since LLaMA-Factory 0.8.3, which parts the cutoff by the lengths of both sides",
    "lora_bf16_mode": "is gone since LLaMA-Factory 0.6.0; training.precision=bf16 is what there is, or pure_bf16",
    "visual_inputs": f"is gone since LLaMA-Factory 0.9.0, which sees it of the model; {_NEEDLESS}",
    "use_auth_token": "is gone since LLaMA-Factory 0.2.3; set HF_TOKEN as an environment variable",
    "disable_version_checking": "is gone since LLaMA-Factory 0.6.0; export DISABLE_VERSION_CHECK=1",
    "padding_side": f"is gone since LLaMA-Factory 0.1.8; {_NEEDLESS}",
    "source_prefix": "is gone since LLaMA-Factory 0.1.8; put it into the rows, or give llamafactory.default_system",
    "ppo_logger": "is for PPO; the harness compares supervised fine-tuning (stage=sft)",
    "sharded_ddp": "is gone since transformers 4.36; DeepSpeed does it (+deepspeed=zero0)",
    "save_safetensors": f"is gone since transformers 5, which always does so; {_NEEDLESS}",
    "include_tokens_per_second": "is gone since transformers 5; the harness counts tokens itself",
    "push_to_hub_organization": "is gone since transformers 5; hub_model_id=ORGANIZATION/NAME says it",
    "dispatch_batches": _DISTRIBUTED,
    "split_batches": _DISTRIBUTED,
    "fsdp_min_num_params": _DISTRIBUTED,
    "fsdp_transformer_layer_cls_to_wrap": _DISTRIBUTED,
    **dict.fromkeys(
        ("fp16_backend", "half_precision_backend", "fp16_opt_level"),
        "is gone since transformers 5, which knows torch's own mixed precision alone; training.precision says which",
    ),
    **dict.fromkeys(
        ("jit_mode_eval", "past_index", "use_legacy_prediction_loop", "use_mps_device", "use_ipex", "ray_scope"),
        f"is gone since transformers 5; {_NEEDLESS}",
    ),
    **dict.fromkeys(
        ("tpu_num_cores", "tpu_metrics_debug", "mp_parameters", "tp_size"),
        "is gone since transformers 5; the harness trains on a CPU, GPUs and NPUs, a whole model on each",
    ),
    **dict.fromkeys(("kt_optimize_rule", "kt_maxlen", "kt_use_cuda_graph", "kt_mode", "kt_force_think"), _KERNELS),
    **dict.fromkeys(("cpu_infer", "chunk_size", "mode"), _KERNELS),
    **dict.fromkeys(("ray_run_name", "ray_storage_path", "ray_storage_filesystem"), _RAY),
    **dict.fromkeys(("resources_per_worker", "placement_strategy"), _RAY),
}
_VALUES: dict[str, tuple[str, Mapping[str, str]]] = {
    # An `off` without quotes is false in YAML.
    "flash_attn": ("LLaMA-Factory 0.8.3", {"true": "fa2", "false": "disabled", "off": "disabled"}),
    "quantization_method": ("LLaMA-Factory 0.9.3", {"bitsandbytes": "bnb"}),
    "template": ("LLaMA-Factory 0.6.3", {"vanilla": "empty"}),
    "optim": ("transformers 5", {"adamw_hf": "adamw_torch"}),
}
_OTHERWISE = {
    "use_cache": "is transformers' own since transformers 5, for the training; what it was is use_kv_cache since "
    "LLaMA-Factory 0.9.4",
}
"""Names that mean something else by now."""


@dataclass
class Modern:
    """Arguments under the names of today."""

    arguments: dict[str, Any]
    renamed: list[str] = field(default_factory=list)
    """`old: what it is called now, since when`. Holds no secret."""
    left_out: list[str] = field(default_factory=list)


def modernized(arguments: Mapping[str, Any]) -> Modern:
    """Return arguments with the names and values of today; a new name that is given too is what holds."""
    modern = Modern({name: value for name, value in arguments.items() if not _is_old(name)})
    if any(name in arguments for name in _LENGTHS):
        # The question was cut by one and the answer by the other, to 512 tokens where a file was silent.
        lengths = [arguments.get(name) or 512 for name in _LENGTHS]
        given = " and ".join(name for name in _LENGTHS if name in arguments)
        if all(isinstance(length, int) for length in lengths):
            _take(modern, given, {"cutoff_len": sum(lengths)}, "LLaMA-Factory 0.2.0, which cuts both together")
        else:
            modern.left_out.append(f"{given}: is cutoff_len since LLaMA-Factory 0.2.0, a whole number of tokens")
    for name, value in arguments.items():
        if name in _GONE:
            modern.left_out.append(f"{name}: {_GONE[name]}")
        elif name in _RENAMED and value is not None:
            _take(modern, name, _RENAMED[name].becomes(value), _RENAMED[name].since)
        elif name in _RENAMED:
            modern.renamed.append(f"{name}: null, which says nothing")
    modern.renamed += [f"{name}: {_OTHERWISE[name]}" for name in arguments if name in _OTHERWISE]
    for name, (since, new) in _VALUES.items():
        value = modern.arguments.get(name)
        if isinstance(value, str | bool) and (now := new.get(str(value).lower())):
            modern.arguments[name] = now
            modern.renamed.append(f"{name}={value}: {name}={now} since {since}")
    return modern


def is_known(name: str) -> bool:
    """Return whether an earlier version had an argument `name` that is gone, or that took true and false."""
    return _is_old(name) or name == "flash_attn"


def as_written(values: Sequence[str]) -> Any:
    """Return what the words behind an option of an earlier version say, whose type no source tells any more."""
    if not values:
        return True
    for kind in (int, float):
        try:
            return kind(values[0])
        except ValueError:
            continue
    return {"true": True, "false": False}.get(values[0].lower(), values[0])


def _is_old(name: str) -> bool:
    return name in _RENAMED or name in _GONE or name in _LENGTHS


def _take(modern: Modern, old: str, new: Mapping[str, Any], since: str) -> None:
    taken = {name: value for name, value in new.items() if modern.arguments.get(name) is None}
    modern.arguments |= taken
    if len(taken) < len(new):
        others = ", ".join(name for name in new if name not in taken)
        modern.left_out.append(f"{old}: is {others} since {since}, which is given too, and holds")
    elif taken:
        shown = ", ".join(name if holds_secret(name) else f"{name}={value}" for name, value in taken.items())
        modern.renamed.append(f"{old}: {shown} since {since}")
    else:
        modern.renamed.append(f"{old}: says what is so without it since {since}")


def _pixels(value: Any) -> Any:
    """A side in 0.9.0, and pixels in 0.9.1; no model is shown so few pixels as a side has."""
    return value * value if isinstance(value, int) and value <= 2048 else value
