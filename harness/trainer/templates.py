"""The chat templates that LLaMA-Factory knows."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache

from harness.trainer.installed import syntax_tree


@cache
def template_names() -> frozenset[str]:
    """Return their names. Raises ModuleNotFoundError without LLaMA-Factory.

    Read from the source, as `fields.training_argument_names` is: they are what it registers."""
    return frozenset(_registered())


@cache
def templates_without_eos() -> frozenset[str]:
    """Return the names of those in which the end of a turn is no token, `efficient_eos` there.

    Raises ModuleNotFoundError without LLaMA-Factory."""
    return frozenset(name for name, arguments in _registered().items() if arguments.get("efficient_eos"))


@cache
def _registered() -> Mapping[str, Mapping[str, object]]:
    """Return by name the arguments with which each template is registered, as far as they are constants."""
    tree = syntax_tree("llamafactory/data/template.py")
    calls = (node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
    found = [
        {str(given.arg): given.value.value for given in call.keywords if isinstance(given.value, ast.Constant)}
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "register_template"
    ]
    return {str(arguments["name"]): arguments for arguments in found}
