"""What decided a run's result, as far as its record tells: a mapping from dotted keys to values.

A record holds the parts of its identity, and content (weights, rows, questions) by its hash. One of the version before
holds its configuration alone: there a path or a count stands in for the content that it led to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from harness.runs.record import Record

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
_GROUP_NAMES = ("dataset.name", "evaluation.name")
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
    "llamafactory": (),
}


@dataclass(frozen=True)
class Settings:
    """What decided one run's result, or that of several which are pooled."""

    known: Mapping[str, object]
    leads: Mapping[str, object]
    """Paths, counts and names of the configuration that led to content and may stand in for it."""
    complete: bool
    """Whether the parts of the identity were recorded: then every key that is absent was not set."""


def settings_of(record: Record) -> Settings:
    """Return what `record` tells of the settings of its run, without the seed."""
    known = _from_parts(record) or _from_configuration(record)
    known |= {
        "device": record.device,
        "hardware": record.environment.device,
        "chips": record.environment.device_count,
        "stand_in": record.stand_in,
    }
    if record.base_weights is not None:
        known["weights"] = record.base_weights
    leads = {
        key: value
        for key, value in _leaves(record.config)
        if (key in _GROUP_NAMES or _content_of(key)) and (key, value) != ("training.precision", "auto")
    }
    return Settings(known, leads, record.identity_parts is not None)


def _from_parts(record: Record) -> dict[str, object]:
    parts = record.identity_parts
    if parts is None:
        return {}
    known = dict(_leaves(parts.model_dump(exclude={"device", "cut", "seed"})))
    if parts.questions is None:
        del known["questions"]
    return known | dict(zip(("dataset.max_samples", "dataset.val_size"), parts.cut, strict=False))


def _from_configuration(record: Record) -> dict[str, object]:
    """Return what the parts would have been, of what the configuration alone decides."""
    known: dict[str, object] = {}
    for part, undecided in _NOT_DECIDING.items():
        values = record.config.get(part) or {}
        if part == "quantization" and values.get("bits") != 4:
            undecided = (*undecided, "type", "double")
        known |= _leaves({key: value for key, value in values.items() if key not in undecided}, f"{part}.")
    config = dict(_leaves(record.config))
    for key in ("model.template", "device.threads", "dataset.max_samples", "dataset.val_size"):
        if key in config:
            known[key.removeprefix("model.").removeprefix("device.")] = config[key]
    launch = record.config.get("launch") or {}
    if launch:
        chips = (record.config.get("device") or {}).get("chips") or [0]
        on_each = 1 if launch.get("name") == "single" else launch.get("nproc") or len(chips)
        known["processes"] = on_each * launch.get("nnodes", 1)
    versions = record.environment.versions.items()
    return known | {f"versions.{name}": version for name, version in versions if name in _DECIDING_LIBRARIES}


def _leaves(nested: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def belongs(key: str, names: Iterable[str]) -> bool:
    """Return whether `key` is one of `names` or lies below one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _content_of(key: str) -> str | None:
    return next((content for content, names in CONTENT.items() if belongs(key, names)), None)


def absence_tells(key: str) -> bool:
    """Return whether `key` was recorded wherever it was set, also by the version before."""
    return key.startswith("llamafactory.") or key.removeprefix("versions.") in _DECIDING_LIBRARIES


def is_recorded(content: str, first: Settings, second: Settings) -> bool:
    """Return whether both tell this key of CONTENT itself, so that nothing need stand in for it."""
    keys = (content, "weights") if content == "model" else (content,)
    return any(key in first.known and key in second.known for key in keys)


def differences(first: Settings, second: Settings) -> dict[str, tuple[object, object]]:
    """Return each key, sorted, in which the two are known to differ, with both values (None: not set)."""
    found = contradictions(first, second)
    for key in first.leads.keys() & second.leads.keys():
        content, values = _content_of(key), (first.leads[key], second.leads[key])
        if content is not None and values[0] != values[1] and not is_recorded(content, first, second):
            found[key] = values
    return dict(sorted(found.items()))


def contradictions(first: Settings, second: Settings) -> dict[str, tuple[object, object]]:
    """Return the same without what only stands in for content.

    A key that one of them lacks speaks where its absence means that it was not set; content is never "not set"."""
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
    known: Mapping[str, object] = {}
    leads: Mapping[str, object] = {}
    complete = False
    for settings in several:
        known = {**settings.known, **known}
        leads = {**settings.leads, **leads}
        complete = complete or settings.complete
    return Settings(known, leads, complete)
