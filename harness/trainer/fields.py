"""The one table of LLaMA-Factory's arguments and our keys: what is written, read back, refused and left out goes by it.

What is not in it has no key of ours, and goes to LLaMA-Factory as it is given under `llamafactory`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

SECRETS = ("token", "api_key", "password", "secret")
"""How the names of arguments that hold one end; `tokenized_path` and `max_new_tokens` hold none."""


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
    reason: str | None = None
    """Why an import leaves it out, and what to do instead; None: it is carried, or says what is so in every run."""


def _same(argument: str, key: str, default: Any = None) -> Field:
    return Field(argument, "same", key, default)


def _constant(
    argument: str, value: Any, reason: str | None = None, key: str | None = None, default: Any = None
) -> Field:
    return Field(argument, "constant", key, default, value, reason)


def _derived(argument: str, key: str | None, default: Any = None, reason: str | None = None) -> Field:
    return Field(argument, "derived", key, default, reason=reason)


def _unwritten(argument: str, key: str | None = None, default: Any = None, reason: str | None = None) -> Field:
    return Field(argument, "unwritten", key, default, reason=reason)


_TABLE = (
    _derived("model_name_or_path", "model.path"),
    _same("template", "model.template"),
    _same("trust_remote_code", "model.trust_remote_code", False),
    _constant("stage", "sft", key="method", default="sft"),
    _constant("do_train", True, "the harness trains; for other work use llamafactory-cli", "harness run", False),
    _derived("finetuning_type", "method.finetuning_type", "lora"),
    _same("lora_rank", "method.rank", 8),
    _derived("lora_alpha", "method.alpha"),
    _same("lora_dropout", "method.dropout", 0.0),
    _same("lora_target", "method.target", "all"),
    _derived("quantization_bit", "quantization.bits"),
    _derived("quantization_method", "quantization", "bnb"),
    _derived("quantization_type", "quantization.type", "nf4"),
    _derived("double_quantization", "quantization.double", True),
    _derived("dataset", "dataset.path"),
    _derived("eval_dataset", "dataset.validation_samples"),
    _derived("dataset_dir", "dataset.path", "data"),
    _same("max_samples", "dataset.max_samples"),
    _same("val_size", "dataset.val_size", 0.0),
    _same("cutoff_len", "training.cutoff_length", 2048),
    _same("packing", "training.packing"),
    _constant("overwrite_cache", True, default=False),
    _derived("output_dir", "output", reason="each run has a folder of its own; output=FOLDER is where those are made"),
    # A stale output_dir would silently continue an older run.
    _constant("overwrite_output_dir", True, "a run's folder is always a new one", default=False),
    _unwritten("resume_from_checkpoint", reason="a run starts at its beginning; one that was stopped is trained again"),
    _same("per_device_train_batch_size", "training.batch_size", 8),
    _derived("per_device_eval_batch_size", None, 8),
    _same("gradient_accumulation_steps", "training.gradient_accumulation", 1),
    _same("learning_rate", "training.learning_rate", 5e-5),
    _same("num_train_epochs", "training.epochs", 3.0),
    _same("max_steps", "training.max_steps", -1),
    _same("lr_scheduler_type", "training.scheduler", "linear"),
    _same("warmup_ratio", "training.warmup_ratio"),
    _same("warmup_steps", "training.warmup_steps", 0),
    _derived("bf16", "training.precision", False),
    _derived("fp16", "training.precision", False),
    _derived("disable_gradient_checkpointing", "training.gradient_checkpointing", False),
    _same("logging_steps", "training.logging_steps", 500),
    _derived("eval_strategy", "training.validation_steps", "no"),
    _same("eval_steps", "training.validation_steps"),
    _derived("save_strategy", "training.save_steps", "steps"),
    _same("save_steps", "training.save_steps", 500),
    _same("seed", "seed", 42),
    _derived("use_cpu", "device", False),
    _derived("ddp_backend", None),
    _constant("disable_tqdm", True, "the harness shows the progress itself"),
    _constant(
        "include_num_input_tokens_seen",
        "non_padding",
        "the harness counts non-padding tokens, for its own figures",
        default="no",
    ),
    _constant("report_to", "none", key="tracking", default="none"),
    _unwritten("use_swanlab", "tracking", False),
    _unwritten("swanlab_mode", "tracking.mode", "cloud"),
    _unwritten("swanlab_project", "tracking.project", "llamafactory"),
    _unwritten("swanlab_workspace", "tracking.workspace"),
    _unwritten("swanlab_run_name", "tracking.experiment"),
    _unwritten("swanlab_logdir", reason="SwanLab's files go into outputs/SWEEP/swanlog"),
    _unwritten("swanlab_lark_webhook_url", reason="the harness sends no messages"),
)
FIELDS = {field.argument: field for field in _TABLE}
"""By LLaMA-Factory's name, in the order of train.yaml."""


def holds_secret(argument: str) -> bool:
    """Return whether an argument of this name holds a secret, which stands in no file of ours."""
    return argument.endswith(SECRETS)


def own_key(argument: str) -> str | None:
    """Return the key that decides `argument`, so that it is refused under `llamafactory`; None: it is not refused."""
    field = FIELDS.get(argument)
    return field.key if field else None
