"""Imports evalscope without the 200 and more benchmarks that a job does not use."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

PACKAGE = "evalscope.benchmarks"


def import_evalscope(benchmark: str | None) -> None:
    """Import evalscope and register `benchmark`; None: none of evalscope's own.

    evalscope 1.12.0 imports every benchmark with itself, and with them openai, nltk and scipy.stats: 1,700 modules and
    2 of the child's 8 seconds of imports. For a benchmark whose module is not named after it, all are imported.
    """
    spec = find_spec("evalscope")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("evalscope is not installed; it comes with this project's own dependencies")
    folder = Path(spec.origin).parent / "benchmarks"
    named = benchmark is not None and (folder / benchmark / f"{benchmark}_adapter.py").is_file()
    if named or benchmark is None:
        empty = ModuleType(PACKAGE)
        empty.__spec__ = ModuleSpec(PACKAGE, loader=None, is_package=True)
        empty.__path__ = [str(folder)]
        sys.modules[PACKAGE] = empty
    importlib.import_module("evalscope")
    if named:
        importlib.import_module(f"{PACKAGE}.{benchmark}.{benchmark}_adapter")
