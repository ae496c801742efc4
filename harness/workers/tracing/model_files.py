"""Where a model's description and its tokenizer are, and what keeps the model from being built of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from harness.base.errors import did_you_mean
from harness.models.checkpoint import CONFIG
from harness.processes.jobs import ToTrace

_NO_WEIGHTS = ["*.json", "*.jinja", "*.txt", "*.model", "*.py", "*.tiktoken"]
"""Files of a model on a hub, without those that hold weights."""
_PATIENCE_SECONDS = 5.0
_HUBS = {"huggingface": "https://huggingface.co", "modelscope": "https://www.modelscope.cn"}
_WHOLE = ("hidden_size", "num_attention_heads", "num_key_value_heads", "num_hidden_layers", "vocab_size")


class UnreachableError(Exception):
    """A hub does not answer, or has no such model. The message names the key and what to do."""


def place(arm: ToTrace, tokenizer: Path, folder: Path) -> dict[str, Any]:
    """Return the argument that names the model's folder, which is made or fetched where it is not here; no weights are.

    `tokenizer`: the folder of a model whose tokenizer serves where there is a description alone. Raises OSError and
    UnreachableError."""
    if arm.described is not None:
        folder.mkdir(parents=True)
        (folder / CONFIG).write_text(json.dumps(arm.described), encoding="utf-8")
        for file in tokenizer.glob("*token*"):
            shutil.copy(file, folder)
        return {"model_name_or_path": str(folder)}
    if arm.hub is None:
        return {}
    name = str(arm.arguments["model_name_or_path"])
    return {"model_name_or_path": _fetched(arm.hub, name, arm.arguments.get("model_revision"))}


@cache
def _fetched(hub: str, name: str, revision: str | None) -> str:
    """The folder of a model's files without its weights. Raises UnreachableError."""
    instead = "give model.path=FOLDER with its config.json, or model=random with a model.shape"
    address = os.environ.get("HF_ENDPOINT", _HUBS[hub]) if hub == "huggingface" else _HUBS[hub]
    try:
        with suppress(HTTPError), urlopen(Request(address, method="HEAD"), timeout=_PATIENCE_SECONDS):
            pass
    except (OSError, ValueError) as error:
        raise UnreachableError(f"model.path={name}: {address} does not answer ({error}); {instead}") from None
    try:
        if hub == "modelscope":
            from modelscope import snapshot_download
        else:
            from huggingface_hub import snapshot_download
        return str(snapshot_download(name, allow_patterns=_NO_WEIGHTS, revision=revision))
    except Exception as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UnreachableError(f"model.path={name}: cannot be fetched: {said}; {instead}") from None


def problem(arguments: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the model that LLaMA-Factory's arguments name, with the fix; None: nothing is, or it
    is on a hub."""
    folder = Path(str(arguments["model_name_or_path"]))
    if not folder.is_dir():
        return None
    file = folder / CONFIG
    try:
        config = json.loads(file.read_bytes())
    except FileNotFoundError:
        return f"{file}: is not there; give a model's folder, or a hub id"
    except (OSError, ValueError) as error:
        return f"{file}: is no JSON ({str(error)[:100]}); fetch it again"
    if not isinstance(config, dict):
        return f"{file}: is no JSON object; fetch it again"
    return next(_problems(file, config, bool(arguments.get("trust_remote_code"))), None)


def _problems(file: Path, config: Mapping[str, Any], trusted: bool) -> Iterator[str]:
    kind = config.get("model_type")
    if config.get("auto_map") and kind not in CONFIG_MAPPING and not trusted:
        yield (
            f"{file}: its model is code of its own, which runs only where it is trusted; read it, and give "
            "model.trust_remote_code=true"
        )
    if not isinstance(kind, str):
        yield f"{file}: has no model_type; give the config.json that the model was published with"
    elif kind not in CONFIG_MAPPING and not (config.get("auto_map") and trusted):
        near = did_you_mean(kind, CONFIG_MAPPING.keys())
        yield f"{file}: model_type {kind}: the installed transformers has no such architecture; {near}update it"
    for part in (config, config.get("text_config"), config.get("vision_config")):
        if isinstance(part, dict):
            yield from _sizes(file, part)


def _sizes(file: Path, part: Mapping[str, Any]) -> Iterator[str]:
    kind = part.get("model_type")
    others = CONFIG_MAPPING[kind].attribute_map if isinstance(kind, str) and kind in CONFIG_MAPPING else {}
    names = {name: name if name in part else others.get(name, name) for name in _WHOLE}
    sizes = {name: part.get(own) for name, own in names.items()}
    for name, size in sizes.items():
        if size is not None and (type(size) is not int or size <= 0):
            yield f"{file}: {names[name]} is {size!r}; a whole number above 0 is needed"
            return
    hidden, heads, keys = (sizes[name] for name in ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    if hidden and heads and not part.get("head_dim") and hidden % heads:
        yield (
            f"{file}: {names['hidden_size']} {hidden} is no multiple of {names['num_attention_heads']} {heads}, and "
            "head_dim is not given; fetch it again"
        )
    if heads and keys and heads % keys:
        yield (
            f"{file}: {names['num_attention_heads']} {heads} is no multiple of {names['num_key_value_heads']} {keys}; "
            "fetch it again"
        )
