"""From a command line to typed configurations, with every mistake found before anything starts.

Hydra itself stops at the first mistake. Here each override is tried by itself first, so that all are told at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from harness.base import paths
from harness.base.errors import UserError
from harness.compose import checks as rules
from harness.config.schema import Config

CONFIG_NAME = "config"
SEPARATE = ("llamafactory", "hydra")
"""Parts of the configuration whose keys the schema does not name."""
_OPEN = ("llamafactory.", "dataset.columns", "dataset.tags")


class SweepsSource(ConfigSource):
    """Serves a folder as the config group `sweeps`, so that sweeps/ can stand beside conf/ and not inside it."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        self._files = FileConfigSource(provider, f"file://{self.path}")

    @staticmethod
    def scheme() -> str:
        return "sweeps"

    def available(self) -> bool:
        return bool(self._files.available())

    def load_config(self, config_path: str) -> ConfigResult:
        return self._files.load_config(_inside(config_path) or "")

    def is_group(self, config_path: str) -> bool:
        inside = _inside(config_path)
        return config_path == "" or (inside is not None and bool(self._files.is_group(inside)))

    def is_config(self, config_path: str) -> bool:
        inside = _inside(config_path)
        return inside is not None and inside != "" and bool(self._files.is_config(inside))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "":
            return ["sweeps"] if results_filter in (None, ObjectType.GROUP) else []
        inside = _inside(config_path)
        return [] if inside is None else self._files.list(inside, results_filter)


def _inside(config_path: str) -> str | None:
    """The path below the group `sweeps`; None for another group."""
    group, _, rest = config_path.partition("/")
    return rest if group == "sweeps" else None


class HarnessSearchPath(SearchPathPlugin):
    """The user's own ./conf and ./sweeps are found before those of the package."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        packaged = paths.configuration_folder("sweeps")
        search_path.append("harness", f"sweeps://{packaged}")
        for name, scheme, folder in (("conf", "file", "conf"), ("sweeps", "sweeps", "sweeps")):
            own = Path.cwd() / folder
            if own.is_dir() and own.resolve() != paths.configuration_folder(name).resolve():
                search_path.prepend("user", f"{scheme}://{own}")


def register() -> None:
    """Teach Hydra the schema, the search path and the resolver that conf/ uses. May be called again."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("package", lambda path: str(paths.PACKAGE / path), replace=True)
    # qwen2-7b of Qwen/Qwen2-7B and of /models/Qwen2-7B.
    OmegaConf.register_new_resolver("basename", lambda path: Path(path or "random").name.lower(), replace=True)
    Plugins.instance().register(SweepsSource)
    Plugins.instance().register(HarnessSearchPath)


@dataclass(frozen=True)
class Point:
    """One run of a sweep."""

    overrides: tuple[str, ...]
    config: Config


def typed(config: DictConfig) -> Config:
    """The composed configuration as dataclasses, interpolations resolved."""
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key not in ("hydra", "sweeps")])
    with open_dict(task):
        task.llamafactory = OmegaConf.create(OmegaConf.to_container(config.llamafactory, resolve=True))
    config_object = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), task))
    assert isinstance(config_object, Config)
    return config_object


def admit(overrides: Iterable[str]) -> list[str]:
    """The overrides as Hydra takes them: `llamafactory.x=1` with `++`, since the schema does not know which arguments
    LLaMA-Factory has nor which columns a file, and words in other letters than ASCII ones in quotes."""
    return ["++" + text if text.startswith(_OPEN) else text for text in map(_quoted, overrides)]


def _quoted(override: str) -> str:
    """`[{prompt: 你是谁}]` with quotes: without them Hydra 1.3's grammar knows no letters but ASCII ones."""
    key, equals, value = override.partition("=")
    if value.isascii() or "${" in value:
        return override
    # Only in lists and mappings do more signs than the comma stand between words.
    between = r",:=()\[\]{}" if value.lstrip()[:1] in ("[", "{") else ","

    def quote(piece: re.Match[str]) -> str:
        word = piece[0].strip()
        plain = word.isascii() or word[0] in "'\""
        return piece[0] if plain else piece[0].replace(word, f'"{word}"')

    return key + equals + re.sub(rf"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^{between}'"]+""", quote, value)


def points(overrides: Sequence[str], multirun: bool, check: Callable[[Config], list[str]] = rules.check) -> list[Point]:
    """Every run that a command line asks for, typed and checked.

    Raises UserError with all mistakes of all points. Nothing is written and no model library is imported."""
    register()
    GlobalHydra.instance().clear()
    overrides = admit(overrides)
    with initialize_config_dir(
        str(paths.configuration_folder("conf").resolve()), version_base="1.3", job_name="harness"
    ):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        loader = hydra.config_loader
        assert isinstance(loader, ConfigLoaderImpl)
        parsed, mistakes = _parse(loader, overrides)
        if multirun:
            fixed = [o.input_line or "" for o in parsed if not o.is_sweep_override()]
            sweeper = _compose_or_mistake(fixed, mistakes)
            defaults = [] if sweeper is None else sweeper.hydra.sweeper.get("params") or {}
            swept = [f"{key}={value}" for key, value in dict(defaults).items()]
            swept_parsed, swept_mistakes = _parse(loader, swept)
            mistakes += swept_mistakes
            try:
                combinations = BasicSweeper.split_arguments(swept_parsed + parsed, None)[0]
            except HydraException as error:
                raise UserError([*mistakes, str(error)]) from None
        else:
            mistakes += [
                f"{o.input_line}: several values make a sweep; use `harness sweep`, or --multirun, or give one value"
                for o in parsed
                if o.is_sweep_override()
            ]
            combinations = [[o.input_line or "" for o in parsed if not o.is_sweep_override()]]
        result: list[Point] = []
        for combination in combinations:
            composed = _compose_or_mistake(combination, mistakes)
            if composed is None:
                continue
            try:
                config = typed(composed)
            except OmegaConfBaseException as error:
                mistakes.append(_missing(error))
                continue
            mistakes += check(config)
            result.append(Point(tuple(combination), config))
    if mistakes:
        raise UserError(list(dict.fromkeys(mistakes)))
    return result


def _compose_or_mistake(overrides: list[str], mistakes: list[str]) -> DictConfig | None:
    try:
        composed: DictConfig = compose(CONFIG_NAME, overrides, return_hydra_config=True)
        return composed
    except (HydraException, OmegaConfBaseException) as error:
        mistakes.append(_first_line(error))
        return None


def _parse(loader: ConfigLoaderImpl, overrides: Sequence[str]) -> tuple[list[Override], list[str]]:
    """The overrides that are right by themselves, and what is wrong with the others."""
    parser = OverridesParser.create(config_loader=loader)
    groups = [group for group in loader.list_groups("") if group != "hydra"]
    good: list[Override] = []
    mistakes: list[str] = []
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            mistakes.append(f"{text}: {_first_line(error)}")
            continue
        mistake = _mistake(loader, parser, groups, override)
        if mistake:
            mistakes.append(mistake)
        else:
            good.append(override)
    return good, mistakes


def _mistake(loader: ConfigLoaderImpl, parser: OverridesParser, groups: list[str], override: Override) -> str | None:
    key = override.key_or_group
    if key.split(".")[0].split("/")[0] in SEPARATE:
        return None
    values = list(override.sweep_string_iterator()) if override.is_sweep_override() else None
    if values is None:
        values = [] if override.is_delete() else [override.get_value_element_as_str()]
    if key in groups:
        options = loader.get_group_options(key)
        wrong = [value for value in values if value not in options and value != "null"]
        if not wrong:
            return None
        return f"{key}={wrong[0]}: {near(wrong[0], options)}there is {', '.join(options)}"
    known = list(_known_keys())
    if "." not in key and key not in known:
        known += groups
    if key not in known and not key.startswith(("model.shapes.", "dataset.columns.", "dataset.tags.")):
        candidates = [name for name in known if "." in name] + groups
        return f"{key}: no such key; {near(key, candidates) or '`harness run --cfg job` prints all of them'}".rstrip(
            "; "
        )
    for value in values:
        try:
            OmegaConf.update(_schema(), key, parser.parse_override(f"{key}={value}").value())
        except (HydraException, OmegaConfBaseException) as error:
            return f"{key}={value}: {_first_line(error)}"
    return None


@cache
def _schema() -> DictConfig:
    """One for all overrides that are tried by themselves: to make it takes longer than to try."""
    schema: DictConfig = OmegaConf.structured(Config)
    return schema


@cache
def _known_keys() -> tuple[str, ...]:
    return tuple(_keys(OmegaConf.structured(Config)))


def _keys(node: Any, prefix: str = "") -> Iterable[str]:
    for key in node:
        full = f"{prefix}{key}"
        yield full
        if OmegaConf.is_config(node._get_node(key)) and not OmegaConf.is_missing(node, key):
            yield from _keys(node[key], f"{full}.") if OmegaConf.is_dict(node._get_node(key)) else ()


def near(wrong: str, options: Iterable[str]) -> str:
    """`did you mean x? ` where something is near, else nothing."""
    close = difflib.get_close_matches(wrong, list(options), n=1, cutoff=0.6)
    return f"did you mean {close[0]}? " if close else ""


_LISTED = {
    "PromptConfig": "{prompt: TEXT} or {prompt: TEXT, expected: TEXT}",
    "SourceConfig": "{path: FILE} or {repository: OWNER/NAME, file: PATH}, with its formatting, columns and tags",
}
"""How to write what OmegaConf names by its class."""


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return next((f"each must be {form}" for name, form in _LISTED.items() if name in first), first)


def _missing(error: OmegaConfBaseException) -> str:
    key = getattr(error, "full_key", None)
    return f"{key}: a value is needed; give {key}=..." if key else _first_line(error)
