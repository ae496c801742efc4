"""LLaMA-Factory's arguments for a configuration: what train.yaml holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from harness.config.schema import Config, QuantizationConfig
from harness.trainer.fields import FIELDS


def training_arguments(
    config: Config,
    *,
    given: Mapping[str, Any],
    train_names: Sequence[str],
    validation_names: Sequence[str],
    dataset_dir: Path,
    output_dir: Path,
    model_path: str,
    precision: str,
    on_cpu: bool,
    processes: int,
) -> dict[str, Any]:
    """Return the plain train.yaml of a run: `llamafactory-cli train train.yaml` repeats the training.

    `given`: the user's own under `llamafactory`, as `named_files.located` returns them. `train_names` and
    `validation_names` are registered in `dataset_dir`; `precision` is fp32, fp16 or bf16; `processes` are those of all
    machines together."""
    method, training = config.method, config.training
    validated = bool(validation_names or config.dataset.val_size)
    derived: dict[str, Any] = {
        "model_name_or_path": model_path,
        **_quantization(config.quantization),
        "finetuning_type": method.finetuning_type,
        "lora_alpha": method.alpha or 2 * method.rank,
        "dataset": ",".join(train_names),
        "eval_dataset": ",".join(validation_names) if validation_names and not config.dataset.val_size else None,
        "dataset_dir": str(dataset_dir),
        "output_dir": str(output_dir),
        "per_device_eval_batch_size": training.batch_size if validated else None,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "disable_gradient_checkpointing": not training.gradient_checkpointing,
        "eval_strategy": "steps" if validated and training.validation_steps else None,
        "save_strategy": "steps" if training.save_steps else "no",
        "use_cpu": on_cpu,
    }
    absent = set()
    if method.finetuning_type != "lora":
        absent |= {"lora_rank", "lora_alpha", "lora_dropout", "lora_target"}
    if training.warmup_steps is not None:
        absent.add("warmup_ratio")
    if not validated:
        absent.add("eval_steps")
    if not config.model.trust_remote_code:
        absent.add("trust_remote_code")
    arguments = {}
    for name, field in FIELDS.items():
        value = attrgetter(field.key)(config) if field.kind == "same" and field.key else derived.get(name, field.value)
        if value is not None and name not in absent:
            arguments[name] = value
    arguments |= given
    # Processors talk by gloo; for accelerators LLaMA-Factory chooses nccl or hccl itself.
    return arguments | {"ddp_backend": "gloo"} if processes > 1 and on_cpu else arguments


def _quantization(quantization: QuantizationConfig) -> dict[str, Any]:
    if quantization.bits is None:
        return {}
    arguments: dict[str, Any] = {"quantization_bit": quantization.bits, "quantization_method": "bnb"}
    if quantization.bits == 4:
        arguments |= {"quantization_type": quantization.type, "double_quantization": quantization.double}
    return arguments
