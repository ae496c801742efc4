"""Every rule that a configuration can break. A mistake names the key, what is wrong and what would be right.

Nothing is downloaded and nothing is written here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict
from functools import reduce
from operator import attrgetter, getitem
from typing import Any

from harness.base import ports
from harness.base.decoding import has_lone_surrogates
from harness.base.errors import did_you_mean
from harness.base.paths import NAME_RULE, absolute, is_name, obstacle
from harness.compose.adapter_checks import adapter_mistakes
from harness.compose.data_checks import question_mistakes, row_mistakes
from harness.compose.keys import OPEN, keys, sections
from harness.compose.llamafactory_checks import llamafactory_mistakes
from harness.compose.model_checks import model_mistakes
from harness.compose.tracking_checks import tracking_mistakes
from harness.config.schema import FREE, LANGUAGES, MERGED, TARGETS, Config, LaunchConfig, arm_of
from harness.data.sources import SourceReader
from harness.devices.device import Device

_LAUNCHES = ("single", "cards", "nodes")
_POSITIVE = (
    *("method.rank", "method.alpha", "dataset.train_samples", "dataset.max_samples", "dataset.val_size"),
    *("training.learning_rate", "training.epochs", "training.max_steps", "training.batch_size"),
    *("training.gradient_accumulation", "training.cutoff_length", "training.logging_steps"),
    *("training.validation_steps", "training.save_steps", "evaluation.limit", "evaluation.batch_size"),
    *("evaluation.max_new_tokens", "device.interval_seconds", "device.threads", "device.count"),
    *("comparison.margin_points", "comparison.margin_nats", "comparison.memory_limit_mib", "comparison.looks"),
)
_NOT_NEGATIVE = ("dataset.validation_samples", "evaluation.few_shot", "training.warmup_steps", "retry.attempts")
_CHOICES = {
    "training.precision": ("auto", "fp32", "fp16", "bf16"),
    "method.finetuning_type": ("lora", "full"),
    "quantization.type": ("nf4", "fp4"),
    "tracking.mode": ("local", "cloud", "offline", "disabled"),
    "model.hub": ("huggingface", "modelscope", "local"),
    "report.language": LANGUAGES,
}
_RATIOS = ("comparison.margin_time_ratios", "comparison.margin_memory_ratios")
_BOUNDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(_POSITIVE, (lambda value: value > 0, "must be greater than 0")),
    **dict.fromkeys(_NOT_NEGATIVE, (lambda value: value >= 0, "must be 0 or greater")),
    **{key: (known.__contains__, f"must be one of {', '.join(known)}") for key, known in _CHOICES.items()},
    **dict.fromkeys(_RATIOS, (lambda value: _is_around_1(value), "give [LOW, HIGH], where 0 < LOW < 1 < HIGH")),
    # What numpy's generator takes.
    "seed": (lambda value: 0 <= value < 2**32, "must be 0 or greater, and below 2**32"),
    "method.dropout": (lambda value: 0 <= value < 1, "must be at least 0 and below 1"),
    "training.warmup_ratio": (lambda value: 0 <= value < 1, "a share of all steps, at least 0 and below 1"),
    "dataset.validation_fraction": (lambda value: 0 < value < 1, "must be between 0 and 1"),
    "device.chips": (lambda value: _names_chips(value), f"give a list of logic ids, such as [0,1], or {FREE}, or null"),
    "quantization.bits": ((4, 8).__contains__, "use 4 or 8, or null for weights as they are"),
}


def _is_around_1(ratios: Sequence[float]) -> bool:
    return len(ratios) == 2 and 0 < ratios[0] < 1 < ratios[1] < math.inf


def _names_chips(value: object) -> bool:
    return value == FREE or (isinstance(value, list) and all(type(chip) is int and chip >= 0 for chip in value))


def check(config: Config, device: Device | None, sources: SourceReader, *, reported: bool = True) -> list[str]:
    """Return all mistakes of one configuration; an empty list when there is none.

    Without a device, what concerns it is left out; rows on a hub that were not fetched are left out too.
    `reported`: whether a report will be made of the run, so that `reports` must be a folder that can be written."""
    # Most other checks would trip over them.
    return list(_texts(config)) or [
        *_values(config),
        *_validation(config),
        *_places(config, sources, reported),
        *_quantization(config),
        *model_mistakes(config, sources),
        *row_mistakes(config, sources),
        *question_mistakes(config.evaluation, sources),
        *_evaluation(config),
        *_precision(config, device),
        *launch_mistakes(config.launch, device),
        *llamafactory_mistakes(config, device, sources),
        *adapter_mistakes(config, sources),
        *tracking_mistakes(config, sources),
    ]


def check_rows(config: Config, sources: SourceReader) -> list[str]:
    """Return those of them that concern the rows alone."""
    all_mistakes = list(_texts(config)) or [
        *_values(config),
        *_validation(config),
        *row_mistakes(config, sources),
    ]
    return [mistake for mistake in all_mistakes if mistake.startswith(("dataset.", "model.hub="))]


def check_memory(config: Config, sources: SourceReader) -> list[str]:
    """Return those of them that a forecast of memory hangs on: neither weights nor rows nor a device."""
    return list(_texts(config)) or [
        *_values(config),
        *_quantization(config),
        *model_mistakes(config, sources, with_weights=False),
        *launch_mistakes(config.launch, None),
        *llamafactory_mistakes(config, None, sources),
    ]


def _texts(config: Config) -> Iterator[str]:
    plain = asdict(config)
    for key in keys():
        value = reduce(getitem, key.split("."), plain)
        if key not in sections() and has_lone_surrogates(value):
            yield f"{key}={value}: holds bytes or half a character that no UTF-8 can name; rename it"


def _values(config: Config) -> Iterator[str]:
    for key, (is_right, rule) in _BOUNDS.items():
        value = attrgetter(key)(config)
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{key}={value}: must be a finite number"
        elif value is not None and not is_right(value):
            yield f"{key}={value}: {rule}"
    if config.device.count != 1 and not config.device.takes_free:
        yield f"device.count={config.device.count}: it is for device.chips={FREE}; else name them: device.chips=[0,1]"
    try:
        (config.tracking.experiment or "").format(arm="lora", seed=0)
    except (LookupError, ValueError, TypeError, AttributeError):
        yield f"tracking.experiment={config.tracking.experiment}: {{arm}} and {{seed}} are filled in, and nothing else"


def axis_mistakes(axes: Sequence[str], facts: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with comparison.axes. `facts`: the names under which a report compares them."""
    known = [*facts, *keys()] if axes else []
    for axis in axes:
        if axis not in known and not axis.startswith(OPEN):
            near = did_you_mean(axis, known) or f"name a key, such as method.rank, or one of {', '.join(facts)}"
            yield f"comparison.axes: {axis}: no such key, nor a fact that is compared; {near}".rstrip()


def _validation(config: Config) -> Iterator[str]:
    """Which rows the validation loss is taken of."""
    dataset, steps = config.dataset, config.training.validation_steps
    if dataset.val_size and dataset.validation_samples:
        yield (
            f"dataset.val_size={dataset.val_size}: the rows are held out already; "
            "set dataset.validation_samples=0, or leave val_size out"
        )
    if dataset.validation and (dataset.val_size or dataset.validation_samples):
        yield (
            "dataset.validation: rows are held out already; leave it out, or set dataset.val_size=null and "
            "dataset.validation_samples=0"
        )
    if steps and not (dataset.validation_samples or dataset.val_size or dataset.validation):
        yield (
            f"training.validation_steps={steps}: there are no rows to validate on; "
            "set dataset.validation_samples, or training.validation_steps=null"
        )


def _places(config: Config, sources: SourceReader, reported: bool) -> Iterator[str]:
    """Where the run and its report are written."""
    names = {"sweep": config.sweep, "arm": arm_of(config)}
    wrong_names = {key: name for key, name in names.items() if not is_name(name)}
    for key, name in wrong_names.items():
        yield f"{key}={name!r}: names a folder; {NAME_RULE}"
    output = sources.path(config.output)
    if "," in (full := str(absolute(output))):
        yield f"output={config.output}: LLaMA-Factory parts paths at the comma in {full}; use a folder without one"
    if "sweep" in wrong_names:
        return
    for key, name in {"output": config.output, **({"reports": config.reports} if reported else {})}.items():
        if reason := obstacle(sources.path(name) / config.sweep):
            yield f"{key}={name}: {reason}; give a folder that can be written"


def _quantization(config: Config) -> Iterator[str]:
    quantization, method = config.quantization, config.method
    if quantization.bits and method.finetuning_type == "full":
        yield (
            f"quantization={quantization.name}: a quantized base cannot be trained in full (method={method.name}); "
            "use method=qlora, or quantization=none"
        )
    if quantization.bits is None and method.name == "qlora" and quantization.name != "none":
        yield "quantization.bits=null: method=qlora needs a quantized base; use 4 or 8, or method=lora"


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
    for number, prompt in enumerate(evaluation.prompts):
        if not prompt.prompt.strip():
            yield f"evaluation.prompts[{number}].prompt: a text is needed"
        if prompt.expected is not None and not prompt.expected.strip():
            yield (
                f"evaluation.prompts[{number}].expected: every answer holds an empty text; "
                "give one that a right answer must hold, or leave expected out"
            )


def _precision(config: Config, device: Device | None) -> Iterator[str]:
    if device is None:
        return
    if config.training.precision == "bf16" and device.supports_bf16 is False:
        yield f"training.precision=bf16: {device.product} has no bf16; use fp16 or auto"
    if config.training.precision == "fp16" and device.torch_device == "cpu":
        yield "training.precision=fp16: mixed fp16 needs an accelerator; on a CPU use fp32, bf16 or auto"


def launch_mistakes(launch: LaunchConfig, device: Device | None) -> Iterator[str]:
    """Yield what is wrong with `launch` on `device`: `key: what; what would be right`.

    Without a device, what concerns its chips and the ports of its machine is left out."""
    if launch.name not in _LAUNCHES:
        yield f"launch.name={launch.name}: must be one of {', '.join(_LAUNCHES)}"
        return
    for key, value in {"nproc": launch.nproc, "nnodes": launch.nnodes, "join_seconds": launch.join_seconds}.items():
        if value is not None and value <= 0:
            yield f"launch.{key}={value}: must be greater than 0"
    if not 0 <= launch.node_rank < max(1, launch.nnodes):
        yield f"launch.node_rank={launch.node_rank}: with launch.nnodes={launch.nnodes} it is 0 to {launch.nnodes - 1}"
    if launch.name == "single" and (launch.nproc or 1) * launch.nnodes > 1:
        yield "launch.nproc: launch=single is one process; use launch=cards, or launch=nodes for several machines"
    if launch.name == "cards" and launch.nnodes > 1:
        yield f"launch.nnodes={launch.nnodes}: launch=cards is one machine; use launch=nodes"
    if device is not None:
        yield from _chips(launch, device)
    yield from _port(launch, this_machine=device is not None)


def _chips(launch: LaunchConfig, device: Device) -> Iterator[str]:
    chips = list(device.chips)
    if launch.name == "single" and len(chips) > 1 and device.torch_device != "cpu":
        yield (
            f"device.chips={chips}: launch=single trains on one chip; "
            "name one, or use launch=cards for one process a chip"
        )
    if launch.nproc is not None and chips and launch.nproc != len(chips):
        yield (
            f"launch.nproc={launch.nproc}: device.chips={chips} has {len(chips)} chips; "
            "each process needs one of its own, so leave launch.nproc out"
        )


def _port(launch: LaunchConfig, this_machine: bool) -> Iterator[str]:
    if launch.master_port is not None and not 0 < launch.master_port < 65536:
        yield f"launch.master_port={launch.master_port}: must be 1 to 65535"
        return
    if launch.nnodes > 1 and launch.master_addr is None:
        yield "launch.master_addr: a value is needed, the address of node 0 as the other nodes reach it"
    if launch.nnodes > 1 and launch.master_port is None:
        yield "launch.master_port: a value is needed, the same on every node (29500, say)"
    listens = this_machine and launch.name != "single" and launch.node_rank == 0
    if listens and launch.master_port is not None and (error := ports.refusal(launch.master_port)):
        yield f"launch.master_port={launch.master_port}: {error.strerror}; choose another, the same on every node"
