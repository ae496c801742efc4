"""What a dataset_info.json registers, as sources of the harness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config.schema import SourceConfig
from harness.data.check import COLUMNS, TAGS
from harness.data.sources import SUFFIXES

DATASET_INFO = "dataset_info.json"


@dataclass(frozen=True)
class Registered:
    """A LLaMA-Factory dataset_dir."""

    folder: Path
    entries: Mapping[str, Any]
    """What its dataset_info.json says, by name."""


def source_of(name: str, datasets: Registered) -> dict[str, Any] | str:
    """The keys of a SourceConfig, or why there can be none."""
    entry = datasets.entries.get(name)
    if not isinstance(entry, Mapping):
        return f"{datasets.folder / DATASET_INFO} registers no such name"
    file, default = entry.get("file_name"), SourceConfig()
    if any(key in entry for key in ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")):
        return "it is fetched from a hub or made by a script; the harness takes one file of a dataset"
    if not isinstance(file, str) or Path(file).suffix not in SUFFIXES:
        return f"file_name={file}: the harness reads {', '.join(SUFFIXES)}"
    if entry.get("ranking") or entry.get("num_samples"):
        key = "ranking" if entry.get("ranking") else "num_samples"
        return f"{key}={entry[key]}: the harness knows no such key of {DATASET_INFO}"
    formatting = entry.get("formatting", default.formatting)
    if formatting not in ("alpaca", "sharegpt"):
        return f"formatting={formatting}: the harness knows alpaca and sharegpt"
    source: dict[str, Any] = {"path": str(datasets.folder / file)}
    if formatting != default.formatting:
        source["formatting"] = formatting
    for key, known in (("columns", COLUMNS), ("tags", TAGS)):
        mapped = {ours: theirs for ours, theirs in (entry.get(key) or {}).items() if theirs and ours in known}
        if mapped:
            source[key] = mapped
    return source
