"""Records and folders of runs that nobody would write, and what holds of whatever reads them.

Pure Python's `random`, not hypothesis: `benchmarks/fuzz_runs.py` makes thousands of them.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from harness.base.errors import UserError
from harness.base.paths import PACKAGE
from harness.cli.status import table
from harness.cli.terminal import Terminal
from harness.comparison.change import change
from harness.comparison.runs import load_runs
from harness.report import render
from harness.report.figures import Drawn
from harness.runs import kept, looks, status, store
from harness.runs.folder import RunFolder, SweepFolder
from harness.runs.status import Holder
from harness.runs.verify import verify
from harness.serving import finished_run
from tests.builders import RunBuilder, questions, reply

_DIGITS = "9" * 5000
_DEEP = 200
_MOST_SECONDS = 120
"""A reader that waits for what never comes is ended by a signal, and with it the fuzzer."""
_MARK = "in place of a value"
"""Stands in a record for what Python's json does not write; every key of it is replaced by its text."""
_WRITTEN = {
    f"{_MARK} {number}": text
    for number, text in enumerate(
        [
            _DIGITS,
            f"-{_DIGITS}",
            "1e999",
            "NaN",
            "-Infinity",
            '"\\ud800"',
            "[" * _DEEP + "]" * _DEEP,
            f"{_DIGITS}.5",
            "1e-400",
        ]
    )
}
_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    7,
    2**31,
    2**63,
    2**70,
    0.5,
    -0.5,
    1e308,
    "",
    " ",
    "a",
    "7",
    "nan",
    "\0",
    "\x1b[31m",
]
_VALUES += [
    "a" * 5000,
    "北大",
    "../..",
    "[x]",
    "<b>",
    "|",
    "2030-01-01",
    "2030-01-01T00:00:00",
    "0001-01-01T00:00:00+23:59",
]
_VALUES += [[], {}, [None], {"a": None}, [[]], [{}], {"": {}}, {"a": {"b": ["c"]}}, *_WRITTEN]


def a_sweep(folder: Path) -> SweepFolder:
    """Runs of two arms and two seeds with all that a record can hold, one of which failed."""
    for seed in (0, 1):
        for arm, quantized in (("lora", False), ("qlora", True)):
            RunBuilder(
                folder,
                arm,
                seed,
                quantized=quantized,
                device="cuda" if seed else "cpu",
                parts=not (seed and quantized),
                answers=questions(60, 0.7, seed=seed),
                base_accuracy=0.1,
                merged_answers=questions(60, 0.6, seed=seed + 2),
                merged_peak_mib=900.0,
                replies=[reply("a", "yes", "yes")],
                base_replies=[reply("a", "no", "yes")],
                duration_seconds=20.0,
            ).write()
    sweep = SweepFolder(folder)
    status.plan(sweep, list(sweep.runs()))
    for run in sweep.runs():
        holder = Holder(run="lora-seed0", sweep=folder.name, user="me", host="node", pid=1, since=datetime.now(UTC))
        run.holder.write_text(holder.model_dump_json())
    return sweep


def mutate(seed: int, sweep: SweepFolder) -> str:
    """Damage one run of a sweep, the same way for the same seed, and return how."""
    random = Random(seed)
    folder = random.choice(list(sweep.runs()))
    if random.random() < 0.75:
        file = random.choice((*[folder.record] * 8, folder.holder, sweep.plan))
        return f"{folder.name}: {file.name}: {_of_values(random, file)}"
    files = sorted(path for path in sweep.path.rglob("*") if random.random() < 0.5 or path.is_file())
    damage, path = random.choice(_DAMAGES), random.choice(files)
    damage(random, path)
    return f"{path.relative_to(sweep.path)}: {damage.__name__}"


def _of_values(random: Random, file: Path) -> str:
    record = json.loads(file.read_text(encoding="utf-8"))
    done = []
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        places = list(_places(record))
        if not places:
            break
        holder, key, name = random.choice(places)
        action = random.random()
        if action < 0.1:
            del holder[key]
            done.append(f"{name} is gone")
        elif action < 0.15:
            other, at, source = random.choice(places)
            with suppress(LookupError):
                holder[key] = json.loads(json.dumps(other[at]))
            done.append(f"{name} is {source}")
        else:
            value = random.choice(_VALUES)
            holder[key] = value
            done.append(f"{name}={_WRITTEN.get(str(value), repr(value))[:40]}")
    text = json.dumps(record)
    for mark, written in _WRITTEN.items():
        text = text.replace(json.dumps(mark), written)
    file.write_text(text, encoding="utf-8")
    return ", ".join(done)


def _places(node: Any, name: str = "") -> Iterator[tuple[Any, Any, str]]:
    for key, inner in (
        list(node.items()) if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    ):
        yield node, key, f"{name}.{key}".lstrip(".")
        yield from _places(inner, f"{name}.{key}")


def _gone(random: Random, path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _other_kind(random: Random, path: Path) -> None:
    was_file = path.is_file()
    _gone(random, path)
    path.mkdir() if was_file else path.write_text("a file")


def _dangling(random: Random, path: Path) -> None:
    _gone(random, path)
    path.symlink_to("not there")


def _round(random: Random, path: Path) -> None:
    _gone(random, path)
    path.symlink_to(path.name)


def _pipe(random: Random, path: Path) -> None:
    _gone(random, path)
    os.mkfifo(path)


def _bytes(random: Random, path: Path) -> None:
    if path.is_dir():
        _other_kind(random, path)
        return
    data = path.read_bytes()
    start = random.randint(0, len(data))
    end = start + random.choice((0, 1, 40, len(data)))
    inserted = random.choice(
        (b"", b"\0", b"\0" * 4096, b"\xff", b"{", b"[", b'"', b"\n", b"\xed\xa0\x80", _DIGITS.encode(), b"NaN")
    )
    path.write_bytes(
        random.choice(
            (data[:start] + inserted + data[end:], data[:start] + inserted, b"", data.decode().encode("utf-16"))
        )
    )


_DAMAGES: list[Callable[[Random, Path], None]] = [
    _gone,
    _other_kind,
    _other_kind,
    _dangling,
    _round,
    _pipe,
    _bytes,
    _bytes,
    _bytes,
    _bytes,
]


def violations(sweep: SweepFolder, output: Path, draws: bool = False) -> Iterator[str]:
    """What is wrong with how a damaged sweep is read: a message is right, and so is a run less; a traceback is not."""
    runs = list(sweep.runs()) if sweep.path.is_dir() else []
    readers: dict[str, Callable[[], object]] = {
        "load_runs": lambda: load_runs(sweep.path),
        "compare": lambda: change(sweep.path, sweep.path),
        "status": lambda: Terminal(file=io.StringIO()).print(table(status.Watch(sweep).look())),
        "verify": lambda: [verify(run) for run in runs],
        "looks": lambda: (looks.completed_in(sweep), looks.note(sweep, looks.completed_in(sweep))),
        "write": lambda: [_written_again(run) for run in runs],
        **{f"load {run.name}": partial(_allowed, finished_run.load, run.path) for run in runs},
    }
    with mock.patch.object(render.figures, "draw", render.figures.draw if draws else lambda *_: Drawn({}, "", False)):
        yield from _tried("report", lambda: render.render([sweep.path], output))
    for name, read in readers.items():
        yield from _tried(name, read)


def _tried(name: str, read: Callable[[], object]) -> Iterator[str]:
    signal.alarm(_MOST_SECONDS)
    try:
        read()
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if str(PACKAGE) in frame.filename][-2:] + frames[-1:]
        where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(own))
        yield f"{name}: {type(error).__name__} at {where}: {str(error)[:200]!r}"
    finally:
        signal.alarm(0)


def _allowed(read: Callable[[Path], object], path: Path) -> None:
    with suppress(UserError):
        read(path)


def _written_again(run: RunFolder) -> None:
    """A record that can be read can be written, and be read once more."""
    with suppress(store.DamagedRecordError):
        record = store.load(run)
        if record is not None:
            kept.lost_weights(run, record)
            store.write(run, record)
            assert store.load(run) == record or "nan" in os.fsdecode(run.record.read_bytes()).lower()
