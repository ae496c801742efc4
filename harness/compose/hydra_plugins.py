"""What Hydra is taught of the project: the schema, sweeps/ as a config group, the user's own folders, two resolvers."""

from __future__ import annotations

from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from harness.base import paths
from harness.config.schema import Config


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
    """Has the user's own ./conf and ./sweeps found before those of the package."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        packaged = paths.configuration_folder("sweeps")
        search_path.append("harness", f"sweeps://{packaged}")
        for name, scheme in (("conf", "file"), ("sweeps", "sweeps")):
            own = Path.cwd() / name
            if own.is_dir() and own.resolve() != paths.configuration_folder(name).resolve():
                search_path.prepend("user", f"{scheme}://{own}")


def register() -> None:
    """Teach Hydra the schema, the search path and the resolvers that conf/ uses. May be called again."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("package", lambda path: str(paths.PACKAGE / path), replace=True)
    # qwen2-7b of Qwen/Qwen2-7B and of /models/Qwen2-7B.
    OmegaConf.register_new_resolver("basename", lambda path: Path(path or "random").name.lower(), replace=True)
    Plugins.instance().register(SweepsSource)
    Plugins.instance().register(HarnessSearchPath)
