"""Commands that nobody means, sweep files that nobody would write, and what holds of how they end.

Pure Python's `random`, not hypothesis: `benchmarks/fuzz_commands.py` makes thousands of them.
"""

from __future__ import annotations

import copy
import logging
import os
import re
import signal
import subprocess
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from unittest import mock

import yaml
from typer.testing import CliRunner

from harness.base.paths import PACKAGE, configuration_folder
from harness.base.text import LONGEST
from harness.cli import app
from harness.compose.keys import keys
from harness.processes import start
from tests.builders import RunBuilder

SECONDS = 120
"""After which a command is said to hang."""
LONGEST_LINE = LONGEST + 100
"""Characters of a message, with what it says of those that it lacks."""

NASTY = [
    "",
    " ",
    "null",
    "~",
    "[]",
    "{}",
    "[{}]",
    "{a: [1, {b: null}]}",
    "- a",
    "a: b: c",
    "!!python/object:os.system x",
]
NASTY += [
    "${nothing}",
    "${sweep}",
    "${..model}",
    "${oc.env:NOT_THERE}",
    "${oc.decode:'['}",
    "${nobody:1}",
    "${",
    "$(id)",
]
NASTY += [
    "`id`",
    "'",
    '"',
    "\\",
    "\n",
    "\t",
    "\r",
    "\x1b[31mred",
    "\x85",
    "\u2028",
    "\u202e",
    "\ufeff",
    "é",
    "你是谁",
    "😀",
]
NASTY += [
    "a" * 300,
    "a/" * 200,
    "..",
    "../..",
    "/",
    "/dev/null",
    "/dev/zero/x",
    "/proc/1/mem",
    ".",
    "-",
    "--",
    "--help",
    "-1",
]
NASTY += [
    "0",
    "1e999",
    "nan",
    "-inf",
    "9" * 30,
    "9" * 5000,
    "0x10",
    "1_000",
    "true",
    "1,2",
    "range(1,3)",
    "range(3)",
    "glob(*)",
]
NASTY += ["choice(a,b)", "sort(3,1)", "shuffle(1,2)", "interval(0,1)", "tag(a,1)", "int(a)", "str([", "json_str({})"]
NASTY += [
    "2026-11-28",
    "*a",
    "&a b",
    "@model",
    "model@x",
    "~model",
    "+x=1",
    "++x.y=1",
    "x@y.z=w",
    "=",
    "==",
    ":",
    "%",
    "#",
]
HIDDEN = ("\x1b", "\x85", "\u202e", "\ufeff", "\x07")
"""What no terminal may be given."""

# Without what asks the network.
_KEYS = [key for key in keys() if not key.endswith((".repository", ".hub", "dry_run", "device", "forecast", "url"))]
_KEYS += ["llamafactory.lora_rank", "llamafactory.nothing", "hydra.run.dir", "hydra.sweep.dir", "hydra.mode"]
_KEYS += [
    "hydra/launcher",
    "hydra/sweeper",
    "hydra.sweeper.params.seed",
    "hydra.searchpath",
    "hydra.job.chdir",
    "nothing",
]
_GROUPS = [folder.name for folder in configuration_folder("conf").iterdir() if folder.is_dir()]
_PLAIN = ["dry_run=true", "device=cpu"]
"""So that nothing is trained."""
_OVERRIDES = ["method=lora,qlora", "seed=0,1", "training.max_steps=3", "evaluation=none", "model=tiny", "sweep=name"]
_OVERRIDES += ["dataset=local", "dataset.path=rows.json", "evaluation.prompts=[{prompt: hi}]", "comparison.axes=[rank]"]
_FILES = [
    "rows.json",
    "sweeps/mine.yaml",
    "train.yaml",
    "run.sh",
    "log.txt",
    "outputs",
    "outputs/made",
    "nowhere",
    "run",
]
_OTHER_VERBS = [
    ["report", "outputs/made", "--output", "made", "--language", "zh"],
    ["compare", "outputs/made", "outputs/made", "--json"],
    ["adopt", "lora=output", "--train", "train.yaml", "--sweep", "adopted"],
    ["doctor", "--log", "log.txt"],
    ["import", "train.yaml", "learning_rate=1"],
    ["import", "llamafactory-cli", "train", "--stage", "sft", "--lora_rank", "8"],
    ["import", "run.sh"],
    ["merge", "outputs/made", "--output", "merged"],
    ["chat", "outputs/made", "--target", "base", "--temperature", "1"],
    ["serve", "outputs/made", "--host", "localhost", "--port", "8000"],
    ["webchat", "outputs/made", "--merged", "merged"],
    ["watch", "outputs/made", "--port", "5092"],
    ["status", "outputs/made"],
    ["verify", "outputs/made"],
    ["run", "--spec", "spec.json"],
    ["run", "--cfg", "job"],
    ["run", "--info", "defaults"],
]
_TRAINING = (
    "model_name_or_path: tiny\nstage: sft\ndataset: identity\nfinetuning_type: lora\nlora_rank: 8\noutput_dir: output\n"
)
_SCRIPT = "export A=1\nllamafactory-cli train \\\n  --stage sft \\\n  --dataset identity --output_dir output\n"


@dataclass(frozen=True)
class Attempt:
    """A command in a folder with these files."""

    words: Sequence[str]
    files: dict[str, bytes] = field(default_factory=dict)


def an_attempt(seed: int) -> Attempt:
    """The same attempt for the same seed, always."""
    random = Random(seed)
    return random.choice(
        (_of_overrides, _of_overrides, _of_another_verb, _of_a_sweep_file, _of_a_sweep_file, _of_own_files)
    )(random)


def _of_overrides(random: Random) -> Attempt:
    verb = random.choice(
        (
            ["run"],
            ["run"],
            ["sweep", "quickstart", "seed=0"],
            ["forecast", "--card", "24GiB"],
            ["data", "--output", "d"],
        )
    )
    words = random.sample(_OVERRIDES, random.randint(0, 3)) + [
        _an_override(random) for _ in range(random.choice((1, 1, 2, 4)))
    ]
    random.shuffle(words)
    return Attempt([*verb, *(_mangled(random, word) if random.random() < 0.3 else word for word in words), *_PLAIN])


def _of_another_verb(random: Random) -> Attempt:
    words = list(random.choice(_OTHER_VERBS))
    for _ in range(random.choice((1, 1, 2, 3))):
        place = random.randrange(len(words) + 1)
        words[place : place + random.randint(0, 1)] = [
            random.choice((random.choice(NASTY), random.choice(_FILES), _mangled(random, random.choice(words))))
        ]
    if words[0] in ("run", "sweep"):
        words += _PLAIN
    files = {
        name: _damaged(random, text.encode())
        for name, text in (("train.yaml", _TRAINING), ("run.sh", _SCRIPT))
        if random.random() < 0.5
    }
    return Attempt(words, files)


def _of_a_sweep_file(random: Random) -> Attempt:
    original = random.choice(sorted(configuration_folder("sweeps").glob("*.yaml"))).read_text(encoding="utf-8")
    content = _damaged(random, original.encode()) if random.random() < 0.5 else _restructured(random, original)
    words = random.choice(
        (["sweep", "mine"], ["sweep", "mine"], ["forecast", "mine"], ["data", "mine", "--output", "d"])
    )
    return Attempt([*words, *_PLAIN, "evaluation=none"], {"sweeps/mine.yaml": content})


def _of_own_files(random: Random) -> Attempt:
    """A file of the user's own in conf/, in place of the package's or beside it."""
    group = random.choice([*_GROUPS, "config"])
    found = sorted((configuration_folder("conf") / group).glob("*.yaml")) or [
        configuration_folder("conf") / "config.yaml"
    ]
    original = random.choice(found)
    content = (
        _damaged(random, original.read_bytes())
        if random.random() < 0.5
        else _restructured(random, original.read_text(encoding="utf-8"))
    )
    if group == "config":
        return Attempt(["run", *_PLAIN], {"conf/config.yaml": content})
    return Attempt(
        ["run", f"{group}=mine", *(_PLAIN if group != "device" else _PLAIN[:1])], {f"conf/{group}/mine.yaml": content}
    )


def _an_override(random: Random) -> str:
    key = random.choice(_KEYS if random.random() < 0.8 else _GROUPS)
    return f"{random.choice(('', '', '', '', '+', '++', '~'))}{key}={random.choice(NASTY)}"


def _mangled(random: Random, word: str) -> str:
    place = random.randint(0, len(word))
    return word[:place] + random.choice(NASTY) + word[place + random.randint(0, 3) :]


def _damaged(random: Random, content: bytes) -> bytes:
    for _ in range(random.choice((1, 1, 2, 4))):
        content = random.choice(_DAMAGES)(random, content)
    return content


def _insert(random: Random, content: bytes) -> bytes:
    place = random.randint(0, len(content))
    return content[:place] + random.choice(NASTY).encode() + content[place:]


def _insert_bytes(random: Random, content: bytes) -> bytes:
    place = random.randint(0, len(content))
    return content[:place] + random.choice((b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x1b[2J")) + content[place:]


def _delete(random: Random, content: bytes) -> bytes:
    place = random.randint(0, len(content))
    return content[:place] + content[place + random.choice((1, 1, 5, 40)) :]


def _move_line(random: Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    line = random.choice(lines) if random.random() < 0.5 else lines.pop(random.randrange(len(lines)))
    lines.insert(random.randint(0, len(lines)), random.choice((b"", b"  ", b"\t")) + line)
    return b"".join(lines)


def _replace_value(random: Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"(?<=: )\S.*", content))
    if not found:
        return content
    value = random.choice(found)
    return content[: value.start()] + random.choice(NASTY).encode() + content[value.end() :]


def _encode(random: Random, content: bytes) -> bytes:
    return content.decode(errors="replace").encode(random.choice(("utf-16", "utf-8-sig", "utf-32", "gb18030")))


def _add(random: Random, content: bytes) -> bytes:
    return content + random.choice(_ADDED).encode()


_ADDED = [
    "\ndefaults: [mine]\n",
    "\nsweep: a\nsweep: b\n",
    "\na: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "\na: &a {b: *a}\n",
    "\n---\nsweep: other\n",
    "\n<<: {sweep: x}\n",
    "\nhydra: {sweeper: {params: [a]}}\n",
    "\nhydra: {sweeper: {params: {seed: [0, 1], 3: 4, null: 5}}}\n",
    "\n1: 2\n",
    "\nnull: 2\n",
    "\n? [a]\n: b\n",
    "\nmodel: [a]\n",
]
_DAMAGES: list[Callable[[Random, bytes], bytes]] = [
    _insert,
    _insert_bytes,
    _delete,
    _move_line,
    _replace_value,
    _encode,
    _add,
]


def _restructured(random: Random, text: str) -> bytes:
    """The file's data with a node in it replaced, taken away or put elsewhere."""
    head, data = text.partition("\n")[0], yaml.safe_load(text) or {}
    for _ in range(random.choice((1, 1, 2))):
        places = list(_places(data))
        if not places:
            break
        holder, key = random.choice(places)
        if random.random() < 0.15:
            del holder[key]
        else:
            other, at = random.choice(places)
            holder[key] = random.choice((_value(random), _value(random), copy.deepcopy(other[at])))
    return f"{head}\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}".encode()


def _value(random: Random) -> object:
    return random.choice(
        (
            None,
            [],
            {},
            [None],
            {"a": "b"},
            [[]],
            0,
            -1,
            1.5,
            True,
            random.choice(NASTY),
            {random.choice(_KEYS): random.choice(NASTY)},
        )
    )


def _places(node: object) -> Iterator[tuple[object, object]]:
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    for key, inner in items:
        yield node, key
        yield from _places(inner)


class _Hangs(BaseException):
    """Raised where a command has had its time."""


@contextmanager
def _limited() -> Iterator[None]:
    def hang(number: int, frame: types.FrameType | None) -> None:
        raise _Hangs

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def furnish(folder: Path) -> None:
    """Put into `folder` what the commands name."""
    RunBuilder(folder / "outputs" / "made").write()
    (folder / "rows.json").write_text('[{"instruction": "a", "input": "", "output": "b"}]')
    (folder / "train.yaml").write_text(_TRAINING)
    (folder / "run.sh").write_text(_SCRIPT)
    (folder / "log.txt").write_text("Traceback (most recent call last):\nValueError: \x1b[31mx\n")
    (folder / "spec.json").write_text('{"config": {}}')


def violations(attempt: Attempt, folder: Path) -> list[str]:
    """What is wrong with how the command ends, which is started in the empty `folder`: nothing of it is let run."""
    furnish(folder)
    for name, content in attempt.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    # No process, so nothing is trained, fetched or served.
    refusal = PermissionError(1, "nothing is started here")
    handler = signal.getsignal(signal.SIGTERM)
    with (
        chdir(folder),
        mock.patch.object(subprocess, "Popen", side_effect=refusal),
        mock.patch.object(start, "Started", side_effect=refusal),
        mock.patch.object(os, "execve", side_effect=refusal),
        mock.patch.object(os, "dup2"),
        mock.patch.object(sys, "argv", ["harness"]),
        # Hydra's handlers, of an earlier command, write to a stream that is gone.
        mock.patch.object(logging, "raiseExceptions", False),
        _limited(),
    ):
        try:
            done = CliRunner().invoke(app, list(attempt.words), catch_exceptions=True)
        except _Hangs:
            return [f"takes longer than {SECONDS} s"]
        finally:
            signal.signal(signal.SIGTERM, handler)
    return list(_violations(done.exit_code, done.exception, done.exc_info, done.stdout, done.stderr))


def _violations(status: int, exception: BaseException | None, info: object, stdout: str, stderr: str) -> Iterator[str]:
    if exception is not None and not isinstance(exception, SystemExit):
        frames = traceback.extract_tb(exception.__traceback__)
        own = [frame for frame in frames if str(PACKAGE) in frame.filename][-1:] + frames[-1:]
        where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(own))
        yield f"{type(exception).__name__} at {where}: {str(exception)[:300]!r}"
        return
    if status not in (0, 1, 2):
        yield f"exit status {status}"
    if "Traceback (most recent call last)" in stderr:
        yield f"a traceback: {stderr[-500:]!r}"
    if status == 2 and not re.search(r"^(error|usage): ", stderr, re.MULTILINE | re.IGNORECASE):
        yield f"status 2 and no message: {stderr[:300]!r}"
    for name, text in (("stdout", stdout), ("stderr", stderr)):
        if hidden := [mark for mark in HIDDEN if mark in text]:
            place = text.index(hidden[0])
            yield f"{name} passes {hidden} on: {text[max(0, place - 80) : place + 40]!r}"
        if name == "stderr" and (longest := max(map(len, text.split("\n")))) > LONGEST_LINE:
            yield f"{name} has a line of {longest} characters: {max(text.split(chr(10)), key=len)[:200]!r}"
