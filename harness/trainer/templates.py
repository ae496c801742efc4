"""The chat templates that LLaMA-Factory knows."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def template_names() -> frozenset[str]:
    """Return their names. Raises ModuleNotFoundError without LLaMA-Factory.

    Read from the source, as `fields.training_argument_names` is: they are what it registers."""
    spec = find_spec("llamafactory")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("llamafactory is not installed; install the harness with its dependencies")
    tree = ast.parse((Path(spec.origin).parent / "data" / "template.py").read_text(encoding="utf-8"))
    calls = (node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
    return frozenset(
        argument.value.value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "register_template"
        for argument in call.keywords
        if argument.arg == "name" and isinstance(argument.value, ast.Constant) and isinstance(argument.value.value, str)
    )
