"""What Hydra is taught of the project: the schema, sweeps/ as a config group, the user's own folders, two resolvers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from harness.base import paths
from harness.config.schema import Config


class SweepsSource(FileConfigSource):
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


def _is_sweeps(config_path: str) -> bool:
    return config_path.partition("/")[0] == "sweeps"


class HarnessSearchPath(SearchPathPlugin):
    """Has the user's own ./conf and ./sweeps found before those of the package."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("harness", f"sweeps://{paths.configuration_folder('sweeps').parent}")
        for name, place in (("conf", f"file://{Path.cwd() / 'conf'}"), ("sweeps", f"sweeps://{Path.cwd()}")):
            own = Path.cwd() / name
            if own.is_dir() and own.resolve() != paths.configuration_folder(name).resolve():
                search_path.prepend("user", place)


@cache
def schema() -> DictConfig:
    """Return the schema as OmegaConf has it, which takes it longer to make than to copy. To be copied, not changed."""
    structured: DictConfig = OmegaConf.structured(Config)
    return structured


@cache
def register() -> None:
    """Teach Hydra the schema, the search path and the resolvers that conf/ uses. May be called again."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("package", lambda path: str(paths.PACKAGE / path), replace=True)
    # qwen2-7b of Qwen/Qwen2-7B and of /models/Qwen2-7B.
    OmegaConf.register_new_resolver("basename", lambda path: Path(path or "random").name.lower(), replace=True)
    Plugins.instance().register(SweepsSource)
    Plugins.instance().register(HarnessSearchPath)
