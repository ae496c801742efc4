"""What of a configuration decides the memory that its run needs, as a worker is told it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.config.schema import ADAPTER, Config, MethodConfig, QuantizationConfig, arm_of
from harness.data import arithmetic, questions
from harness.data.sources import SourceReader
from harness.launch import torchrun
from harness.memory.places import Place
from harness.models import published
from harness.plan.device import precision_of
from harness.processes.jobs import ARITHMETIC, ToTrace
from harness.trainer import named_files
from harness.trainer.arguments import training_arguments

_ALLOCATORS = {
    "cuda": ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"),
    "ascend": ("PYTORCH_NPU_ALLOC_CONF",),
}
"""Variables that torch's allocator is told by."""
_GROWING = "expandable_segments:True"
_LONGEST = 8
"""Questions that may have most tokens: those with most characters."""


@dataclass(frozen=True)
class Arm:
    """Runs that differ in their seeds alone."""

    name: str
    """With what sets it apart from others of its name."""
    config: Config

    @property
    def is_baseline(self) -> bool:
        return arm_of(self.config) == self.config.baseline

    @property
    def others(self) -> str:
        """All settings but those that an arm is about: an arm and its baseline share them."""
        neither = replace(self.config, method=MethodConfig(), quantization=QuantizationConfig())
        return repr(replace(neither, arm=None, seed=0))


def arms(configs: Sequence[Config]) -> list[Arm]:
    """Return the arms of a sweep in their order, each once."""
    different = list({repr(replace(config, seed=0)): config for config in configs}.values())
    plain = [dict(_leaves(asdict(config))) for config in different]
    found = []
    for config, own in zip(different, plain, strict=True):
        name = arm_of(config)
        namesakes = [keys for other, keys in zip(different, plain, strict=True) if arm_of(other) == name]
        apart = [key for key, value in own.items() if any(keys.get(key) != value for keys in namesakes)]
        shown = [_shown(key, own[key]) for key in apart if key not in _NOT_TOLD]
        found.append(Arm(" ".join([*shown, name]), config))
    return found


_NOT_TOLD = ("seed", "tracking.experiment")


def _shown(key: str, value: object) -> str:
    return str(value).rpartition("/")[2] if key in ("model.path", "model.shape") else f"{key}={value}"


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def to_trace(
    arm: Arm,
    place: Place,
    sources: SourceReader,
    dataset: Path | None,
    names: tuple[Sequence[str], Sequence[str]] = (("train",), ("validation",)),
    limits_bytes: Sequence[int] = (),
    memory_bytes: Sequence[int] = (),
    fit_bytes: int | None = None,
) -> ToTrace:
    """Return what a worker is to trace of an arm on a place.

    `dataset`: the dataset_dir that its rows were written to, under `names`, those to train on and those to validate on;
    None: every row is as long as the cutoff. `limits_bytes` and `fit_bytes`: what torch may take. `memory_bytes`: what
    the device of each limit has."""
    config = arm.config
    path = config.model.path
    described = _described(config, sources)
    validated = bool(config.dataset.validation_samples or config.dataset.val_size or config.dataset.validation)
    train_names, validation_names = names
    processes = torchrun.world_size(config.launch, place.spec.chips)
    arguments = training_arguments(
        config,
        given=named_files.located(config.llamafactory, sources.root),
        train_names=train_names,
        validation_names=validation_names if validated else [],
        dataset_dir=dataset or sources.root,
        output_dir=sources.root,
        model_path=str(sources.path(path)) if path and _is_here(config, sources) else path or "",
        precision=precision_of(config, place.spec),
        on_cpu=place.kind == "cpu",
        processes=processes,
    )
    evaluation = config.evaluation
    is_scored = ADAPTER in evaluation.targets and bool(evaluation.benchmark or evaluation.prompts)
    return ToTrace.model_validate(
        {
            "arguments": arguments,
            "described": described,
            "hub": config.model.hub if described is None and not _is_here(config, sources) else None,
            "kind": place.kind,
            "tokens": config.training.cutoff_length if dataset is None else None,
            "validated": validated,
            "questions": (evaluation.batch_size if evaluation.benchmark else 1) if is_scored else None,
            "question_texts": _longest_questions(config, sources) if is_scored else [],
            "new_tokens": evaluation.max_new_tokens,
            "processes": processes,
            "limits_bytes": list(limits_bytes),
            "memory_bytes": list(memory_bytes),
            "fit_bytes": fit_bytes,
            "expandable": any(_GROWING in os.environ.get(name, "") for name in _ALLOCATORS.get(place.kind, ())),
        }
    )


def _is_here(config: Config, sources: SourceReader) -> bool:
    return config.model.path is not None and sources.path(config.model.path).is_dir()


def _described(config: Config, sources: SourceReader) -> dict[str, Any] | None:
    """The config.json of a model that is nowhere yet: of random weights, and of those that the recipes train."""
    model = config.model
    if model.path is None:
        sizes = {name: size for name, size in asdict(model.shapes[str(model.shape)]).items() if size is not None}
        return {**sizes, "dtype": "bfloat16", "max_position_embeddings": 32768}
    return None if _is_here(config, sources) else published.config_of(model.path)


def _longest_questions(config: Config, sources: SourceReader) -> list[str]:
    """The questions that may have most tokens; none where they are fetched later."""
    evaluation = config.evaluation
    texts: list[str] = [prompt.prompt for prompt in evaluation.prompts]
    if evaluation.benchmark == ARITHMETIC:
        count = evaluation.limit or arithmetic.DEFAULT_QUESTIONS
        texts += [row.instruction for row in arithmetic.generate("test", count, config.dataset.seed)]
    elif evaluation.benchmark:
        file = None if evaluation.path is None else questions.asked(sources.path(evaluation.path), evaluation.benchmark)
        if file is None:
            return []
        texts += questions.texts(file, evaluation.benchmark)
    return sorted(texts, key=len)[-_LONGEST:]
