"""LLaMA-Factory's arguments for a configuration: what train.yaml holds and what the model is evaluated with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.config.schema import Config, QuantizationConfig, TrainingConfig
from harness.data import prepare

OWN_ARGUMENTS = {
    "model_name_or_path": "model.path",
    "template": "model.template",
    "trust_remote_code": "model.trust_remote_code",
    "stage": "method",
    "do_train": "harness run",
    "finetuning_type": "method.finetuning_type",
    "lora_rank": "method.rank",
    "lora_alpha": "method.alpha",
    "lora_dropout": "method.dropout",
    "lora_target": "method.target",
    "quantization_bit": "quantization.bits",
    "quantization_method": "quantization",
    "quantization_type": "quantization.type",
    "double_quantization": "quantization.double",
    "dataset": "dataset.path",
    "eval_dataset": "dataset.validation_samples",
    "dataset_dir": "dataset.path",
    "val_size": "dataset.val_size",
    "max_samples": "dataset.max_samples",
    "cutoff_len": "training.cutoff_length",
    "packing": "training.packing",
    "output_dir": "output",
    "learning_rate": "training.learning_rate",
    "num_train_epochs": "training.epochs",
    "max_steps": "training.max_steps",
    "per_device_train_batch_size": "training.batch_size",
    "gradient_accumulation_steps": "training.gradient_accumulation",
    "lr_scheduler_type": "training.scheduler",
    "warmup_ratio": "training.warmup_ratio",
    "warmup_steps": "training.warmup_steps",
    "bf16": "training.precision",
    "fp16": "training.precision",
    "disable_gradient_checkpointing": "training.gradient_checkpointing",
    "logging_steps": "training.logging_steps",
    "eval_strategy": "training.validation_steps",
    "eval_steps": "training.validation_steps",
    "save_strategy": "training.save_steps",
    "save_steps": "training.save_steps",
    "seed": "seed",
    "use_cpu": "device",
    "report_to": "tracking",
    "use_swanlab": "tracking",
}
"""Arguments that a key of the harness decides, so that one thing has one place."""


def training_arguments(
    config: Config, rows: prepare.Rows, model_path: str, precision: str, on_cpu: bool, folder: Path
) -> dict[str, Any]:
    """The plain train.yaml of a run in `folder`: `llamafactory-cli train train.yaml` repeats the training."""
    training, method = config.training, config.method
    arguments: dict[str, Any] = {
        **_model(config, model_path),
        **_quantization(config.quantization),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": method.finetuning_type,
        "dataset": ",".join(rows.train_names),
        "dataset_dir": str(folder / "dataset"),
        "cutoff_len": training.cutoff_length,
        "packing": training.packing,
        "overwrite_cache": True,
        "output_dir": str(folder / "adapter"),
        # A stale output_dir would silently continue an older run.
        "overwrite_output_dir": True,
        "logging_steps": training.logging_steps,
        "save_strategy": "steps" if training.save_steps else "no",
        "report_to": "none",
        "disable_tqdm": True,
        "per_device_train_batch_size": training.batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation,
        "learning_rate": training.learning_rate,
        "num_train_epochs": training.epochs,
        "lr_scheduler_type": training.scheduler,
        **_warmup(training),
        "disable_gradient_checkpointing": not training.gradient_checkpointing,
        "include_num_input_tokens_seen": "non_padding",
        "seed": config.seed,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "use_cpu": on_cpu,
    }
    if method.finetuning_type == "lora":
        arguments |= {
            "lora_rank": method.rank,
            "lora_alpha": method.alpha or 2 * method.rank,
            "lora_dropout": method.dropout,
            "lora_target": method.target,
        }
    if training.save_steps:
        arguments["save_steps"] = training.save_steps
    if training.max_steps:
        arguments["max_steps"] = training.max_steps
    if config.dataset.max_samples:
        arguments["max_samples"] = config.dataset.max_samples
    if config.dataset.val_size:
        arguments["val_size"] = config.dataset.val_size
    elif rows.validation_names:
        arguments["eval_dataset"] = ",".join(rows.validation_names)
    if "val_size" in arguments or "eval_dataset" in arguments:
        arguments["per_device_eval_batch_size"] = training.batch_size
        if training.validation_steps:
            arguments |= {"eval_strategy": "steps", "eval_steps": training.validation_steps}
    return arguments | config.llamafactory


def _warmup(training: TrainingConfig) -> dict[str, Any]:
    if training.warmup_steps is not None:
        return {"warmup_steps": training.warmup_steps}
    return {"warmup_ratio": training.warmup_ratio}


def inference_arguments(config: Config, model_path: str, precision: str, adapter: Path | None) -> dict[str, Any]:
    """What loads the model as it was trained; without `adapter` the plain base, not quantized."""
    # Without mixed precision LLaMA-Factory trains on the checkpoint's own dtype; auto loads the same.
    names = {"fp32": "auto", "fp16": "float16", "bf16": "bfloat16"}
    arguments = {**_model(config, model_path), "infer_dtype": names[precision]}
    if adapter is None:
        return arguments
    if config.method.finetuning_type == "full":
        return arguments | {"model_name_or_path": str(adapter), "finetuning_type": "full"}
    return (
        arguments
        | _quantization(config.quantization)
        | {
            "adapter_name_or_path": str(adapter),
            "finetuning_type": "lora",
        }
    )


def export_arguments(config: Config, model_path: str, adapter: Path, output: Path) -> dict[str, Any]:
    """What `llamafactory-cli export` merges a run's adapter with: the base as its checkpoint is, for QLoRA too, since
    LLaMA-Factory does not merge into quantized weights."""
    return {
        **_model(config, model_path),
        "adapter_name_or_path": str(adapter),
        "finetuning_type": "lora",
        "infer_dtype": "auto",
        "export_dir": str(output),
        "export_size": 5,
        # The host's memory: merging needs no speed, and a chip may be full.
        "export_device": "cpu",
        "export_legacy_format": False,
    }


_OF_THE_MODEL = ("default_system", "enable_thinking", "resize_vocab", "rope_scaling", "flash_attn")
"""What a user may give under `llamafactory` that says what the model is or how it is asked, after training too."""


def _model(config: Config, model_path: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {"model_name_or_path": model_path, "template": config.model.template}
    if config.model.trust_remote_code:
        arguments["trust_remote_code"] = True
    return arguments | {name: value for name, value in config.llamafactory.items() if name in _OF_THE_MODEL}


def _quantization(quantization: QuantizationConfig) -> dict[str, Any]:
    if quantization.bits is None:
        return {}
    arguments: dict[str, Any] = {"quantization_bit": quantization.bits, "quantization_method": "bnb"}
    if quantization.bits == 4:
        arguments |= {"quantization_type": quantization.type, "double_quantization": quantization.double}
    return arguments
