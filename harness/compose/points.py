"""From a command line to typed configurations, with every mistake found before anything starts.

Hydra itself stops at the first mistake. Here each override is tried by itself first, so that all are told at once.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from operator import attrgetter

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from harness.base import paths
from harness.base.errors import UserError, did_you_mean, first_problem
from harness.compose import hydra_plugins, order
from harness.compose.hydra_values import admit
from harness.compose.keys import OPEN, keys, sections
from harness.config.schema import Config

CONFIG_NAME = "config"
LAUNCHER = "launcher"
"""The group of conf/ that says how the runs of a sweep are started."""
_LAUNCHERS = (LAUNCHER, f"hydra/{LAUNCHER}")
_EXTRAS = {"joblib": "joblib", "ray": "ray", "ray_aws": "ray", "submitit_slurm": "slurm", "submitit_local": "slurm"}
"""Hydra's launchers, and the extra of this package that installs each."""
_SEPARATE = ("llamafactory", "hydra")
"""Parts of the configuration whose keys the schema does not name."""


@dataclass(frozen=True)
class Point:
    """One run of a sweep."""

    overrides: tuple[str, ...]
    config: Config


def points(overrides: Sequence[str], multirun: bool, check: Callable[[Config], list[str]]) -> list[Point]:
    """Return every run that a command line asks for, typed; one without `multirun`.

    `check` tells what is wrong with a configuration. Raises UserError with all mistakes of all points. Nothing is
    written and no model library is imported."""
    hydra_plugins.register()
    GlobalHydra.instance().clear()
    folder = str(paths.configuration_folder("conf").resolve())
    with initialize_config_dir(folder, version_base="1.3", job_name="harness"):
        with composing():
            command_line = _CommandLine(GlobalHydra.instance().config_loader())
        given, mistakes = command_line.parse(admit(overrides))
        combinations = [_single(given)]
        if multirun:
            combinations, more = command_line.combinations(given)
            mistakes += more
        else:
            mistakes += [_several(override) for override in given if override.is_sweep_override()]
            mistakes += [
                f"{_typed(override.input_line or '')}: a launcher starts the runs of a sweep; use `harness sweep`, or "
                "--multirun, or leave it out"
                for override in given
                if override.key_or_group in _LAUNCHERS and override.value() not in ("local", "basic")
            ]
        found = []
        composer = _Composer()
        for combination in combinations:
            try:
                found.append(Point(of_run(combination), composer.config(combination)))
                mistakes += check(found[-1].config)
            except UserError as error:
                mistakes += error.mistakes
    if mistakes:
        raise UserError(list(dict.fromkeys(mistakes)))
    return found


class _Composer:
    """Composes points. Of those that differ in plain numbers alone (seeds, say) Hydra composes the first: it takes a
    quarter of a second for each, and a sweep may have a thousand."""

    def __init__(self) -> None:
        self._composed: dict[tuple[str, ...], Config] = {}
        self._schema = copy.deepcopy(hydra_plugins.schema())

    def config(self, combination: list[str]) -> Config:
        """Return the configuration of one point. Raises UserError."""
        numbers = {key: text for text in combination if (key := _numbered(text))}
        alike = tuple(text if (key := _numbered(text)) is None else f"{key}=" for text in combination)
        if len(alike) == len(set(alike)) and alike in self._composed:
            config = copy.deepcopy(self._composed[alike])
            with composing():
                for key, text in numbers.items():
                    self._set(config, key, text)
            return config
        composed = _composed(combination)
        config = typed(composed)
        if not any(_refers_to(composed, key) for key in numbers):
            self._composed[alike] = copy.deepcopy(config)
        return config

    def _set(self, config: Config, key: str, text: str) -> None:
        """Set a value, of the type that the schema has for it."""
        self._schema.merge_with_dotlist([text])
        section, _, name = key.rpartition(".")
        setattr(attrgetter(section)(config) if section else config, name, OmegaConf.select(self._schema, key))


_NUMBER = re.compile(r"([a-z_]+(?:\.[a-z_]+)*)=-?\d+")


def _numbered(text: str) -> str | None:
    """Return the key of an override that gives it a whole number, and changes nothing else; None: it is another."""
    found = _NUMBER.fullmatch(text)
    return found[1] if found and found[1] in keys() and found[1] not in sections() else None


def _refers_to(composed: DictConfig, key: str) -> bool:
    """Whether another value is made of this one."""
    name = key.rpartition(".")[2]
    return any(name in text for text in _interpolations(OmegaConf.to_container(composed, resolve=False)))


def _interpolations(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _interpolations(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _interpolations(inner)
    elif isinstance(value, str) and "${" in value:
        yield value


def of_run(overrides: Iterable[str]) -> tuple[str, ...]:
    """Return the overrides that are of the run: how it is started, and what is said of Hydra itself, are no part."""
    return tuple(text for text in overrides if not text.lstrip("+~").startswith(("hydra.", "hydra/", f"{LAUNCHER}=")))


def typed(config: DictConfig) -> Config:
    """Return a composed configuration as dataclasses, its interpolations resolved.

    Raises UserError where a value is missing or does not fit its type."""
    try:
        task = OmegaConf.masked_copy(config, [str(key) for key in config if key not in ("hydra", "sweeps")])
        with open_dict(task):
            task.llamafactory = OmegaConf.create(OmegaConf.to_container(config.llamafactory, resolve=True))
        config_object = OmegaConf.to_object(OmegaConf.merge(hydra_plugins.schema(), task))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        told = f"a value is needed; give {key}=..." if isinstance(error, MissingMandatoryValue) else first_line(error)
        raise UserError(f"{key}: {told}" if key else told) from None
    assert isinstance(config_object, Config)
    try:
        # OmegaConf 2.3.1 lets a mapping or a list pass for a word in a list of words.
        _config().validate_python(asdict(config_object))
    except ValidationError as error:
        raise UserError(first_problem(error)) from None
    return config_object


@cache
def _config() -> TypeAdapter[Config]:
    return TypeAdapter(Config)


def _composed(overrides: list[str]) -> DictConfig:
    """Hydra's configuration of one point. Raises UserError."""
    with composing():
        composed: DictConfig = compose(CONFIG_NAME, overrides, return_hydra_config=True)
    return composed


@contextmanager
def composing() -> Iterator[None]:
    """Raises UserError for whatever Hydra trips over in the body, which calls nothing but Hydra.

    For what it did not expect of a file or an override that is any error: ValueError, AttributeError and others."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(first_line(error)) from None
    except (UserError, OSError):
        raise
    except RecursionError:
        raise UserError("the defaults of a file lead back to it, or a value is nested too deep; mend that") from None
    except Exception as error:
        raise UserError(f"Hydra cannot take this configuration: {type(error).__name__}: {first_line(error)}") from None


class _CommandLine:
    """Looks at overrides one by one, before Hydra composes anything of them."""

    def __init__(self, loader: ConfigLoaderImpl) -> None:
        self._loader = loader
        self._parser = OverridesParser.create(config_loader=loader)
        self._groups = [group for group in loader.list_groups("") if group != "hydra"]
        self._scratch = copy.deepcopy(hydra_plugins.schema())
        """Takes every value once, to see whether it fits."""
        self._known = keys()

    def parse(self, overrides: Iterable[str]) -> tuple[list[Override], list[str]]:
        """Return the overrides that are right by themselves, and what is wrong with the others."""
        right: list[Override] = []
        mistakes: list[str] = []
        for text in overrides:
            try:
                with composing():
                    override = self._parser.parse_override(text)
            except UserError as error:
                mistakes.append(f"{_typed(text)}: {error}")
                continue
            override.config_loader = self._loader  # which a glob asks for its names
            if mistake := self._mistake(override):
                mistakes.append(mistake)
            else:
                right.append(override)
        return right, mistakes

    def combinations(self, given: Sequence[Override]) -> tuple[list[list[str]], list[str]]:
        """Return the overrides of each point of a multirun, and what is wrong with those that its sweep's file holds.

        What the file sweeps over comes first, so that the command line takes its place."""
        try:
            with composing():
                shared = _composed(_single(given))
                sweeper = shared.hydra.sweeper
                params = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
                right, mistakes = self.parse(params)
                if sweeper._target_ == order.SWEEPER:
                    return order.split([*right, *given], shared), mistakes
                return BasicSweeper.split_arguments([*right, *given], None)[0], mistakes
        except UserError as error:
            return [], error.mistakes

    def _mistake(self, override: Override) -> str | None:
        key = override.key_or_group
        if override.is_interval_sweep():
            typed = _typed(override.input_line or "")
            return f"{typed}: an interval names no values; give them, {key}=1,2,3 or {key}=range(1,4)"
        if key in _LAUNCHERS and override.is_sweep_override():
            return f"{_typed(override.input_line or '')}: one launcher starts all runs of a sweep; give one"
        if key.split(".")[0].split("/")[0] in _SEPARATE:
            return None
        if key in self._groups:
            return self._mistake_in_choice(key, _values(override))
        if key in self._known or key.startswith(OPEN):
            return self._mistake_in_value(key, override)
        return f"{key}: {_no_such_key(key, self._groups)}"

    def _mistake_in_choice(self, group: str, values: Sequence[str]) -> str | None:
        # Its own get_group_options looks through all configurations anew.
        options = self._loader.repository.get_group_options(group)
        for value in values:
            if value not in options and value != "null":
                return f"{group}={value}: {did_you_mean(value, options)}there is {', '.join(options)}"
        return None

    def _mistake_in_value(self, key: str, override: Override) -> str | None:
        for value in _values(override):
            try:
                with composing():
                    single = self._parser.parse_override(f"{key}={value}") if override.is_sweep_override() else override
                    OmegaConf.update(self._scratch, key, single.value())
            except UserError as error:
                return f"{key}={value}: {error}"
        return None


def _no_such_key(key: str, groups: Sequence[str] = ()) -> str:
    near = did_you_mean(key, [name for name in keys() if "." in name] + list(groups))
    return f"no such key; {near or '`harness run --cfg job` prints all of them'}".rstrip()


def _typed(override: str) -> str:
    """An override as it was typed: `admit` puts ++ before some."""
    return override.removeprefix("++")


def _several(override: Override) -> str:
    """What is wrong with several values where one is wanted: they may have been meant as one."""
    typed = _typed(override.input_line or "")
    key, _, text = typed.partition("=")
    is_words = "(" not in text and any(map(str.isalpha, text))
    quoted = "" if not is_words else f"""; one value with a comma in it is quoted: '{key}="{text}"'"""
    return f"{typed}: several values make a sweep; use `harness sweep`, or --multirun, or give one value{quoted}"


def _single(given: Sequence[Override]) -> list[str]:
    """Those with one value."""
    return [override.input_line or "" for override in given if not override.is_sweep_override()]


def _values(override: Override) -> list[str]:
    """All values of an override, of a sweep too, each as it would be written by itself."""
    if override.is_sweep_override():
        return list(override.sweep_string_iterator())
    return [] if override.is_delete() else [override.get_value_element_as_str()]


_LISTED = {
    "PromptConfig": "{prompt: TEXT} or {prompt: TEXT, expected: TEXT}",
    "SourceConfig": "{path: FILE} or {repository: OWNER/NAME, file: PATH}, with its formatting, columns and tags",
}
"""How to write what OmegaConf names by its class."""
_COMPOSED = re.compile(r"(In '.*?': )\w+ raised while composing config:\n(.*)\n *full_key: *(.*)")
"""What OmegaConf says of a file, by Hydra."""
_RESOLVING = re.compile(r"\w+ raised while resolving interpolation: ")


def first_line(error: Exception) -> str:
    """Return what an error of Hydra's or OmegaConf's says, in a line and without its class names."""
    missing = (error.missing_cfg_file or "") if isinstance(error, MissingConfigException) else ""
    if extra := _EXTRAS.get(missing.removeprefix(f"hydra/{LAUNCHER}/")):
        return f"{LAUNCHER}={extra}: it is not installed; pip install 'qlora-harness[{extra}]'"
    where, text = "", str(error)
    if found := _COMPOSED.match(text):
        where, text, key = found.groups()
        where += f"{key}: " if key else ""
        if text.startswith("Key ") and " not in " in text:
            return where + _no_such_key(key)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = _RESOLVING.sub("", lines[0]) if lines else type(error).__name__
    return where + next((f"each must be {form}" for name, form in _LISTED.items() if name in first), first)
