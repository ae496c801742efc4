"""Which files are these: hashes of a model's folder, its weights, or any file, that follow from their content alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

_WEIGHTS = ("*.safetensors", "*.bin")
_MODEL_FILES = (
    *_WEIGHTS,
    *("*.pt", "*.pth", "*.gguf", "*.h5", "*.msgpack"),
    *("*.json", "*.jinja", "*.py"),
    *("*.model", "*.tiktoken", "*.spm", "*.bpe", "*.codes", "*vocab*", "*merges*", "*token*"),
)
"""What says what a model is: weights, configurations, chat templates, code of its own, tokenizers of every kind."""
_MODEL_FOLDERS = ("additional_chat_templates", "*tokenizer")
"""What transformers reads of a model below its folder (processing_utils.py: `decoder_tokenizer` and its like)."""
_WHOLE_BYTES = 64 * 2**20
_SAMPLES, _SAMPLE_BYTES = 64, 64 * 2**10
_WEIGHTS_LENGTH = 10


def of_model(folder: Path) -> str:
    """Return a hash of the files in a model's folder that say what the model is, with their names.

    Other files, such as a README, a hub's cache or the results of runs, may come and go without another hash. A large
    file is sampled, as `fingerprint` says. Raises OSError."""
    folders = [folder, *(found for name in _MODEL_FOLDERS for found in folder.glob(name) if found.is_dir())]
    files = {file for inside in folders for name in _MODEL_FILES for file in inside.glob(name)}
    return _of_files(folder, (file for file in files if not file.name.startswith(".")))


def before(folder: Path) -> str:
    """Return what the version before took for a model's hash, of every file below its folder: old runs are named so.

    Where one of these cannot be read, or vanishes meanwhile, it is `of_model`. Raises OSError."""
    try:
        return fingerprint(folder)
    except OSError:
        return of_model(folder)


def fingerprint(path: Path) -> str:
    """Return a hash of a file, or of all files below a folder with their names.

    A file above 64 MiB is sampled: its size and 64 blocks of 64 KiB spread over it, since reading 15 GB of weights
    would take longer than a short run. Raises OSError."""
    return _of_files(path, [path] if path.is_file() else path.rglob("*"))


def of_weights(folder: Path) -> str | None:
    """Return a hash of the weights that a model's folder holds, whatever else is in it; None: it holds none.

    They are sampled as `fingerprint` says. Raises OSError."""
    files = {file.name: _of_file(file) for name in _WEIGHTS for file in folder.glob(name) if file.is_file()}
    if not files:
        return None
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:_WEIGHTS_LENGTH]


def _of_files(path: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in sorted(file for file in files if file.is_file()):
        name = "" if file == path else str(file.relative_to(path))
        digest.update(f"{name}\0{_of_file(file)}\0".encode())
    return digest.hexdigest()


def _of_file(file: Path) -> str:
    status = file.stat()
    return _of_content(file.resolve(), status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(maxsize=4096)
def _of_content(file: Path, size: int, modified_ns: int, changed_ns: int) -> str:
    """Return a hash of what is in a file; the two times tell a file that was written anew from the one before."""
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as opened:
        if size <= _WHOLE_BYTES:
            digest.update(opened.read())
        else:
            for number in range(_SAMPLES):
                opened.seek((size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
                digest.update(opened.read(_SAMPLE_BYTES))
    return digest.hexdigest()
