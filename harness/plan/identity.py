"""Which run is this: a hash of everything that decides a run's result, and of nothing else.

In it: weights, rows, questions, method, quantization, training, evaluation, seed, precision, kind and product of the
device, versions of the deciding libraries. Not in it: where files are, how often memory is read, tracking, names.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from harness.config.schema import Config
from harness.data import arithmetic
from harness.devices.device import Device
from harness.launch import torchrun as launch
from harness.plan import machine as environment

LENGTH = 10
_NO_RESULT = ("precision", "logging_steps", "save_steps")
"""Keys of `training` that change no weight; the precision stands in the hash as it was resolved."""
_ASKED_LATER = ("name", "path", "targets", "prompts")
"""Keys of `evaluation` that change no answer; targets and prompts can be made up for without training again."""
_WHOLE_BYTES = 64 * 2**20
_SAMPLES, _SAMPLE_BYTES = 64, 64 * 2**10


def of_run(config: Config, device: Device, precision: str, weights: str, rows_digest: str) -> str:
    return _hash(
        {
            **_common(config, device, precision, weights),
            **_settings(config, rows_digest),
            "seed": config.seed,
            "processes": launch.world_size(config.launch, device),
        }
    )


def of_settings(config: Config, rows_digest: str) -> str:
    """What must be the same on every machine that trains a run."""
    return _hash(_settings(config, rows_digest) | {"template": config.model.template, "seed": config.seed})


def of_base(config: Config, device: Device, precision: str, weights: str) -> str:
    """Which evaluation of the base without adapter: the same for all arms and seeds."""
    return _hash(_common(config, device, precision, weights))


def _settings(config: Config, rows_digest: str) -> dict[str, Any]:
    quantization = asdict(config.quantization)
    if config.quantization.bits != 4:
        quantization.pop("type")
        quantization.pop("double")
    method = {key: value for key, value in asdict(config.method).items() if key not in ("name", "quantization")}
    return {
        "method": method,
        "quantization": {key: value for key, value in quantization.items() if key != "name"},
        "rows": rows_digest,
        "cut": [config.dataset.max_samples, config.dataset.val_size],
        "training": {key: value for key, value in asdict(config.training).items() if key not in _NO_RESULT},
        "llamafactory": config.llamafactory,
    }


def _common(config: Config, device: Device, precision: str, weights: str) -> dict[str, Any]:
    evaluation = config.evaluation
    path = None if evaluation.path is None else Path(evaluation.path).expanduser()
    questions = None if path is None else fingerprint(path)
    if evaluation.benchmark == "arithmetic":
        questions = _arithmetic_questions(evaluation.limit, config.dataset.seed)
    return {
        "model": weights,
        "template": config.model.template,
        "evaluation": {key: value for key, value in asdict(evaluation).items() if key not in _ASKED_LATER},
        "questions": questions,
        "precision": precision,
        "device": [device.kind, device.product, len(device.chips), *([device.stand_in] if device.stand_in else [])],
        "threads": config.device.threads,
        "versions": environment.versions(),
    }


def _hash(parts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:LENGTH]


@cache
def _arithmetic_questions(count: int | None, seed: int) -> str:
    return _hash({"rows": [asdict(row) for row in arithmetic.generate("test", count or 200, seed)]})


def fingerprint(path: Path) -> str:
    """A hash of a file, or of all files of a folder with their names. A file above 64 MiB is sampled: its size and 64
    blocks of 64 KiB spread over it, since reading 15 GB of weights would take longer than a short run."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        name = "" if file == path else str(file.relative_to(path))
        digest.update(f"{name}\0{_file_fingerprint(file, file.stat().st_mtime_ns)}\0".encode())
    return digest.hexdigest()


def of_weights(folder: Path) -> str | None:
    """Which weights a model's folder holds, whatever else is in it; None: none. Sampled like a fingerprint."""
    files = sorted(file for kind in ("*.safetensors", "*.bin") for file in folder.glob(kind) if file.is_file())
    return _hash({file.name: _file_fingerprint(file, file.stat().st_mtime_ns) for file in files}) if files else None


@cache
def _file_fingerprint(file: Path, modified_ns: int) -> str:
    size = file.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as opened:
        if size <= _WHOLE_BYTES:
            digest.update(opened.read())
        else:
            for number in range(_SAMPLES):
                opened.seek((size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
                digest.update(opened.read(_SAMPLE_BYTES))
    return digest.hexdigest()
