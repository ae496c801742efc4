"""Which arguments LLaMA-Factory's training takes, read from its source.

Importing its parser takes about ten seconds, since it brings torch and transformers along; a mistake has to be told at
once. The arguments are the annotated fields of the dataclasses, in the versions that are installed.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from harness.base.suggest import did_you_mean

_SOURCES = (
    "llamafactory/hparams/model_args.py",
    "llamafactory/hparams/data_args.py",
    "llamafactory/hparams/training_args.py",
    "llamafactory/hparams/finetuning_args.py",
    "llamafactory/hparams/generating_args.py",
    "transformers/training_args.py",
    "transformers/training_args_seq2seq.py",
)


def _site_packages(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed; install the harness with its dependencies")
    return Path(spec.origin).parent.parent


@cache
def training_argument_names() -> frozenset[str]:
    """Return the names of all arguments that `llamafactory-cli train` takes. Raises ModuleNotFoundError without it."""
    names: set[str] = set()
    for source in _SOURCES:
        tree = ast.parse((_site_packages(source.split("/")[0]) / source).read_text(encoding="utf-8"))
        for definition in tree.body:
            if isinstance(definition, ast.ClassDef):
                names.update(
                    field.target.id
                    for field in definition.body
                    if isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and not field.target.id.startswith("_")
                    and "init=False" not in ast.unparse(field)
                )
    return frozenset(names)


def unknown_argument(name: str) -> str:
    """Return that LLaMA-Factory has no argument `name`, and which one may have been meant."""
    known = did_you_mean(name, training_argument_names())
    return f"LLaMA-Factory has no such training argument; {known}".rstrip("; ")
