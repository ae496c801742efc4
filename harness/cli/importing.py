"""`harness import`: a training of LLaMA-Factory's, from its file or its command line, as a command of this harness."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.base.errors import UserError
from harness.base.paths import absolute
from harness.base.redaction import for_child, redact
from harness.runs.folder import RunFolder

if TYPE_CHECKING:
    from harness.compose.command_line import TrainingCommand
    from harness.compose.launched import Launched
    from harness.compose.llamafactory_file import Imported
    from harness.compose.registered import Registered
    from harness.data.sources import SourceReader

_FILES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class _Training:
    """What `llamafactory-cli train` was given."""

    title: str
    arguments: Mapping[str, Any]
    datasets: Registered | None
    launched: Launched
    notes: Sequence[str] = ()
    mistakes: Sequence[str] = ()


@dataclass(frozen=True)
class _Content:
    """What a source of trainings holds."""

    name: str
    trainings: Sequence[_Training]
    others: Sequence[str] = ()
    """The programs that it starts besides."""


def import_file(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE... [KEY=VALUE...] | COMMAND...",
            help="YAML or JSON, its changes behind it; a script, document or notebook with training commands in it; - "
            "reads one from the input.",
        ),
    ],
) -> None:
    """A training of LLaMA-Factory's as a command of this harness, with what cannot be carried over and why."""
    from harness.compose.llamafactory_file import import_training
    from harness.data.sources import SourceReader

    sources = SourceReader(Path.cwd())
    content = _read(source)
    imported: list[tuple[_Training, Imported]] = []
    mistakes: list[str] = []
    for training in content.trainings:
        mistaken = list(training.mistakes)
        try:
            found = import_training(training.arguments, training.datasets, training.launched)
        except UserError as error:
            mistaken += error.mistakes
        where = f"{training.title}: " if len(content.trainings) > 1 else ""
        mistakes += [text if text.startswith(("line ", training.title)) else where + text for text in mistaken]
        if not mistaken:
            imported.append((training, found))
    if imported:
        print(f"# dry_run=true at its end writes {RunFolder.train} and trains nothing.")
    sweeps = _sweeps(content.name, [each.overrides for _, each in imported])
    for (training, each), sweep in zip(imported, sweeps, strict=True):
        if len(content.trainings) > 1:
            print(f"\n# {training.title}")
        _tell(each, training.notes, [f"sweep={sweep}", *each.overrides], sources)
    if content.others and imported:
        print(f"# Left as they are: {', '.join(content.others)}")
    if mistakes:
        raise UserError(mistakes)


def _tell(imported: Imported, notes: Sequence[str], overrides: list[str], sources: SourceReader) -> None:
    kind = next((text for text in overrides if text.startswith("quantization=")), None)
    arms = ["method=lora,qlora"] if kind is None else ["method=lora", f"quantization=none,{kind.partition('=')[2]}"]
    others = [text for text in overrides if not text.startswith(("method=", "quantization="))]
    refused = [line for line in _refused(overrides, False, sources) if not _is_named(line, imported.left_out)]
    refused_arms = [line for line in _refused([*others, *arms], True, sources) if line not in refused]
    refused_arms = [line for line in refused_arms if not _is_named(line, imported.left_out)]
    if not refused_arms:
        print(f"# --multirun, and {' '.join(arms)} in place of what it says of them, trains LoRA and QLoRA.")
    print(redact(command_line(overrides)))
    for title, lines in (
        ("Not carried over:", imported.left_out),
        ("Named otherwise by now:", imported.renamed),
        ("Read as LLaMA-Factory reads it:", notes),
        ("Without effect, for LLaMA-Factory too:", imported.idle),
        ("`harness run` would refuse it here, as it stands:", refused),
        ("LoRA beside QLoRA it would refuse:", refused_arms),
    ):
        if lines:
            print(redact(f"# {title}"), *map(redact, lines), sep="\n#   ")
    if imported.anyway:
        print(f"# As it is in the harness anyway: {', '.join(imported.anyway)}")


def _is_named(mistake: str, left_out: list[str]) -> bool:
    """Whether what a mistake asks for is asked for already."""
    key = re.split("[:=]", mistake)[0]
    keys = ("dataset.path", "dataset.repository") if key == "dataset.path" else (key,)
    return any(f"{each}=" in line for line in left_out for each in keys)


def _refused(overrides: list[str], multirun: bool, sources: SourceReader) -> list[str]:
    """What `harness run` would say of it, apart from what it says of a device."""
    from harness.compose import checks, points

    try:
        points.points(overrides, multirun, lambda config: checks.check(config, None, sources))
    except UserError as error:
        return error.mistakes
    return []


def _with_hub(launched: Launched | None = None) -> Launched:
    """LLaMA-Factory is told its hub by the environment, where the command does not say it."""
    from harness.compose.launched import Launched, is_enabled

    launched = launched or Launched()
    asked = launched.hub is None and is_enabled(os.environ.get("USE_MODELSCOPE_HUB", ""))
    return replace(launched, hub="modelscope") if asked else launched


def _sweeps(name: str, overrides: Sequence[Sequence[str]]) -> list[str]:
    """The sweep of each training: one for those that are its arms, or the machines of one run; else one each."""
    runs = [tuple(text for text in own if not text.startswith("launch.node_rank=")) for own in overrides]
    different = list(dict.fromkeys(runs))
    arms = [tuple(text for text in run if text.startswith(("method=", "quantization"))) for run in different]
    if len(set(arms)) == len(arms):
        return [name] * len(runs)
    return [f"{name}-{different.index(run) + 1}" for run in runs]


def command_line(overrides: list[str]) -> str:
    """`harness run ...` for a shell, an override a line."""
    return " \\\n  ".join(["harness run", *map(shlex.quote, overrides)])


def _read(source: Sequence[str]) -> _Content:
    """What is given. Raises UserError, OSError."""
    if list(source) == ["-"]:
        return _scripted(None, "the input", _text(None), [Path.cwd()])
    if Path(source[0]).suffix in _FILES or all(_exists(Path(word)) for word in source):
        return _joined(source)
    if len(source) == 1 and not re.search(r"\s", source[0]):
        return _file(source[0], ())
    text = source[0] if len(source) == 1 else shlex.join(source)
    return _scripted(None, "the command", text, [Path.cwd()])


def _joined(words: Sequence[str]) -> _Content:
    """Files, each with the changes that stand behind it. Raises UserError."""
    given: list[tuple[str, list[str]]] = []
    for word in words:
        is_file = _exists(Path(word)) or (Path(word).suffix in _FILES and "=" not in word)
        if is_file or not given:
            given.append((word, []))
        else:
            given[-1][1].append(word)
    if len(given) == 1:
        return _file(*given[0])
    trainings, others = list[_Training](), list[str]()
    for name, changes in given:
        try:
            content = _file(name, changes)
        except UserError as error:
            trainings.append(_Training(name, {}, None, _with_hub(), mistakes=error.mistakes))
            continue
        others += content.others
        for each in content.trainings:
            title = each.title if each.title.startswith(name) else f"{name}: {each.title}"
            mistakes = [f"{name}: {text}" if text.startswith("line ") else text for text in each.mistakes]
            trainings.append(replace(each, title=title, mistakes=mistakes))
    return _Content("imported", trainings, list(dict.fromkeys(others)))


def _file(name: str, changes: Sequence[str]) -> _Content:
    from harness.compose.command_line import changes_refused

    file = Path(name)
    folders = [Path.cwd(), *absolute(file).parents]
    if mistakes := changes_refused(changes):
        raise UserError(mistakes)
    if file.suffix in _FILES:
        arguments = _parsed(name, _text(file), file.suffix, changes)
        changed = ", ".join(change.partition("=")[0] for change in changes)
        title = f"{name} with {changed}" if changed else name
        return _Content(_name(file), [_training(title, arguments, folders)])
    if changes:
        raise UserError(f"{changes[0].partition('=')[0]}: stands behind {name}, which is no YAML or JSON; leave it out")
    return _scripted(_name(file), name, _text(file), folders)


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):  # A command is no name that a file could have.
        return False


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False


def _name(file: Path) -> str:
    return re.sub(r"[^\w.-]+", "-", file.stem).lstrip("-.") or "imported"


def _scripted(name: str | None, place: str, text: str, folders: list[Path]) -> _Content:
    from harness.compose.command_line import read_script
    from harness.trainer.fields import training_argument_names

    def find(file: str, written: Mapping[str, str], folder: str) -> str | None:
        return _lying(file, written, folder, folders)[0]

    script = read_script(text, for_child(os.environ), find)
    count = len(script.trainings)
    titles = [f"{number} of {count}, line {command.line}" for number, command in enumerate(script.trainings, 1)]
    trainings = [_started(title, each, folders) for title, each in zip(titles, script.trainings, strict=True)]
    for block in script.unnamed:
        title = f"the file of line {block.line}"
        try:
            trainings.append(_training(title, _parsed(title, block.text, ".yaml"), folders))
        except UserError as error:
            trainings.append(_Training(title, {}, None, _with_hub(), mistakes=error.mistakes))
    if trainings:
        named = {_name(Path(command.file)) for command in script.trainings if command.file is not None}
        return _Content(name or (named.pop() if len(named) == 1 else "imported"), trainings, script.others)
    names = "|".join(training_argument_names())
    if not re.search(rf"^[^\w\n]*({names})[^\w\n]*:", text, re.MULTILINE):
        raise UserError(
            f"{place}: holds no training of LLaMA-Factory's; give one with `llamafactory-cli train ...` or `python "
            "src/train.py ...` in it, or a training file (YAML or JSON)"
        )
    return _Content(name or "imported", [_training(place, _parsed(place, text, ""), folders)])


def _training(title: str, arguments: dict[str, Any], folders: list[Path]) -> _Training:
    """A training file's."""
    datasets = _registered(arguments, folders, {}, "")
    return _Training(title, _here(arguments, folders), datasets, _with_hub())


def _lying(file: str, written: Mapping[str, str], folder: str, folders: list[Path]) -> tuple[str | None, list[Path]]:
    """The text of a file that a command names, and where what that names lies. Raises UserError."""
    places = [path for each in folders for path in (each / folder, each)]
    text = written.get(normpath(PurePosixPath(folder) / file))
    found = next((place / file for place in places if _is_file(place / file)), None)
    if text is None and found is not None:
        return _text(found), [*places, *absolute(found).parents]
    return text, places


def _started(title: str, command: TrainingCommand, folders: list[Path]) -> _Training:
    """A training command, with the file that it names read."""
    from harness.compose.command_line import unresolved

    arguments, mistakes = command.arguments, list(command.mistakes)
    places = [path for each in folders for path in (each / command.folder, each)]
    if command.file is not None:
        try:
            text, places = _lying(command.file, command.files, command.folder, folders)
            if text is None and command.shown is not None:
                text, title = command.shown.text, f"{title}, with the file of line {command.shown.line}"
            if text is None:
                raise UserError(f"{command.file}: is not here, and nothing shows it; import it where it lies")
            arguments = _parsed(command.file, text, PurePosixPath(command.file).suffix, command.changes)
        except UserError as error:
            mistakes += error.mistakes
    unresolvable = unresolved(arguments, command.loops)
    known = {name: value for name, value in arguments.items() if name not in unresolvable}
    mistakes += unresolvable.values()
    datasets = None
    try:
        datasets = _registered(known, places, command.files, command.folder)
        known = _here(known, places)
    except UserError as error:
        mistakes += error.mistakes
    return _Training(title, known, datasets, _with_hub(command.launched), command.notes, mistakes)


def load(file: Path) -> tuple[dict[str, Any], Registered | None]:
    """A training file, and the datasets that it can name: those of its dataset_dir, looked for in the current folder
    and then in each that the file lies in, as LLaMA-Factory is started in its own. Raises UserError."""
    if file.suffix not in _FILES:
        raise UserError(f"{file}: give a YAML or JSON file, such as `llamafactory-cli train` takes")
    arguments = _parsed(str(file), _text(file), file.suffix)
    folders = [Path.cwd(), *absolute(file).parents]
    return _with_deepspeed(arguments, folders), _registered(arguments, folders, {}, "")


def _here(arguments: dict[str, Any], folders: list[Path]) -> dict[str, Any]:
    """The arguments with what they name where it is, since `harness run` is started in the current folder."""
    from harness.trainer.fields import NAMES_FILES
    from harness.trainer.named_files import parts_of

    arguments = _with_deepspeed(arguments, folders)
    for name in ("model_name_or_path", *NAMES_FILES):
        value = arguments.get(name)
        if isinstance(value, str):
            arguments[name] = ",".join(_found(part, folders) for part in parts_of(value))
    return arguments


def _found(name: str, folders: list[Path]) -> str:
    if _exists(Path(name)):
        return name
    return next((str(folder / name) for folder in folders if _exists(folder / name)), name)


def _with_deepspeed(arguments: dict[str, Any], folders: list[Path]) -> dict[str, Any]:
    """DeepSpeed's configuration written out, where its file is here."""
    deepspeed = arguments.get("deepspeed")
    if not isinstance(deepspeed, str):
        return arguments
    found = next((folder / deepspeed for folder in folders if (folder / deepspeed).is_file()), None)
    return arguments if found is None else arguments | {"deepspeed": _parsed(str(found), _text(found), found.suffix)}


def _registered(
    arguments: Mapping[str, Any], folders: list[Path], written: Mapping[str, str], folder: str
) -> Registered | None:
    """The datasets that are registered where `dataset_dir` says, `written` there by a script or lying there."""
    from harness.compose.registered import DATASET_INFO, Registered

    named = arguments.get("dataset_dir") or "data"
    if not isinstance(named, str):
        return None
    for path, text in written.items():
        if path == normpath(PurePosixPath(folder) / named / DATASET_INFO) or path.endswith(f"/{named}/{DATASET_INFO}"):
            return Registered(Path(path).parent, _parsed(path, text, ".json"))
    found = next((each / named for each in folders if (each / named / DATASET_INFO).is_file()), None)
    if found is None:
        return None
    return Registered(found, _parsed(str(found / DATASET_INFO), _text(found / DATASET_INFO), ".json"))


def _text(file: Path | None) -> str:
    """The text of a file; None: of what is typed or piped in. Raises UserError."""
    try:
        return sys.stdin.read() if file is None else file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file or 'the input'}: cannot be read: {error}; save it as UTF-8") from None


def _parsed(place: str, text: str, suffix: str, changes: Sequence[str] = ()) -> dict[str, Any]:
    """The mapping that a text holds, as LLaMA-Factory reads it. Raises UserError."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from harness.base.yaml_text import readable, require_small

    try:
        with readable():
            content = json.loads(text) if suffix == ".json" else yaml.safe_load(text)
            if isinstance(content, dict) and (changes or suffix != ".json"):
                # Plain YAML takes 1e-4 for a word; LLaMA-Factory reads by OmegaConf, which takes it for a number.
                if suffix != ".json":
                    require_small(text)
                read = OmegaConf.create(content if suffix == ".json" else text)
                content = OmegaConf.to_container(OmegaConf.merge(read, OmegaConf.from_cli(list(changes))))
    except (ValueError, OmegaConfBaseException) as error:
        raise UserError(f"{place}: cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(content, dict):
        what = 'dataset_info.json has `{"NAME": {"file_name": "FILE"}}`'
        if PurePosixPath(place).name != "dataset_info.json":
            what = "a training file has lines like `learning_rate: 1.0e-4`"
        raise UserError(f"{place}: is no mapping; {what}")
    return {str(key): value for key, value in content.items()}
