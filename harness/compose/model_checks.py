"""What is wrong with a model's folder, as far as its files tell without loading them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.base.errors import did_you_mean
from harness.config.schema import Config, SourceConfig
from harness.data.check import MEDIA
from harness.data.sources import SourceReader
from harness.models import checkpoint
from harness.models.checkpoint import DamagedError
from harness.trainer.templates import template_names


def model_mistakes(config: Config, sources: SourceReader, *, with_weights: bool = True) -> Iterator[str]:
    """Yield what is wrong with `model`, and with what else is asked of it.

    `with_weights`: whether its folder is to hold more than what describes the model."""
    model = config.model
    yield from _template(model.template)
    if model.path is None:
        if model.shape is None:
            yield "model.path: a value is needed; give a folder or a hub id, or model=random with a model.shape"
        elif model.shape not in model.shapes:
            yield f"model.shape={model.shape}: there is {', '.join(model.shapes)}"
        return
    folder = sources.path(model.path)
    owner = sources.path(model.path.partition("/")[0])
    looks_like_hub_id = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model.path) and not owner.exists()
    if folder.is_dir():
        if with_weights:
            yield from _folder(config, folder, sources)
    elif folder.exists():
        yield f"model.path={model.path}: is a file; give the folder that holds config.json and the weights"
    elif not looks_like_hub_id or model.hub == "local":
        yield (
            f"model.path={model.path}: no such folder; "
            "give a folder with config.json and weights, or a hub id (owner/name) with model.hub=huggingface|modelscope"
        )


def _template(template: str) -> Iterator[str]:
    known = template_names()
    if template not in known:
        near = did_you_mean(template, known)
        yield (
            f"model.template={template}: LLaMA-Factory knows no such template; {near}"
            f"its {len(known)} are in its README, a template for each model"
        )


def _folder(config: Config, folder: Path, sources: SourceReader) -> Iterator[str]:
    place = f"model.path={config.model.path}"
    damage = sources.found_once(("model", folder), lambda: list(_damage(folder)))
    yield from (f"{place}: {problem}" for problem in damage)
    if damage:
        return
    scheme = checkpoint.quantized_as(folder)
    if scheme is not None and config.quantization.bits is not None:
        yield (
            f"{place}: its weights are quantized already ({scheme}), and LLaMA-Factory leaves quantization="
            f"{config.quantization.name} out in silence; give the unquantized model, or quantization=none"
        )
    yield from _senses(config, folder)


def _damage(folder: Path) -> Iterator[str]:
    """What is wrong with the files themselves, whatever they are used for."""
    if not (folder / checkpoint.CONFIG).is_file():
        yield "is not a model: there is no config.json in this folder"
        return
    if not checkpoint.weight_files(folder):
        yield "is not a model: no weights (*.safetensors or *.bin) in this folder"
        return
    if not isinstance(checkpoint.config_of(folder).get("text_config") or {}, dict):
        yield "config.json: text_config holds no NAME: VALUE; fetch the model again"
        return
    pointers = checkpoint.lfs_pointers(folder)
    if pointers:
        yield f"{_listed(pointers)}: Git LFS pointers, not the files themselves; run git lfs pull in it"
        return
    if missing := checkpoint.missing_shards(folder):
        yield f"{_listed(missing)}: named by its index of weights, and not there; fetch the model again"
    try:
        checkpoint.shapes_of(folder)
    except DamagedError as error:
        yield str(error)


def _senses(config: Config, folder: Path) -> Iterator[str]:
    """Images, videos or sounds for a model that reads text alone."""
    dataset = config.dataset
    sources: list[SourceConfig] = [dataset, *dataset.also, *dataset.validation]
    columns = sorted({name for source in sources for name in MEDIA if name in source.columns})
    if columns and not checkpoint.has_senses(folder):
        yield (
            f"model.path={config.model.path}: reads text alone (its config.json tells of nothing else), and "
            f"dataset.columns names {', '.join(columns)}; give a model that takes them, or leave those columns out"
        )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
