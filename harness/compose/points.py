"""From a command line to typed configurations, with every mistake found before anything starts.

Hydra itself stops at the first mistake. Here each override is tried by itself first, so that all are told at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from harness.base import paths
from harness.base.errors import UserError, did_you_mean
from harness.compose import hydra_plugins, order
from harness.compose.hydra_values import admit
from harness.compose.keys import OPEN, keys
from harness.config.schema import Config

CONFIG_NAME = "config"
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
        command_line = _CommandLine(GlobalHydra.instance().config_loader())
        given, mistakes = command_line.parse(admit(overrides))
        combinations = [_single(given)]
        if multirun:
            combinations, more = command_line.combinations(given)
            mistakes += more
        else:
            mistakes += [_several(override) for override in given if override.is_sweep_override()]
        found = []
        for combination in combinations:
            try:
                # As Hydra names a job: what is said of Hydra itself is no part of the run.
                task = tuple(text for text in combination if not text.lstrip("+~").startswith(("hydra.", "hydra/")))
                found.append(Point(task, typed(_composed(combination))))
                mistakes += check(found[-1].config)
            except UserError as error:
                mistakes += error.mistakes
    if mistakes:
        raise UserError(list(dict.fromkeys(mistakes)))
    return found


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
        raise UserError(f"{key}: a value is needed; give {key}=..." if key else first_line(error)) from None
    assert isinstance(config_object, Config)
    return config_object


def _composed(overrides: list[str]) -> DictConfig:
    """Hydra's configuration of one point. Raises UserError."""
    try:
        composed: DictConfig = compose(CONFIG_NAME, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(first_line(error)) from None
    return composed


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
                override = self._parser.parse_override(text)
            except HydraException as error:
                mistakes.append(f"{_typed(text)}: {first_line(error)}")
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
            shared = _composed(_single(given))
            sweeper = shared.hydra.sweeper
            right, mistakes = self.parse([f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()])
            if sweeper._target_ == order.SWEEPER:
                return order.split([*right, *given], shared), mistakes
            return BasicSweeper.split_arguments([*right, *given], None)[0], mistakes
        except UserError as error:
            return [], error.mistakes
        except HydraException as error:
            return [], [str(error)]

    def _mistake(self, override: Override) -> str | None:
        key = override.key_or_group
        if override.is_interval_sweep():
            typed = _typed(override.input_line or "")
            return f"{typed}: an interval names no values; give them, {key}=1,2,3 or {key}=range(1,4)"
        if key.split(".")[0].split("/")[0] in _SEPARATE:
            return None
        if key in self._groups:
            return self._mistake_in_choice(key, _values(override))
        if key in self._known or key.startswith(OPEN):
            return self._mistake_in_value(key, override)
        near = did_you_mean(key, [name for name in self._known if "." in name] + self._groups)
        return f"{key}: no such key; {near or '`harness run --cfg job` prints all of them'}".rstrip()

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
                single = self._parser.parse_override(f"{key}={value}") if override.is_sweep_override() else override
                OmegaConf.update(self._scratch, key, single.value())
            except (HydraException, OmegaConfBaseException) as error:
                return f"{key}={value}: {first_line(error)}"
        return None


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


def first_line(error: Exception) -> str:
    """Return what an error of Hydra's or OmegaConf's says, in a line and without its class names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return next((f"each must be {form}" for name, form in _LISTED.items() if name in first), first)
