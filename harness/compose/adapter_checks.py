"""What would keep an adapter from being, when it is loaded again, what was trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.config.schema import Config
from harness.data.sources import SourceReader
from harness.models import checkpoint
from harness.models.checkpoint import ADAPTER_CONFIG, DamagedError
from harness.trainer.named_files import parts_of

_ADAPTERS = "llamafactory.adapter_name_or_path"


def adapter_mistakes(config: Config, sources: SourceReader) -> Iterator[str]:
    """Yield what is wrong with the adapters that a training starts from, and with how its own is made."""
    adapters = parts_of(config.llamafactory.get("adapter_name_or_path"))
    if adapters:
        yield from _first_adapters(config, adapters)
        yield from (mistake for adapter in adapters for mistake in _adapter(config, adapter, sources))
    yield from _pissa(config)
    yield from _rope(config, sources)


def _first_adapters(config: Config, adapters: list[str]) -> Iterator[str]:
    """What LLaMA-Factory would stop at, or do in silence (model/adapter.py, _setup_lora_tuning)."""
    if config.method.finetuning_type == "full":
        yield f"{_ADAPTERS}: method={config.method.name} has no adapter; merge these first, and give the merged model"
    elif config.quantization.bits is None:
        return
    elif len(adapters) > 1:
        yield (
            f"{_ADAPTERS}: adapters cannot be merged into quantized weights, so LLaMA-Factory takes one; "
            "merge the others first (llamafactory-cli export), and give the merged model"
        )
    elif config.llamafactory.get("create_new_adapter"):
        yield (
            "llamafactory.create_new_adapter: into quantized weights LLaMA-Factory merges no adapter, and would go on "
            "training the given one instead of a new one; merge it first (llamafactory-cli export), or leave this out"
        )


def _adapter(config: Config, adapter: str, sources: SourceReader) -> Iterator[str]:
    folder = sources.path(adapter)
    if not folder.exists():
        if Path(adapter).is_absolute() or adapter.startswith((".", "~")) or adapter.count("/") != 1:
            yield f"{_ADAPTERS}={adapter}: no such folder; give one with {ADAPTER_CONFIG}, or a hub id (owner/name)"
    elif not (folder / ADAPTER_CONFIG).is_file():
        yield f"{_ADAPTERS}={adapter}: is no adapter: there is no {ADAPTER_CONFIG} in it"
    elif config.model.path is not None and (base := sources.path(config.model.path)).is_dir():
        for misfit in sources.found_once(("adapter", folder, base), lambda: _misfits(folder, base)):
            yield f"{_ADAPTERS}={adapter}: belongs to another base than model.path={config.model.path}: {misfit}"


def _misfits(adapter: Path, base: Path) -> list[str]:
    try:
        found = checkpoint.misfit(adapter, base)
    except DamagedError as error:
        return [str(error)]
    return [found] if found else []


def _pissa(config: Config) -> Iterator[str]:
    given = config.llamafactory
    if given.get("pissa_init") and config.quantization.bits is not None:
        yield "llamafactory.pissa_init: LLaMA-Factory cannot do it on quantized weights; leave it out, or quantization"
    elif given.get("pissa_init") and not given.get("pissa_convert"):
        yield (
            "llamafactory.pissa_init: its adapter fits a base that PiSSA changed at its start, and loaded again on the "
            "base it is another model; add llamafactory.pissa_convert=true, which makes an ordinary adapter of it"
        )
    elif given.get("pissa_convert") and not given.get("pissa_init"):
        yield "llamafactory.pissa_convert: there is no PiSSA adapter to convert; add llamafactory.pissa_init=true"


def _rope(config: Config, sources: SourceReader) -> Iterator[str]:
    """LLaMA-Factory stretches by what the cutoff needs in training, and by 2 wherever a model answers
    (model/model_utils/rope.py)."""
    scaling = config.llamafactory.get("rope_scaling")
    if not scaling or config.model.path is None:
        return
    most = checkpoint.max_positions(sources.path(config.model.path))
    if most is None or most < config.training.cutoff_length <= 2 * most:
        return
    yield (
        f"llamafactory.rope_scaling={scaling}: at training.cutoff_length={config.training.cutoff_length} the training "
        f"of a model with {most:,} positions is stretched by another factor than LLaMA-Factory takes to answer, 2; "
        f"leave it out, or give a length above {most:,} and up to {2 * most:,}"
    )
