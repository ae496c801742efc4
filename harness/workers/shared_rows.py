"""Has LLaMA-Factory tokenize rows once for all runs of a sweep that would make the same of them.

Its own cache (datasets') is told apart by the paths of a run's files, so that no other run finds what is in it, and not
by the code that tokenizes, so that another version might.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llamafactory.data
import torch
from datasets import Dataset, load_from_disk
from datasets.fingerprint import dumps

from harness.data import tokenized
from harness.workers import compat, lifecycle

_AT_ONCE = 1000
"""Rows that are read at once, for memory's sake."""
_MEDIA = ("_images", "_videos", "_audios")
_PLACES = ("dataset_dir", "media_dir")
"""Where the rows were read from. What they are, and the media that they name, is looked at itself."""
_UNDECIDING = ("load_from_cache_file", "desc")
"""Arguments of `Dataset.map` that decide nothing of what comes out. How many processes there are does: each packs its
own rows."""
_LIBRARIES = ("llamafactory", "transformers", "tokenizers", "datasets")


class SharedRows:
    """The tokenized rows in a folder, as one run makes and takes them."""

    def __init__(self, folder: Path) -> None:
        self.seconds: float | None = None
        """What it took to tokenize them; None: another run had."""
        self._folder = folder
        self._held: list[tokenized.Held] = []
        """As long as this lives."""

    def of(self, rows: Dataset) -> Any:
        """Return what stands for `rows` where LLaMA-Factory looks at the first one and has all of them mapped."""
        return _Shared(rows, self._map)

    def _map(self, rows: Dataset, function: Callable[..., Any], arguments: dict[str, Any]) -> Dataset:
        def make(place: Path) -> None:
            started = time.monotonic()
            _in_a_fork(lambda: rows.map(function, **arguments).save_to_disk(place))
            self.seconds = (self.seconds or 0.0) + time.monotonic() - started

        try:
            held = tokenized.made_once(self._folder, key(rows, function, arguments), make, _note)
            made = load_from_disk(held.rows)
        except Exception as error:
            # No room on the disk, no locks, a tokenizer that cannot be told from others: no reason not to train. What
            # is wrong with the rows themselves is said once more.
            _note(
                f"rows are tokenized for this run alone, since they cannot be shared: {type(error).__name__}: {error}"
            )
            return rows.map(function, **arguments)
        self._held.append(held)
        return made


@dataclass(frozen=True)
class _Shared:
    rows: Dataset
    take: Callable[[Dataset, Callable[..., Any], dict[str, Any]], Dataset]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)

    def map(self, function: Callable[..., Any], **arguments: Any) -> Dataset:
        return self.take(self.rows, function, arguments)


def key(rows: Dataset, function: Any, arguments: dict[str, Any]) -> str:
    """Return what tells `rows.map(function, **arguments)` from all that would come out otherwise.

    `function`: a method of one of LLaMA-Factory's processors of rows. Raises PicklingError and TypeError where one of
    its parts cannot be told from others, OSError where code cannot be read."""
    how = function.__self__
    settings = {name: value for name, value in asdict(how.data_args).items() if name not in _PLACES}
    mapped = {name: value for name, value in arguments.items() if name not in _UNDECIDING}
    tools = (how.template, how.tokenizer, how.processor)
    digest = hashlib.sha256(dumps([function.__name__, type(how), settings, mapped, tools]))
    for part in (_code(*tools), _content(rows)):
        digest.update(part.digest())
    return digest.hexdigest()[:32]


def _code(*objects: object) -> Any:
    """The hash of what tokenizes: its source, and the versions of the libraries below."""
    digest = hashlib.sha256(json.dumps([version(name) for name in _LIBRARIES]).encode())
    files = {Path(inspect.getfile(type(each))) for each in objects if each is not None}
    files |= {*Path(llamafactory.data.__path__[0]).rglob("*.py"), Path(compat.__file__), Path(__file__)}
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest


def _content(rows: Dataset) -> Any:
    """The hash of every word of the rows, and of which media they name, by size and time of change."""
    digest = hashlib.sha256(str(rows.features).encode())
    for batch in rows.with_format("arrow").iter(batch_size=_AT_ONCE):
        digest.update(json.dumps(batch.to_pylist(), default=repr).encode())
        for column in _MEDIA:
            for file in map(Path, _names(batch[column].to_pylist())):
                if file.is_file():
                    status = file.stat()
                    digest.update(f"{status.st_size} {status.st_mtime_ns} ".encode())
    return digest


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _names(each)


def _in_a_fork(work: Callable[[], object]) -> None:
    """Do `work` in a process of its own, whose memory is gone with it: what a run takes must not depend on whether it
    was the first. Raises ChildProcessError where it fails, of which it has printed why."""

    def forked() -> None:
        lifecycle.die_with_parent()
        # OpenMP's threads are not in a fork, which would wait for them for ever.
        torch.set_num_threads(1)
        work()

    lifecycle.be_parent()
    process = multiprocessing.get_context("fork").Process(target=forked)
    process.start()
    process.join()
    if process.exitcode:
        raise ChildProcessError(f"the process that tokenizes them ended with status {process.exitcode}")


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
