"""Which run is this: a hash of everything that decides a run's result, and of nothing else.

In it: weights, rows, questions, method, quantization, training, evaluation, seed, precision, kind and product of the
device, versions of the deciding libraries. Not in it: where files are, how often memory is read, tracking, names.
Two versions of the harness must give the same run the same identity, or a sweep that goes on trains twice.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from harness.config.schema import Config
from harness.data import arithmetic
from harness.runs.record import IdentityParts
from harness.trainer.fields import REACH, Reach

LENGTH = 10
_NO_RESULT = ("precision", "logging_steps", "save_steps")
"""Keys of `training` that change no weight; the precision stands in the hash as it was resolved."""
_ASKED_LATER = ("name", "path", "targets", "prompts")
"""Keys of `evaluation` that change no answer; targets and prompts can be asked for later without training again."""
_ASKED = {"evaluation", "questions"}
_ANSWERED_BY_THE_BASE = {"model", "template", "evaluation", "questions", "precision", "device", "threads", "versions"}
_TRAINED_TOGETHER = {"method", "quantization", "rows", "cut", "training", "llamafactory", "template", "seed"}


def parts_of(
    config: Config,
    *,
    weights: str,
    questions: str | None,
    rows: str,
    precision: str,
    device: list[Any],
    versions: dict[str, str],
    processes: int,
    llamafactory: dict[str, Any],
) -> IdentityParts:
    """Return the parts of a run's identity. `weights`, `questions` and `rows` are hashes of their content;
    `llamafactory` is what a user gave there, with the content of files in place of their names."""
    quantization = {key: value for key, value in asdict(config.quantization).items() if key != "name"}
    if config.quantization.bits != 4:
        del quantization["type"], quantization["double"]
    return IdentityParts(
        model=weights,
        template=config.model.template,
        evaluation=_without(asdict(config.evaluation), _ASKED_LATER),
        questions=questions,
        precision=precision,
        device=device,
        threads=config.device.threads,
        versions=versions,
        method=_without(asdict(config.method), ("name", "quantization")),
        quantization=quantization,
        rows=rows,
        cut=[config.dataset.max_samples, config.dataset.val_size],
        training=_without(asdict(config.training), _NO_RESULT),
        llamafactory=llamafactory,
        seed=config.seed,
        processes=processes,
    )


def of_run(parts: IdentityParts) -> str:
    """Return the identity of a run."""
    return _hash(parts.model_dump())


def of_training(parts: IdentityParts) -> str:
    """Return the identity of a run's training, whatever is asked after it."""
    return _hash(parts.model_dump(exclude=_ASKED))


def of_base(parts: IdentityParts) -> str:
    """Return the identity of an evaluation of the base, as a training finds it: the same for all arms and seeds."""
    asked = parts.model_dump(include=_ANSWERED_BY_THE_BASE)
    given = {name: value for name, value in parts.llamafactory.items() if REACH.get(name) is Reach.EVERY_STEP}
    # As the version before named it, where there is nothing of the kind.
    return _hash(asked | ({"llamafactory": given} if given else {}))


def of_settings(parts: IdentityParts) -> str:
    """Return a hash of what must be the same on every machine that trains a run."""
    return _hash(parts.model_dump(include=_TRAINED_TOGETHER))


def of_arithmetic_questions(count: int, seed: int) -> str:
    """Return a hash of the questions of the project's own benchmark."""
    return _hash({"rows": [asdict(row) for row in arithmetic.generate("test", count, seed)]})


def _without(values: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def _hash(parts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:LENGTH]
