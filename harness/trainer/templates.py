"""The chat templates that LLaMA-Factory knows."""

from __future__ import annotations

import ast
from functools import cache

from harness.trainer.installed import syntax_tree


@cache
def template_names() -> frozenset[str]:
    """Return their names. Raises ModuleNotFoundError without LLaMA-Factory.

    Read from the source, as `fields.training_argument_names` is: they are what it registers."""
    tree = syntax_tree("llamafactory/data/template.py")
    calls = (node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
    return frozenset(
        argument.value.value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "register_template"
        for argument in call.keywords
        if argument.arg == "name" and isinstance(argument.value, ast.Constant) and isinstance(argument.value.value, str)
    )
