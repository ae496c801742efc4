"""What Hydra is taught of the project: the schema, sweeps/ as a config group, the user's own folders, resolvers."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.base import paths
from harness.base.paths import from_cwd
from harness.base.yaml_text import UnreadableError, readable, require_small
from harness.compose.keys import sections
from harness.config.schema import Config

_SWITCHED = {**dict.fromkeys(("true", "yes", "on", "1"), True), **dict.fromkeys(("false", "no", "off", "0"), False)}


class OwnFiles(FileConfigSource):
    """Serves a folder of the user's own files. Each mistake in one is a message that names the file."""

    @staticmethod
    def scheme() -> str:
        return "own"

    def load_config(self, config_path: str) -> ConfigResult:
        file = Path(self.path, self._normalize_file_name(config_path))
        try:
            with readable():
                text = file.read_text(encoding="utf-8-sig")
                require_small(text)
                config = OmegaConf.load(io.StringIO(text))
        except (UnreadableError, OmegaConfBaseException) as error:
            raise ConfigLoadError(f"{from_cwd(file)}: {error}; mend the file") from None
        header = self._get_header_dict(text)
        package = header.get("package") or self._default_package(config_path)
        for mistake in _misplaced(OmegaConf.to_container(config, resolve=False), package.replace("_global_", "")):
            raise ConfigLoadError(f"{from_cwd(file)}: {mistake}")
        return ConfigResult(self.provider, f"{self.scheme()}://{self.path}", config, header | {"package": package})

    def _default_package(self, config_path: str) -> str:
        return config_path.rpartition("/")[0].replace("/", ".")


def _misplaced(content: object, package: str) -> Iterator[str]:
    """What stands in a file where something of another kind belongs. Hydra names neither the file nor the key then."""
    if not isinstance(content, dict):
        yield "must hold lines of KEY: VALUE"
        return
    if not _is_defaults(content.get("defaults", [])):
        yield "defaults: must be a list, each line of it like `- override /GROUP: NAME`"
    for key, value in _flat(content, f"{package}." if package else ""):
        if key in sections() and not isinstance(value, dict) and not str(value).startswith("${"):
            yield f"{key}: must hold lines of KEY: VALUE of its own, not {value}"


def _flat(values: Mapping[Any, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        yield f"{prefix}{name}", value
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")


def _is_defaults(items: object) -> bool:
    def is_choice(value: object) -> bool:
        several = value if isinstance(value, list) else [value]
        return value is None or all(isinstance(each, str) for each in several)

    def is_default(item: object) -> bool:
        pairs = list(item.items()) if isinstance(item, dict) else []
        return isinstance(item, str) or (len(pairs) == 1 and isinstance(pairs[0][0], str) and is_choice(pairs[0][1]))

    return isinstance(items, list) and all(map(is_default, items))


class SweepsSource(OwnFiles):
    """Serves the folder `sweeps` of a place as a config group, so that sweeps/ can stand beside conf/."""

    @staticmethod
    def scheme() -> str:
        return "sweeps"

    def is_group(self, config_path: str) -> bool:
        return config_path == "" or (_is_sweeps(config_path) and bool(super().is_group(config_path)))

    def is_config(self, config_path: str) -> bool:
        return _is_sweeps(config_path) and bool(super().is_config(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "":
            return ["sweeps"] if results_filter in (None, ObjectType.GROUP) else []
        return super().list(config_path, results_filter) if _is_sweeps(config_path) else []

    def _default_package(self, config_path: str) -> str:
        # What a sweep says is of the whole configuration.
        return "_global_"


def _is_sweeps(config_path: str) -> bool:
    return config_path.partition("/")[0] == "sweeps"


class HarnessSearchPath(SearchPathPlugin):
    """Has the user's own ./conf and ./sweeps found before those of the package."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("harness", f"sweeps://{paths.configuration_folder('sweeps').parent}")
        for name, place in (("conf", f"own://{Path.cwd() / 'conf'}"), ("sweeps", f"sweeps://{Path.cwd()}")):
            own = Path.cwd() / name
            if own.is_dir() and own.resolve() != paths.configuration_folder(name).resolve():
                search_path.prepend("user", place)


@cache
def schema() -> DictConfig:
    """Return the schema as OmegaConf has it, which takes it longer to make than to copy. To be copied, not changed."""
    structured: DictConfig = OmegaConf.structured(Config)
    return structured


def switch(variable: str, default: bool) -> bool:
    """Return what a variable of the environment switches on or off. Raises ValueError where it says neither."""
    value = os.environ.get(variable, "").strip().lower()
    if value and value not in _SWITCHED:
        raise ValueError(f"{variable}={value}: give true or false")
    return _SWITCHED[value] if value else default


@cache
def register() -> None:
    """Teach Hydra the schema, the search path and the resolvers that conf/ uses. May be called again."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("package", lambda path: str(paths.PACKAGE / path), replace=True)
    # qwen2-7b of Qwen/Qwen2-7B and of /models/Qwen2-7B.
    OmegaConf.register_new_resolver("basename", lambda path: Path(path or "random").name.lower(), replace=True)
    OmegaConf.register_new_resolver("switch", switch, replace=True)
    Plugins.instance().register(OwnFiles)
    Plugins.instance().register(SweepsSource)
    Plugins.instance().register(HarnessSearchPath)
