"""The one table of LLaMA-Factory's arguments and our keys: what is written, read back, refused and left out goes by it.

What is not in it has no key of ours, and goes to LLaMA-Factory as it is given under `llamafactory`, if it takes it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from harness.base.errors import did_you_mean

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
    # By its end: `tokenized_path` and `max_new_tokens` hold none.
    return argument.endswith(("token", "api_key", "password", "secret"))


@cache
def training_argument_names() -> frozenset[str]:
    """Return the names of all arguments that `llamafactory-cli train` takes. Raises ModuleNotFoundError without it.

    Read from the source, since importing its parser takes about ten seconds and a mistake has to be told at once: they
    are the annotated fields of the dataclasses."""
    names: set[str] = set()
    for source in _SOURCES:
        package = source.partition("/")[0]
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{package} is not installed; install the harness with its dependencies")
        tree = ast.parse((Path(spec.origin).parent.parent / source).read_text(encoding="utf-8"))
        for definition in tree.body:
            for field in definition.body if isinstance(definition, ast.ClassDef) else []:
                if isinstance(field, ast.AnnAssign) and "init=False" not in (text := ast.unparse(field)):
                    names.add(text.partition(":")[0])
    return frozenset(name for name in names if not name.startswith("_"))


def unknown_argument(name: str) -> str:
    """Return that LLaMA-Factory has no argument `name`, and which one may have been meant."""
    known = did_you_mean(name, training_argument_names())
    return f"LLaMA-Factory has no such training argument; {known}".rstrip("; ")
