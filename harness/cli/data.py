"""`harness data` and `harness import`: a dataset's rows without a run, and a run from a file of LLaMA-Factory's."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.base.errors import UserError
from harness.runs.folder import RunFolder

if TYPE_CHECKING:
    from harness.compose.llamafactory_file import Registered


def data(
    context: typer.Context,
    output: Annotated[Path, typer.Option(help="A folder that holds no dataset yet; LLaMA-Factory's dataset_dir.")],
) -> None:
    """The rows of a run or a sweep, without training: harness data [NAME] [KEY=VALUE ...] --output DIR"""
    write_rows(context.args, output)


def write_rows(overrides: Sequence[str], output: Path) -> None:
    """Write `output` as a dataset_dir: the rows that a run with these overrides trains and validates on.

    A word without `=` is a file in sweeps/, as in `harness sweep`. Raises UserError, OSError."""
    from harness.compose import checks, points
    from harness.data import prepare
    from harness.data.sources import SourceReader

    sources = SourceReader(Path.cwd())
    (point,) = points.points(
        [text if "=" in text else f"sweeps={text}" for text in overrides],
        multirun=False,
        check=lambda config: checks.check_rows(config, sources),
    )
    _require_none(output, ["dataset_info"])
    dataset = point.config.dataset
    for source in (dataset, *dataset.also, *dataset.validation):
        sources.fetch(source, point.config.model.hub)
    # What was on a hub could not be looked at before.
    if mistakes := checks.check_rows(point.config, sources):
        raise UserError(mistakes)
    rows = prepare.draw(dataset, sources)
    _require_none(output, [*rows.train_names, *rows.validation_names])
    prepare.write(rows, output)
    typer.echo(
        f"{len(rows.train):,} rows to train on, {len(rows.validation):,} to validate on, in {output}. LLaMA-Factory:\n"
        f"dataset_dir: {output}\ndataset: {','.join(rows.train_names)}"
    )
    if rows.validation_names:
        typer.echo(f"eval_dataset: {','.join(rows.validation_names)}")


def _require_none(output: Path, names: list[str]) -> None:
    """Raises UserError where a file that is to be written is there already."""
    taken = [file.name for name in names if (file := output / f"{name}.json").exists()]
    if taken:
        raise UserError(f"--output={output}: holds a {' and a '.join(taken)} already; give a folder that has none")


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A training file of LLaMA-Factory's: YAML or JSON.")],
) -> None:
    """A training file of LLaMA-Factory's as a command of this harness, with what cannot be carried over and why."""
    from harness.compose.llamafactory_file import import_training

    imported = import_training(*load(file))
    sweep = re.sub(r"[^\w.-]+", "-", file.stem).lstrip("-.") or "imported"
    # LLaMA-Factory is told by its environment.
    hub = ["model.hub=modelscope"] if os.environ.get("USE_MODELSCOPE_HUB", "").lower() in ("1", "y", "true") else []
    kind = next((text for text in imported.overrides if text.startswith("quantization=")), None)
    arms = "method=lora,qlora" if kind is None else f"method=lora quantization=none,{kind.partition('=')[2]}"
    print(f"# dry_run=true at its end writes {RunFolder.train} and trains nothing.")
    print(f"# --multirun, and {arms} in place of what it says of them, trains LoRA and QLoRA.")
    print(command_line([f"sweep={sweep}", *imported.overrides, *hub]))
    if imported.left_out:
        print("# Not carried over:", *imported.left_out, sep="\n#   ")


def command_line(overrides: list[str]) -> str:
    """`harness run ...` for a shell, an override a line."""
    return " \\\n  ".join(["harness run", *map(shlex.quote, overrides)])


def load(file: Path) -> tuple[dict[str, Any], Registered | None]:
    """A training file, and the datasets that it can name: those of its dataset_dir, looked for in the current folder
    and then in each that the file lies in, as LLaMA-Factory is started in its own. Raises UserError."""
    from harness.compose.llamafactory_file import DATASET_INFO, Registered

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
        raise UserError(f"{file}: give a YAML or JSON file, such as `llamafactory-cli train` takes")
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
        if isinstance(content, dict) and file.suffix != ".json":
            # Plain YAML takes 1e-4 for a word; LLaMA-Factory reads by OmegaConf, which takes it for a number.
            content = OmegaConf.to_container(OmegaConf.create(text))
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except (ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{file}: cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: is no mapping; a training file has lines like `learning_rate: 1.0e-4`")
    return {str(key): value for key, value in content.items()}
