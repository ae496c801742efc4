"""The record of a training that was adopted: what its files tell, and a list of what they do not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from harness.adoption.log import RESULTS
from harness.adoption.output_folder import ARGUMENTS, OPTIMIZER, Found
from harness.base.redaction import redacted
from harness.runs.divergence import divergence_of
from harness.runs.record import Adopted, Environment, Outcome, Record, Training, Unknown
from harness.trainer.fields import FIELDS, LEFT_OUT, holds_secret

_IDENTITY_CHARACTERS = 10
_DEVICES = {"cpu": "cpu", "cuda": "cuda", "npu": "ascend"}
_NO_SETTING = (("max_steps", -1), ("warmup_steps", 0))
"""How transformers writes that an argument is not used."""


def record_of(found: Found, arm: str, baseline: str, sweep: str, measure: str | None) -> Record:
    """Return the record of a training as a run of `sweep`; `measure`: the command that would measure it."""
    logged = found.log
    training = _training(found)
    divergence = divergence_of(logged.losses, logged.validation)
    status, reason = (Outcome.COMPLETED, None) if training else (Outcome.INTERRUPTED, _how_far(found))
    file = found.training_file
    return Record(
        status=status,
        reason=reason,
        sweep=sweep,
        arm=arm,
        seed=found.seed,
        baseline=baseline,
        identity=found.digest[:_IDENTITY_CHARACTERS],
        device=found.device and _DEVICES.get(found.device, found.device),
        adopted=Adopted(
            folder=str(found.folder),
            told=found.told,
            disbelieved=found.disbelieved,
            unknown=list(_unknown(found, training)),
            measure=measure,
        ),
        command=f"llamafactory-cli train {file.path}" if file else f"harness adopt {arm}={found.folder}",
        config=redacted(_configuration(found)),
        environment=Environment(
            versions=found.versions,
            platform=None,
            device=None,
            device_count=found.processes,
            cpu_count=None,
            host_memory_mib=None,
        ),
        started_at=_started_at(found),
        wall_seconds=None,
        memory=logged.peaks if found.processes == 1 else [],
        training=training,
        diverged=None if divergence is None and len(logged.losses) < 2 else divergence is not None,
        divergence=divergence,
        unread_lines=logged.unread_lines,
    )


def _training(found: Found) -> Training | None:
    """None: it did not come to its end."""
    logged = found.log
    if not logged.reached_its_end or logged.loop_seconds is None:
        return None
    validation = logged.validation_seconds
    # Of a training that was resumed the results tell the last part's time, and its log every validation.
    seconds = None if validation is None or validation > logged.loop_seconds else logged.loop_seconds - validation
    # As all figures of the harness, without padding.
    tokens = logged.tokens if found.arguments.get("include_num_input_tokens_seen") == "non_padding" else None
    last = logged.validation[-1].loss if logged.validation else None
    weights = [
        file.stat().st_size
        for file in found.folder.iterdir()
        if file.suffix in (".safetensors", ".bin") and file.name != ARGUMENTS
    ]
    return Training(
        train_seconds=seconds,
        validation_seconds=validation,
        steps=logged.step,
        tokens=tokens,
        tokens_per_second=tokens / seconds if tokens and seconds else None,
        train_loss=logged.losses[-1].loss if logged.losses else None,
        validation_loss=last if logged.final_validation_loss is None else logged.final_validation_loss,
        adapter_mib=sum(weights) / 2**20 if weights else None,
    )


def _how_far(found: Found) -> str:
    of = "" if found.log.total_steps is None else f" of {found.log.total_steps}"
    return f"The training ended at step {found.log.step}{of}, so its adapter is no result."


def _started_at(found: Found) -> datetime:
    """Worked out of the time at which the last file of the training was written."""
    logged = found.log
    results = [found.folder / name for name in reversed(RESULTS)] if logged.loop_seconds is not None else []
    written = [path for path in (*results, *(found.folder / name for name in found.told)) if path.is_file()]
    seconds = logged.loop_seconds or logged.elapsed_seconds or 0
    return datetime.fromtimestamp(written[0].stat().st_mtime - seconds, UTC)


def _unknown(found: Found, training: Training | None) -> list[Unknown]:
    known = {
        Unknown.MEMORY: bool(found.log.peaks and found.processes == 1),
        Unknown.ACCURACY: False,
        Unknown.QUANTIZATION: "quantization_bit" in found.arguments,
        Unknown.SEED: "seed" in found.arguments,
        Unknown.TRAIN_SECONDS: training is None or training.train_seconds is not None,
        Unknown.TOKENS: training is None or training.tokens is not None,
        Unknown.DEVICE: found.device is not None,
        Unknown.HARDWARE: False,
        Unknown.ROWS: False,
        Unknown.VERSIONS: bool(found.versions),
        Unknown.STARTED_AT: False,
    }
    return [what for what, is_known in known.items() if not is_known]


def _configuration(found: Found) -> dict[str, Any]:
    """The arguments under our keys, as far as they are known."""
    arguments, config = found.arguments, dict[str, Any](seed=found.seed)

    def put(key: str, value: Any) -> None:
        group, _, rest = key.partition(".")
        if rest:
            config.setdefault(group, {})[rest] = value

    for name, value in arguments.items():
        if (name, value) in _NO_SETTING:
            continue
        known = FIELDS.get(name)
        if known is not None:
            if known.kind == "same" and known.key is not None:
                put(known.key, value)
        elif name in OPTIMIZER:
            # What is absent under llamafactory was not set, so what transformers takes by itself does not belong there.
            put(f"training.{name}", value)
        elif name not in LEFT_OUT and not holds_secret(name):
            put(f"llamafactory.{name}", value)
    bits = arguments.get("quantization_bit")
    derived = {
        "model.path": arguments.get("model_name_or_path"),
        "method.name": arguments.get("finetuning_type") if bits != 4 else "qlora",
        "method.finetuning_type": arguments.get("finetuning_type"),
        "method.alpha": arguments.get("lora_alpha"),
        "dataset.path": _listed(arguments.get("dataset")),
        "dataset.validation": _listed(arguments.get("eval_dataset")),
        "quantization.type": arguments.get("quantization_type") if bits == 4 else None,
        "quantization.double": arguments.get("double_quantization") if bits == 4 else None,
    }
    for key, value in derived.items():
        if value is not None:
            put(key, value)
    if bits is not None:
        put("quantization.bits", bits or None)
    if "bf16" in arguments and "fp16" in arguments:
        put("training.precision", next((name for name in ("bf16", "fp16") if arguments[name]), "fp32"))
    return config


def _listed(names: Any) -> str | None:
    return ",".join(map(str, names)) if isinstance(names, list) else names
