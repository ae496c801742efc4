"""What decided a run's result, as far as its record tells: one mapping from dotted keys to values.

A record holds the parts of its identity, and content (weights, rows, questions) by its hash. One of the version before
holds its configuration alone: there a path or a count stands in for the content that it led to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from harness.runs.record import Record

Known: TypeAlias = Mapping[str, object]

CONTENT = {
    "model": ("model.path", "model.shape", "model.sizes", "model.trust_remote_code"),
    "rows": (
        *("dataset.path", "dataset.repository", "dataset.file", "dataset.formatting", "dataset.columns"),
        *("dataset.tags", "dataset.also", "dataset.validation", "dataset.train_samples", "dataset.validation_samples"),
        *("dataset.validation_fraction", "dataset.append_answer", "dataset.seed"),
    ),
    "questions": ("evaluation.path",),
    "precision": ("training.precision",),
}
"""What is read from outside or decided by the device, and the keys that stand in for it where it was not recorded."""
GROUP_NAMES = ("dataset.name", "evaluation.name")
"""They decide nothing, but say shortest what differs where each stands for one configuration."""

# What the version before took for deciding, which recorded no parts.
_DECIDING_LIBRARIES = (
    *("torch", "torch-npu", "transformers", "peft", "trl"),
    *("accelerate", "bitsandbytes", "llamafactory", "evalscope", "numpy"),
)
_NOT_DECIDING = {
    "evaluation": ("name", "path", "targets", "prompts"),
    "method": ("name", "quantization"),
    "quantization": ("name",),
    "training": ("precision", "logging_steps", "save_steps"),
}


def absence_tells(key: str) -> bool:
    """Return whether `key` was recorded wherever it was set, also by the version before."""
    return key.startswith("llamafactory.") or key.removeprefix("versions.") in _DECIDING_LIBRARIES


@dataclass(frozen=True)
class Settings:
    """What decided one run's result, or that of several which are pooled."""

    known: Known
    stand_ins: dict[str, object]
    """The keys of CONTENT's values."""
    complete: bool
    """Whether the parts of the identity were recorded: then every key that is absent was not set."""
    names: dict[str, object] = field(default_factory=dict)
    """Of GROUP_NAMES."""


def settings_of(record: Record) -> Settings:
    """Return what `record` tells of the settings of its run, without the seed."""
    config = dict(_leaves(record.config, ""))
    parts = record.identity_parts
    known = _from_parts(record) if parts is not None else _from_configuration(record.config, config)
    known |= {
        "device": record.device,
        "hardware": record.environment.device,
        "chips": record.environment.device_count,
        "stand_in": record.stand_in,
    }
    versions = record.environment.versions if parts is None else parts.versions
    known |= {
        f"versions.{name}": version
        for name, version in versions.items()
        if parts is not None or name in _DECIDING_LIBRARIES
    }
    if record.base_weights is not None:
        known["weights"] = record.base_weights
    stand_ins = {
        key: value
        for key, value in config.items()
        if any(key == name or key.startswith(f"{name}.") for names in CONTENT.values() for name in names)
        and not (key == "training.precision" and value == "auto")
    }
    names = {key: config[key] for key in GROUP_NAMES if key in config}
    return Settings(known, stand_ins, parts is not None, names)


def _from_parts(record: Record) -> dict[str, object]:
    parts = record.identity_parts
    assert parts is not None
    known: dict[str, object] = {
        "model": parts.model,
        "template": parts.template,
        "precision": parts.precision,
        "threads": parts.threads,
        "rows": parts.rows,
        "processes": parts.processes,
        **dict(zip(("dataset.max_samples", "dataset.val_size"), parts.cut, strict=False)),
    }
    if parts.questions is not None:
        known["questions"] = parts.questions
    for name in ("evaluation", "method", "quantization", "training", "llamafactory"):
        known |= dict(_leaves(getattr(parts, name), name))
    return known


def _from_configuration(nested: Mapping[str, Any], config: Known) -> dict[str, object]:
    """Return what the parts would have been, of what the configuration alone decides."""
    known = {
        key: config[source]
        for key, source in (
            ("template", "model.template"),
            ("threads", "device.threads"),
            ("dataset.max_samples", "dataset.max_samples"),
            ("dataset.val_size", "dataset.val_size"),
        )
        if source in config
    }
    for name in ("evaluation", "method", "quantization", "training", "llamafactory"):
        undecided = _NOT_DECIDING.get(name, ())
        kept = {key: value for key, value in (nested.get(name) or {}).items() if key not in undecided}
        if name == "quantization" and kept.get("bits") != 4:
            kept = {key: value for key, value in kept.items() if key not in ("type", "double")}
        known |= dict(_leaves(kept, name))
    launch = nested.get("launch") or {}
    if launch:
        chips = (nested.get("device") or {}).get("chips") or [0]
        on_each = 1 if launch.get("name") == "single" else launch.get("nproc") or len(chips)
        known["processes"] = on_each * launch.get("nnodes", 1)
    return known


def _leaves(value: object, prefix: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def is_recorded(content: str, first: Settings, second: Settings) -> bool:
    """Return whether both tell this key of CONTENT itself, so that nothing need stand in for it."""
    keys = (content, "weights") if content == "model" else (content,)
    return any(key in first.known and key in second.known for key in keys)


def differences(first: Settings, second: Settings) -> dict[str, tuple[object, object]]:
    """Return each key, sorted, in which the two are known to differ, with both values (None: not set)."""
    found = contradictions(first, second)
    for content, names in CONTENT.items():
        if is_recorded(content, first, second):
            continue
        for key in first.stand_ins.keys() & second.stand_ins.keys():
            stands_in = any(key == name or key.startswith(f"{name}.") for name in names)
            if stands_in and first.stand_ins[key] != second.stand_ins[key]:
                found[key] = first.stand_ins[key], second.stand_ins[key]
    return dict(sorted(found.items()))


def contradictions(first: Settings, second: Settings) -> dict[str, tuple[object, object]]:
    """Return the same without what only stands in for content."""
    found = {}
    for key in first.known.keys() | second.known.keys():
        is_in_both = key in first.known and key in second.known
        is_told = key not in ("weights", *CONTENT) and ((first.complete and second.complete) or absence_tells(key))
        values = first.known.get(key), second.known.get(key)
        if (is_in_both or is_told) and values[0] != values[1]:
            found[key] = values
    return found


def merged(several: Iterable[Settings]) -> Settings:
    """Return what is known of runs that are pooled: of each key the value of the first that tells it."""
    known: dict[str, object] = {}
    stand_ins: dict[str, object] = {}
    names: dict[str, object] = {}
    complete = False
    for settings in several:
        known = {**settings.known, **known}
        stand_ins = {**settings.stand_ins, **stand_ins}
        names = {**settings.names, **names}
        complete = complete or settings.complete
    return Settings(known, stand_ins, complete, names)
