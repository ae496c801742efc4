"""What a dataset_info.json registers, as sources of the harness."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.base.errors import did_you_mean
from harness.compose.hydra_values import written
from harness.config.schema import SourceConfig
from harness.data.check import COLUMNS, TAGS, columns_of, mapping_problems
from harness.data.sources import SUFFIXES

DATASET_INFO = "dataset_info.json"
_HUBS = {"hf_hub_url": "huggingface", "ms_hub_url": "modelscope", "om_hub_url": "openmind"}
_ELSEWHERE = (*_HUBS, "script_url", "cloud_file_name")
_OF_HUBS = ("subset", "folder")
"""Keys that LLaMA-Factory 0.9.5 reads of what is on a hub, or made by a script, alone."""
_WHICH_ROWS = (*_OF_HUBS, "split", "num_samples")
_KEYS = ("file_name", *_ELSEWHERE, *_WHICH_ROWS, "formatting", "ranking", "columns", "tags")
"""Those of an entry (data/parser.py there, get_dataset_list and DatasetAttr.join)."""
_HEAD = re.compile(r"train\[:(\d[\d_]{,18})\]")
_BUILDERS = {".jsonl": "json"}
_GUESSES = {
    **{column: role for role, column in columns_of(SourceConfig()).items()},
    **{column: role for role, column in columns_of(SourceConfig(formatting="sharegpt")).items()},
    **{tag.removesuffix("_tag"): f"tags.{tag}" for tag in TAGS},
    **{tag: f"tags.{tag}" for tag in TAGS},
}
"""What is meant by a word in `columns` that is none of LLaMA-Factory's roles."""


@dataclass(frozen=True)
class Registered:
    """A LLaMA-Factory dataset_dir."""

    folder: Path
    entries: Mapping[str, Any]
    """What its dataset_info.json says, by name."""


@dataclass
class Source:
    """A registered dataset."""

    keys: dict[str, Any] = field(default_factory=dict)
    """Those of a SourceConfig, as far as they can be told; none where what is registered has to be mended."""
    rows: int | None = None
    """How many of its first rows its split leaves; None: it leaves all."""
    hub: str | None = None
    """Which `model.hub` its repository is on, where that is to be given too."""
    why_not: str | None = None
    """Why the harness would not train the same rows of it, and what to give instead of `keys`."""
    unread: list[str] = field(default_factory=list)
    """`key: why LLaMA-Factory reads it no more than the harness does, and what was meant`."""

    def given_by(self, prefix: str) -> str:
        """Return `; give` and what a user gives to have it: each key behind `prefix`, or an item of that list where it
        ends in =. Nothing where keys would not do."""
        try:
            if prefix.endswith("=") and self.keys:
                given = [f"{prefix}[{written(self.keys)}]"]
            else:
                given = [f"{prefix}{key}={written(value)}" for key, value in self.keys.items()]
        except ValueError:  # A path with a variable in it: nothing that could be given.
            return ""
        given += [f"model.hub={self.hub}"] if self.hub else []
        return f"; give {' '.join(map(shlex.quote, given))}" if given else ""


def source(name: str, datasets: Registered, hub: str | None = None) -> Source:
    """Return the dataset that is registered as `name`.

    `hub`: the one that LLaMA-Factory is told to ask; None: Hugging Face."""
    file = datasets.folder / DATASET_INFO
    if name not in datasets.entries:
        near = did_you_mean(name, map(str, datasets.entries)).rstrip()
        return Source({"path": "FILE"}, why_not=f"{file} registers no such name; {near}".rstrip("; "))
    entry = datasets.entries[name]
    if not isinstance(entry, Mapping):
        shown = f'{{"{name}": {{"file_name": "FILE"}}}}'
        return Source(why_not=f"what {file} says of it is no object; write {shown}, or leave the dataset out")
    unread = [f"{DATASET_INFO}: {name}.{line}" for line in _unread(entry)]
    if elsewhere := _fetched_from(entry, hub):
        return _fetched(entry, elsewhere, hub or _HUBS["hf_hub_url"], unread)
    path = datasets.folder / str(entry.get("file_name"))
    found = Source({"path": str(path), **_form(entry)}, unread=unread)
    if (problem := _no_file(entry, path)) is not None:
        found.keys, found.why_not = {**found.keys, "path": "FILE"}, problem
    elif (problem := _misread(entry, found)) is not None:
        found.keys, found.why_not = {}, f"{problem}; mend it in {DATASET_INFO}, or leave the dataset out"
    else:
        found.why_not = _other_rows(entry, found, path)
    return found


def _form(entry: Mapping[str, Any]) -> dict[str, Any]:
    """How the rows are to be read, of what LLaMA-Factory reads itself."""
    formatting = entry.get("formatting", SourceConfig().formatting)
    form: dict[str, Any] = {} if formatting == SourceConfig().formatting else {"formatting": formatting}
    for group, known in (("columns", COLUMNS), ("tags", TAGS if form else ())):
        given = entry.get(group)
        mapped = {role: str(name) for role, name in _items(given) if name and role in known}
        form |= {group: mapped} if mapped else {}
    return form


def _items(given: Any) -> list[tuple[str, Any]]:
    return list(given.items()) if isinstance(given, Mapping) else []


def _fetched_from(entry: Mapping[str, Any], hub: str | None) -> str | None:
    """The key that LLaMA-Factory fetches by, as its data/parser.py chooses; None: it reads a file."""
    for key in ("ms_hub_url", "om_hub_url"):
        if key in entry and (hub == _HUBS[key] or "hf_hub_url" not in entry):
            return key
    return next((key for key in _ELSEWHERE if key in entry), None)


def _fetched(entry: Mapping[str, Any], key: str, asked: str, unread: list[str]) -> Source:
    which = ", ".join(f"{name}={entry[name]}" for name in _WHICH_ROWS if entry.get(name) is not None)
    of_it = f" ({which})" if which else ""
    found = Source({"path": "FILE", **_form(entry)}, unread=unread)
    found.why_not = f"{key}={entry[key]}{of_it}: is fetched, or made by a script; the harness takes one file of it"
    hub = _HUBS.get(key)
    if hub in ("huggingface", "modelscope") and asked in (hub, _HUBS["hf_hub_url"]):
        found.keys = {"repository": str(entry[key]), "file": "FILE", **_form(entry)}
        if hub != asked:
            found.hub = hub
            found.why_not += f"; a model that is not here is then asked of {hub} too"
    elif hub is not None:
        found.why_not += f", and asks one hub for model and rows ({asked}); fetch the file from {hub} yourself"
    return found


def _no_file(entry: Mapping[str, Any], path: Path) -> str | None:
    file = entry.get("file_name")
    if not isinstance(file, str):
        return f"file_name={file}: a file is needed"
    if path.is_dir():
        return f"file_name={file}: is a folder; each file in it is one of the harness's (dataset.path, dataset.also)"
    if path.suffix not in SUFFIXES:
        return f"file_name={file}: the harness reads {', '.join(SUFFIXES)}"
    return None


def _misread(entry: Mapping[str, Any], found: Source) -> str | None:
    """Why its rows could not be read as LLaMA-Factory reads them, or not as they are meant."""
    if entry.get("ranking"):
        return f"ranking={entry['ranking']}: is for training on preferences, and LLaMA-Factory refuses it for stage=sft"
    groups = ("columns",) if "formatting" not in found.keys else ("columns", "tags")
    if nameless := [group for group in groups if group in entry and group not in found.keys]:
        return f"{nameless[0]}: none of its names is LLaMA-Factory's, which then reads nothing; give some, or none"
    form = {key: value for key, value in found.keys.items() if key != "path"}
    return "; ".join(mapping_problems(SourceConfig(**form))) or None


def _other_rows(entry: Mapping[str, Any], found: Source, path: Path) -> str | None:
    """Why the harness would take other rows of the file."""
    split, count = str(entry.get("split") or "train"), entry.get("num_samples")
    if not split.startswith("train"):
        return f"split={split}: a file has the split train alone, and LLaMA-Factory refuses any other"
    if count is not None and (type(count) is not int or count < 1):
        found.keys = {}
        return f"num_samples={count}: a whole number of rows is needed; mend it in {DATASET_INFO}"
    if count is None and split == "train":
        return None
    if count is None and (head := _HEAD.fullmatch(split)):
        found.rows = int(head[1])
        return None
    part = path.with_name(f"{path.stem}-split.jsonl")
    found.keys["path"] = str(part)
    builder = _BUILDERS.get(path.suffix, path.suffix[1:])
    rows = f"load_dataset({builder!r}, data_files={str(path)!r}, split={split!r})"
    if count is not None:
        # More rows than there are LLaMA-Factory fills up with repeated ones.
        rows = f"{rows}.shuffle(seed=42); rows = rows.select([n % len(rows) for n in range({count})])"
    code = shlex.quote(f"from datasets import load_dataset; rows = {rows}; rows.to_json({str(part)!r})")
    named = [f"split={split}"] if split != "train" else []
    if count is None:
        why = "the harness takes a file's first rows or all"
    else:
        named.append(f"num_samples={count}")
        why = "LLaMA-Factory draws so many by the run's seed, and the harness trains every run on the same rows"
    return f"{', '.join(named)}: {why}; make a file of these: python -c {code}"


def _unread(entry: Mapping[str, Any]) -> Iterator[str]:
    """What nobody reads of an entry. LLaMA-Factory passes over it in silence, and takes its defaults."""
    for key, value in entry.items():
        if key in _OF_HUBS and value is not None and not any(name in entry for name in _ELSEWHERE):
            yield f"{key}={value}: LLaMA-Factory reads it of hubs and scripts alone, of a file never"
        elif key == "file_name" and any(name in entry for name in _ELSEWHERE):
            yield f"file_name={value}: LLaMA-Factory takes what it fetches instead"
        elif key == "tags" and value and entry.get("formatting", "alpaca") == "alpaca":
            yield "tags: LLaMA-Factory reads them of formatting=sharegpt alone"
        elif key not in _KEYS:
            where = "columns" if key in COLUMNS else "tags" if key in TAGS else None
            near = f"it belongs under {where}" if where else did_you_mean(str(key), _KEYS).rstrip()
            default = " and takes formatting=alpaca" if "formatting" in near and "formatting" not in entry else ""
            yield f"{key}: LLaMA-Factory reads no such key{default}; {near}".rstrip("; ")
    for group, known in (("columns", COLUMNS), ("tags", TAGS)):
        for role, _ in _items(entry.get(group)):
            if role not in known:
                guess = _GUESSES.get(role) if group == "columns" else None
                near = f"did you mean {guess}?" if guess else did_you_mean(str(role), known).rstrip()
                yield f"{group}.{role}: LLaMA-Factory knows no such name and reads nothing by it; {near}".rstrip("; ")
