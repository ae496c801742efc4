"""Reads a training file and what it names, and prints the command that trains the same."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

from harness.base.errors import UserError
from harness.compose.dataset_info import DATASET_INFO, Registered
from harness.compose.llamafactory_file import import_training


def load(file: Path) -> tuple[dict[str, Any], Registered | None]:
    """A training file, and the datasets that it can name: those of its dataset_dir, looked for in the current folder
    and then in each that the file lies in, as LLaMA-Factory is started in its own. Raises UserError."""
    arguments = _mapping(file)
    folders = (Path.cwd(), *file.resolve().parents)
    deepspeed = arguments.get("deepspeed")
    if isinstance(deepspeed, str):
        found = next((folder / deepspeed for folder in folders if (folder / deepspeed).is_file()), None)
        arguments["deepspeed"] = _mapping(found) if found else deepspeed
    named = str(arguments.get("dataset_dir") or "data")
    datasets = next((folder / named for folder in folders if (folder / named / DATASET_INFO).is_file()), None)
    return arguments, None if datasets is None else Registered(datasets, _mapping(datasets / DATASET_INFO))


def _mapping(file: Path) -> dict[str, Any]:
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if file.suffix not in (".yaml", ".yml", ".json"):
        raise UserError([f"{file}: give a YAML or JSON file, such as `llamafactory-cli train` takes"])
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
        if isinstance(content, dict) and file.suffix != ".json":
            # Plain YAML takes 1e-4 for a word; LLaMA-Factory reads by OmegaConf, which takes it for a number.
            content = OmegaConf.to_container(OmegaConf.create(text))
    except OSError as error:
        raise UserError([f"{file}: {error.strerror}"]) from None
    except (ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError([f"{file}: cannot be read: {' '.join(str(error).split())[:200]}"]) from None
    if not isinstance(content, dict):
        raise UserError([f"{file}: is no mapping; a training file has lines like `learning_rate: 1.0e-4`"])
    return {str(key): value for key, value in content.items()}


def command_line(overrides: list[str]) -> str:
    """`harness run ...` for a shell, an override a line."""
    return " \\\n  ".join(["harness run", *map(shlex.quote, overrides)])


def import_verb(file: Path) -> None:
    """Print the command that trains what a LLaMA-Factory file trains, and as comments what it does not carry over.

    Raises UserError."""
    imported = import_training(*load(file))
    sweep = re.sub(r"[^\w.-]+", "-", file.stem).lstrip("-.") or "imported"
    # LLaMA-Factory is told by its environment.
    hub = ["model.hub=modelscope"] if os.environ.get("USE_MODELSCOPE_HUB", "").lower() in ("1", "y", "true") else []
    kind = next((text for text in imported.overrides if text.startswith("quantization=")), None)
    arms = "method=lora,qlora" if kind is None else f"method=lora quantization=none,{kind.partition('=')[2]}"
    print("# dry_run=true at its end writes train.yaml and trains nothing.")
    print(f"# --multirun, and {arms} in place of what it says of them, trains LoRA and QLoRA.")
    print(command_line([f"sweep={sweep}", *imported.overrides, *hub]))
    if imported.left_out:
        print("# Not carried over:")
        print("\n".join(f"#   {line}" for line in imported.left_out))
