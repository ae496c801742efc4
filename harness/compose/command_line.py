"""The training commands of LLaMA-Factory in a script: what each says of the training, and of how it is started."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from harness.compose.document import Block, blocks
from harness.compose.launched import STARTERS, Launched, launched
from harness.compose.old_names import as_written, is_known
from harness.compose.shell_script import UNKNOWN, Command, commands, commands_in_word, unknown
from harness.trainer.fields import FIELDS, LEFT_OUT, Declared, declared_arguments, holds_secret

_CLI = ("llamafactory-cli", "lmf")
_MODULES = ("llamafactory.cli", "llmtuner.cli")
_SCRIPT = re.compile(r"train(_bash|_sft)?\.py")
_SPEAKING = (
    *("echo", "printf", "cat", "grep", "ls", "tail", "head", "which", "man", "alias"),
    *("ps", "kill", "pkill", "vim", "vi", "nano"),
)
"""Commands that name others without starting them."""
_USUAL = (
    "cd",
    "pip",
    "pip3",
    "git",
    "docker",
    "conda",
    "modelscope",
    "huggingface-cli",
    "hf",
    "swanlab",
    "wget",
    "bash",
)
_WITHIN = re.compile(rf"({'|'.join(_CLI)})\s+train\b|{_SCRIPT.pattern}\s")
"""A command in a text that another shell reads, as in bash -c "..."."""
_OF_THE_SHELL = ("test", "set", "shopt", "trap", "wait", "true", "exit", "echo")
_TRUE, _FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")
_SECRET = re.compile(r"(hf_|sk-|ms-|ghp_)\w")
"""How keys of hubs and servers begin."""
_DASHES = ("–", "—", "−", "－")  # noqa: RUF001


@dataclass
class TrainingCommand:
    """A command that trains. Its file, where it names one, is still to be read."""

    line: int
    folder: str
    """Where the script has gone before it, from where it was started."""
    files: Mapping[str, str]
    """What the script has written before it, by name."""
    launched: Launched
    loops: Mapping[str, str]
    """By variable, what a loop around it goes through."""
    arguments: dict[str, Any] = field(default_factory=dict)
    file: str | None = None
    """In place of arguments: the training file that it names."""
    changes: list[str] = field(default_factory=list)
    """`key=value` behind the file, which holds in place of what that says."""
    shown: Block | None = None
    """The file, as the document shows it."""
    notes: list[str] = field(default_factory=list)
    """What of it LLaMA-Factory reads otherwise than it looks."""
    mistakes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Script:
    """What a script does, as far as it concerns a training."""

    trainings: list[TrainingCommand]
    others: list[str]
    """The programs that it starts besides."""
    unnamed: list[Block]
    """Training files that a document shows, and that no command names."""


Finder = Callable[[str, Mapping[str, str], str], str | None]
"""Gives the text of a file by its name, what the script has written, and the folder that it has gone to; None: it is
not here."""


def read_script(text: str, variables: Mapping[str, str], find: Finder = lambda *_: None) -> Script:
    """Return what a script, a command line or the code in a document says; without a training where it has none.

    `variables`: those of the environment."""
    code = blocks(text)
    files = [block for block in code if not block.is_shell]
    reading = _Reading(variables, find, is_document=len(code) > 1, files=files)
    reading.read(commands([block for block in code if block.is_shell], variables))
    named = {PurePosixPath(training.file or "").name for training in reading.trainings}
    unnamed = [block for block in files if not block.names & named and _is_training(block.text, alone=not named)]
    return Script(reading.trainings, list(dict.fromkeys(name for name in reading.others if name)), unnamed)


@dataclass
class _Reading:
    """Goes through commands, and takes those that train."""

    variables: Mapping[str, str]
    find: Finder
    is_document: bool
    """In which much looks like a command that is none."""
    files: Sequence[Block]
    trainings: list[TrainingCommand] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def read(self, found: Iterable[Command]) -> None:
        was_training = False
        for command in found:
            entry = _entry(command.words)
            if entry is not None:
                training = _training(command, *entry, self.find)
                training.shown = _shown(training, self.files)
                self.trainings.append(training)
            elif inner := [place for place in range(1, len(command.words)) if _is_script(place, command)]:
                for place in inner:
                    self.read(commands_in_word(command, place, self.variables))
            elif was_training and command.words[0].startswith(("--", *_DASHES)):
                self.trainings[-1].mistakes.append(
                    f"line {command.line}: {command.words[0]}: stands behind the end of the command, so that "
                    "LLaMA-Factory does not get it; end the line before it in a backslash, without a comment or an "
                    "empty line between"
                )
                continue
            elif not self.is_document or PurePosixPath(command.words[0]).name in (*_CLI, *_USUAL):
                # What stands for a value, as `date` often does, starts nothing.
                self.others += [] if command.is_captured else [_program(command.words)]
            was_training = entry is not None


def _is_training(text: str, alone: bool) -> bool:
    """Whether a file is meant to be trained with: beside others it names a model and rows; `alone` a part is enough."""
    keys = set(re.findall(r"^[\"']?(\w+)[\"']?[ \t]*:", textwrap.dedent(text), re.MULTILINE))
    whole = {"model_name_or_path", "dataset"} <= keys
    return whole or (alone and bool(keys & {"stage", "do_train", "dataset", "num_train_epochs", "learning_rate"}))


def _shown(training: TrainingCommand, shown: Sequence[Block]) -> Block | None:
    """The block of a document that is the file of a training, where its words leave one alone."""
    name = PurePosixPath(training.file or "").name
    named = [block for block in shown if name in block.names]
    return named[0] if len(named) == 1 else None


def unresolved(arguments: Mapping[str, Any], loops: Mapping[str, str]) -> dict[str, str]:
    """Return by name what is wrong with arguments that hold a variable without a value; what is left out may."""
    mistakes = {}
    for name, value in arguments.items():
        why = unknown(value)
        if why is None or name in LEFT_OUT or holds_secret(name):
            continue
        found = UNKNOWN.search(str(value))
        variable = (found[1] or found[2] or "") if found else ""
        if variable in loops:
            key = (FIELDS[name].key if name in FIELDS else None) or f"llamafactory.{name}"
            values = ",".join(loops[variable].split())
            why = f"a loop goes through {values}"
            fix = f"write one of them, and train them all by --multirun {key}={values}"
        elif re.match(r"[A-Za-z_]", variable):
            fix = f"write it in its place, or export {variable}=... before the import"
        else:
            fix = "write what it gives in its place"
        mistakes[name] = f"{name}={value}: {why}; {fix}"
    return mistakes


def _is_script(place: int, command: Command) -> bool:
    word = command.words[place]
    return command.words[0] not in _SPEAKING and " " in word and _WITHIN.search(word) is not None


def _program(words: Sequence[str]) -> str:
    """A program's name; of LLaMA-Factory's with its verb. Further words may hold a secret."""
    name = PurePosixPath(words[0]).name
    if not re.fullmatch(r"[A-Za-z][\w.+-]*", name, re.ASCII) or name in _OF_THE_SHELL:
        return ""
    return " ".join(words[:2]) if name in _CLI else name


def _entry(words: Sequence[str]) -> tuple[int, int, bool] | None:
    """Where a training command's own part begins, where its arguments begin, and whether it is LLaMA-Factory's CLI,
    which starts several processes by itself; None: it trains nothing."""
    if words[0] in _SPEAKING:
        return None
    for at, word in enumerate(words):
        path = PurePosixPath(word)
        following = words[at + 1] if at + 1 < len(words) else ""
        is_module = word == "-m" and following in _MODULES
        if is_module or path.name in _CLI or f"{path.parent.name}.{path.stem}" in _MODULES:
            verb = at + 1 + is_module
            return (at, verb + 1, True) if words[verb : verb + 1] == ["train"] and not _asks_help(words) else None
        is_launcher = path.name == "launcher.py" or (word == "-m" and following == "llamafactory.launcher")
        if (_SCRIPT.fullmatch(path.name) or is_launcher) and (
            at == 0 or any(STARTERS.fullmatch(PurePosixPath(before).name) for before in words[:at])
        ):
            return None if _asks_help(words) else (at, at + 1 + (word == "-m"), False)
    return None


def _asks_help(words: Sequence[str]) -> bool:
    return words[-1] in ("-h", "--help")


def _training(command: Command, start: int, first: int, by_cli: bool, find: Finder) -> TrainingCommand:
    before, given = [*command.starters, *command.words[:start]], command.words[first:]
    assigned = [word.partition("=")[::2] for word in before if re.match(r"[A-Za-z_]\w*=", word)]
    starting = [word for word in before if not re.match(r"[A-Za-z_]\w*=", word)]
    environment = {**command.environment, **dict(assigned)}
    how = launched(environment, starting, by_cli, lambda name: find(name, command.files, command.folder))
    how.left_out += command.conditions
    training = TrainingCommand(command.line, command.folder, command.files, how, command.loops)
    training.mistakes += command.mistakes
    if given and given[0].endswith((".yaml", ".yml", ".json")):
        training.file, training.changes = given[0], given[1:]
        training.mistakes += changes_refused(training.changes)
    else:
        _take(training, given)
    return training


def changes_refused(changes: Sequence[str]) -> list[str]:
    """Return what is wrong with the words behind a training file."""
    mistakes = []
    for before, word in zip(("", *changes), changes, strict=False):
        name, equals, _ = word.partition("=")
        if word.startswith("-"):
            fix = f"{name.lstrip('-').replace('-', '_')}=VALUE"
            mistakes.append(f"{name}: behind a file LLaMA-Factory takes KEY=VALUE; give {fix}")
        elif not equals and not before.startswith("-"):
            mistakes.append(_stray(word).replace("--NAME VALUE", "KEY=VALUE behind a file"))
    return mistakes


def _take(training: TrainingCommand, words: Sequence[str]) -> None:
    """The arguments, typed as LLaMA-Factory's parser types them."""
    declared = declared_arguments()
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not _is_option(word):
            training.mistakes.append(_stray(word))
            continue
        option, equals, value = word[2:].partition("=")
        name, is_negated = _named(option.replace("-", "_"))
        values = [value] if equals else []
        while not equals and at < len(words) and not _is_option(words[at]):
            if values and not _takes_several(declared.get(name)):
                break
            values.append(words[at])
            at += 1
        if option.replace("-", "_") not in (name, f"no_{name}"):
            training.notes.append(f"--{option}: is taken for --{name}, whose name begins so")
        if name in training.arguments:
            training.notes.append(f"--{name}: is given twice, and the last holds")
        typed = False if is_negated else _typed(name, values, declared.get(name))
        if isinstance(typed, _Untyped):
            training.mistakes.append(f"--{name}{typed.shown}: {typed.needed} is needed")
        else:
            training.arguments[name] = typed


def _is_option(word: str) -> bool:
    return word.startswith("--") and len(word) > 2 and " " not in word.partition("=")[0]


def _stray(word: str) -> str:
    if word.startswith(_DASHES):
        return f"{word}: begins with a dash that is no hyphen; give --{word.lstrip('-' + ''.join(_DASHES))}"
    if UNKNOWN.search(word):
        return f"{word}: {unknown(word)}; write the arguments in its place"
    if re.match(r"-[A-Za-z]", word):
        return f"{word}: LLaMA-Factory's arguments begin with two hyphens"
    shown = f"{word[:3]}..." if _SECRET.match(word) else word
    return f"{shown}: stands alone; an argument is --NAME VALUE, and a value with blanks stands in quotes"


def _named(name: str) -> tuple[str, bool]:
    """The argument that an option means, and whether it says no: argparse takes the beginning of a name for it."""
    declared = declared_arguments()
    positive = name.removeprefix("no_")
    if name not in declared and positive in declared and declared[positive].default == "True":
        return positive, True
    meant = [known for known in declared if known.startswith(name)]
    if name not in declared and not is_known(name) and len(meant) == 1:
        return meant[0], False
    return name, False


@dataclass(frozen=True)
class _Untyped:
    """A value that LLaMA-Factory's parser would refuse."""

    shown: str
    needed: str


def _kind(declared: Declared) -> str:
    """bool, int, float, list or str, of what HfArgumentParser makes of an annotation."""
    parts = [part.strip() for part in re.sub(r"\[.*?\]+", "", declared.annotation).split("|")]
    parts = [part for part in parts if part not in ("None", "Optional")]
    for kind in ("bool", "str", "list", "int", "float"):
        if kind in parts:
            return kind
    return "str"


def _takes_several(declared: Declared | None) -> bool:
    return declared is not None and _kind(declared) == "list"


def _typed(name: str, values: Sequence[str], declared: Declared | None) -> Any:
    if declared is None or (not values and is_known(name)):
        # Of an earlier version, or unknown, which is told later with what may be meant.
        return as_written(values)
    kind = _kind(declared)
    if kind == "bool":
        return _truth(values, needs_value=declared.default is None)
    if not values:
        return _Untyped("", "a value")
    if kind == "list":
        return list(values)
    shown = "" if holds_secret(name) else f" {values[0]}"
    try:
        return {"int": int, "float": float}.get(kind, str)(values[0])
    except ValueError:
        if UNKNOWN.search(values[0]):
            return values[0]
        return _Untyped(shown, "a number" if kind == "float" else "a whole number")


def _truth(values: Sequence[str], needs_value: bool) -> Any:
    if not values:
        return _Untyped("", "true or false") if needs_value else True
    text = values[0].lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return values[0] if UNKNOWN.search(values[0]) else _Untyped(f" {values[0]}", "true or false")
