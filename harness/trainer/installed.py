"""What an installed package says in its source: to import LLaMA-Factory takes too long to tell a mistake at once."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path


def syntax_tree(source: str) -> ast.Module:
    """Return the tree of `source`, a file of an installed package by its path: `package/module.py`.

    Raises ModuleNotFoundError without the package."""
    package = source.partition("/")[0]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed; install the harness with its dependencies")
    return ast.parse((Path(spec.origin).parent.parent / source).read_text(encoding="utf-8"))
