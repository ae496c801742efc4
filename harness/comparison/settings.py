"""What decided a run's result, as far as its record tells: a mapping from dotted keys to values.

A record holds the parts of its identity, and content (weights, rows, questions) by its hash. One of the version before
holds its configuration alone: there a path or a count stands in for the content that it led to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from harness.config.schema import FREE
from harness.runs.record import IdentityParts, Record

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
_LEADING_GROUPS = sorted({key.split(".")[0] for keys in (_GROUP_NAMES, *CONTENT.values()) for key in keys})

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


@dataclass(frozen=True, eq=False)
class Settings:
    """What decided one run's result, or that of several which are pooled. Of `settings_of_each` equal ones are one."""

    known: Mapping[str, object]
    leads: Mapping[str, object]
    """Paths, counts and names of the configuration that led to content and may stand in for it."""
    complete: bool
    """Whether the parts of the identity were recorded: then every key that is absent was not set."""

    @cached_property
    def content(self) -> tuple[frozenset[object], frozenset[object]]:
        """`known` and `leads` as sets of keys with values, to be compared at once."""
        return hashable_items(self.known), hashable_items(self.leads)


def settings_of_each(records: Sequence[Record]) -> list[Settings]:
    """Return the settings of each run. Runs with equal ones share one object, so that nothing is compared twice."""
    shared: dict[object, Settings] = {}
    return [
        shared.setdefault((*settings.content, settings.complete), settings) for settings in map(settings_of, records)
    ]


def hashable_items(values: Mapping[str, object]) -> frozenset[object]:
    """Return what is equal for equal mappings of a configuration, and may be the key of another."""
    return frozenset(
        [(key, _hashable(value) if isinstance(value, (dict, list)) else value) for key, value in values.items()]
    )


def _hashable(value: object) -> object:
    if isinstance(value, dict):
        return hashable_items(value)
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _differing(first: frozenset[Any], second: frozenset[Any]) -> set[str]:
    return {key for key, _ in first ^ second}


def settings_of(record: Record) -> Settings:
    """Return what `record` tells of the settings of its run, without the seed."""
    parts = record.identity_parts
    known = _from_configuration(record) if parts is None else _from_parts(parts)
    device = {
        "device": record.device,
        "hardware": record.environment.device,
        "chips": record.environment.device_count,
    }
    known |= {key: value for key, value in device.items() if value is not None} | {"stand_in": record.stand_in}
    if record.base_weights is not None:
        known["weights"] = record.base_weights
    leading = {group: record.config[group] for group in _LEADING_GROUPS if group in record.config}
    leads = {
        key: value
        for key, value in _leaves(leading)
        if (key in _GROUP_NAMES or _content_of(key)) and (key, value) != ("training.precision", "auto")
    }
    return Settings(known, leads, parts is not None)


def planned_settings(parts: IdentityParts) -> Settings:
    """Return what decides a run that has not been started, without the seed."""
    device = dict(zip(("device", "hardware", "chips", "stand_in"), (*parts.device, None), strict=False))
    return Settings(_from_parts(parts) | device, {}, True)


def _from_parts(parts: IdentityParts) -> dict[str, object]:
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
        device = record.config.get("device") or {}
        chips = device.get("count", 1) if device.get("chips") == FREE else len(device.get("chips") or [0])
        on_each = 1 if launch.get("name") == "single" else launch.get("nproc") or chips
        known["processes"] = on_each * launch.get("nnodes", 1)
    versions = record.environment.versions.items()
    return known | {f"versions.{name}": version for name, version in versions if name in _DECIDING_LIBRARIES}


def _leaves(nested: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for key, value in nested.items():
        if isinstance(value, dict):
            found += _leaves(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, value))
    return found


def belongs(key: str, names: Iterable[str]) -> bool:
    """Return whether `key` is one of `names` or lies below one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


@cache
def _content_of(key: str) -> str | None:
    return next((content for content, names in CONTENT.items() if belongs(key, names)), None)


@cache
def absence_tells(key: str) -> bool:
    """Return whether `key` was recorded wherever it was set, also by the version before."""
    return key.startswith("llamafactory.") or key.removeprefix("versions.") in _DECIDING_LIBRARIES


def is_recorded(content: str, first: Settings, second: Settings) -> bool:
    """Return whether both tell this key of CONTENT itself, so that nothing need stand in for it."""
    keys = (content, "weights") if content == "model" else (content,)
    return any(key in first.known and key in second.known for key in keys)


def differences(first: Settings, second: Settings) -> dict[str, tuple[object, object]]:
    """Return each key, sorted, in which the two are known to differ, with both values (None: not set)."""
    known, leads = map(_differing, first.content, second.content)
    found = {key: (first.known.get(key), second.known.get(key)) for key in _contradicting(first, second, known)}
    found |= {key: (first.leads[key], second.leads[key]) for key in _leading_apart(first, second, leads)}
    return dict(sorted(found.items()))


def nearest(several: Sequence[Settings], candidates: Sequence[Settings]) -> list[int]:
    """Return for each of `several` the place of the candidate with the fewest differences, the first of such."""
    every = [settings.content for settings in (*several, *candidates)]
    # What all have is between no two of them, and of a thousand arms nearly everything.
    shared = [frozenset.intersection(*parts) for parts in zip(*every, strict=True)] if every else []
    own = [[part - common for part, common in zip(content, shared, strict=True)] for content in every]

    def distance(first: int, second: int) -> int:
        pair = several[first], candidates[second]
        known, leads = map(_differing, own[first], own[len(several) + second])
        return len({*_contradicting(*pair, known), *_leading_apart(*pair, leads)})

    return [min(range(len(candidates)), key=lambda second: distance(first, second)) for first in range(len(several))]


def contradict(first: Settings, second: Settings) -> bool:
    """Return whether they differ in more than what only stands in for content."""
    return bool(_contradicting(first, second, _differing(first.content[0], second.content[0])))


def _contradicting(first: Settings, second: Settings, keys: Iterable[str]) -> list[str]:
    """Return those of `keys`, in which they are unequal, that tell of it.

    A key that one of them lacks does where its absence means that it was not set; content is never "not set"."""
    return [
        key
        for key in keys
        if (
            (key in first.known and key in second.known)
            or (key not in ("weights", *CONTENT) and ((first.complete and second.complete) or absence_tells(key)))
        )
        and first.known.get(key) != second.known.get(key)
    ]


def _leading_apart(first: Settings, second: Settings, keys: Iterable[str]) -> list[str]:
    return [
        key
        for key in keys
        if key in first.leads
        and key in second.leads
        and (content := _content_of(key)) is not None
        and not is_recorded(content, first, second)
    ]


def merged(several: Iterable[Settings]) -> Settings:
    """Return what is known of runs that are pooled: of each key the value of the first that tells it."""
    known: Mapping[str, object] = {}
    leads: Mapping[str, object] = {}
    complete = False
    for settings in dict.fromkeys(several):
        known = {**settings.known, **known}
        leads = {**settings.leads, **leads}
        complete = complete or settings.complete
    return Settings(known, leads, complete)
