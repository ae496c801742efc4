"""The files that a benchmark's questions, and the examples shown before them, are read from."""

from __future__ import annotations

from pathlib import Path

SPLITS = {"gsm8k": ("test", "train")}
"""Where questions and examples come from, as evalscope names it (eval_split and train_split in its benchmarks/)."""
SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
"""What evalscope reads questions from."""


def examples(path: Path, benchmark: str | None) -> list[Path]:
    """Return the files beside the questions at `path` that their examples may come from.

    Where the split's name is not known, any other file may be one. Raises OSError."""
    _, split = SPLITS.get(benchmark or "", (None, None))
    folder = path.parent if path.is_file() else path
    files = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES and file != path)
    return [file for file in files if split in (None, file.stem)]
