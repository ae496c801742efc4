"""Whom SwanLab's cloud takes a run from: where swanlab 0.10.3 (sdk/internal/settings) finds the account's key."""

from __future__ import annotations

import netrc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

from harness.base import yaml_text

HOST = "https://api.swanlab.cn"
"""SwanLab's own; that of a server of one's own is in SWANLAB_API_HOST, or what `swanlab login --host` wrote."""
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True)
class Account:
    """A key that was found."""

    source: str
    """The variable, the file, or the folder of secrets."""
    host: str
    """Of the server that it is for."""
    asked: str
    """Of the server that will be asked. SwanLab gives no key that `swanlab login` stored to another server."""

    @property
    def is_given(self) -> bool:
        """Whether SwanLab will use it."""
        return self.host == self.asked


def find(environment: Mapping[str, str], working_folder: Path, home: Path) -> Account | None:
    """Return the account as SwanLab would find it; None where there is no key."""
    own = _variable(environment, "SWANLAB_ROOT") or _variable(environment, "SWANLAB_SAVE_DIR")
    folders = (working_folder / ".swanlab", working_folder / own if own else home / ".swanlab")
    settings = list(_settings(environment, working_folder, folders))
    host = next((given["api_host"] for _, given in settings if "api_host" in given), None)
    asked = server(host) if isinstance(host, str) and host else None
    source, key = next(((source, given["api_key"]) for source, given in settings if "api_key" in given), ("", None))
    if key is not None:
        # One that is empty hides those that are stored.
        return Account(source, asked or HOST, asked or HOST) if isinstance(key, str) and key.strip() else None
    for folder in folders:
        file = folder / ".netrc"
        try:
            (machine, (login, _, key)), *_ = netrc.netrc(str(file)).hosts.items()
        except (OSError, netrc.NetrcParseError, ValueError):
            continue
        if login.strip() and key:
            stored = _address(machine.removesuffix("/api"))
            return Account(str(file), stored, asked or stored)
    return None


def _settings(
    environment: Mapping[str, str], working_folder: Path, folders: tuple[Path, Path]
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield what each source sets, and its name, the one that wins first (Settings.settings_customise_sources)."""
    machine = Path(_variable(environment, "SWANLAB_CONFIG_DIR") or "/etc/swanlab")
    files = [working_folder / "swanlab.yaml", working_folder / "swanlab.yml"]
    yield from _in_yaml([*files, *sorted([*machine.glob("*.yaml"), *machine.glob("*.yml")], reverse=True)])
    variables = working_folder / ".env"
    with suppress(OSError, UnicodeDecodeError, ImportError):  # SwanLab brings it along.
        from dotenv import dotenv_values

        if variables.is_file():
            yield str(variables), _prefixed(dotenv_values(variables, encoding="utf-8"))
    if folder := _variable(environment, "SWANLAB_SECRETS_DIR"):
        secrets = _secrets(Path(folder).expanduser())
        yield folder, secrets
        yield folder, _prefixed(secrets)
    for name, value in environment.items():
        yield name.upper(), _prefixed({name: _unquoted(value)})
    yield from _in_yaml([folder / f"config.{ending}" for folder in folders for ending in ("yaml", "yml")])


def _in_yaml(files: Iterable[Path]) -> Iterator[tuple[str, Mapping[str, object]]]:
    for file in files:
        # SwanLab itself stops at a damaged one.
        with suppress(OSError, yaml_text.UnreadableError):
            given = yaml_text.load(file.read_bytes())
            if isinstance(given, dict):
                # Of names that differ in their case alone the first counts.
                yield str(file), {str(name).lower(): value for name, value in reversed(given.items())}


def _secrets(folder: Path) -> dict[str, str]:
    """What a folder of secrets holds, a file each."""
    found = {}
    with suppress(OSError):
        for file in folder.iterdir():
            with suppress(OSError, UnicodeDecodeError):
                if file.is_file():
                    found[file.name.lower()] = file.read_text(encoding="utf-8").strip()
    return found


def _prefixed(given: Mapping[str, str | None]) -> dict[str, object]:
    """The settings among variables, whose names have a prefix and no case."""
    prefix = "swanlab_"
    lowered = {name.lower(): value for name, value in given.items()}
    return {
        name.removeprefix(prefix): value
        for name, value in lowered.items()
        if name.startswith(prefix) and value is not None
    }


def _variable(environment: Mapping[str, str], name: str) -> str | None:
    value = environment.get(name)
    return None if value is None else _unquoted(value)


def _unquoted(value: str) -> str:
    """Without the pair of quotes that a shell left around a value."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def server(host: str) -> str:
    """Return a host as SwanLab makes it a URL: `https://` where it names no scheme, and no path."""
    address = _address(host)
    return HOST if address == HOST.replace("https", "http") else address


def _address(host: str) -> str:
    try:
        url = urlsplit(host.strip() if "://" in host else f"//{host.strip()}")
        port = "" if url.port is None else f":{url.port}"
    except ValueError:
        return host  # No URL: it is told as it stands.
    return f"{url.scheme or 'https'}://{url.hostname}{port}" if url.hostname else host


def answers(url: str) -> bool:
    """Return within 3 s whether a server answers, whatever it says, or the proxy that leads to it in its place."""
    import httpx  # It takes a quarter of a second, which all that asks nobody needs not.

    answered, over = Event(), Event()

    def ask() -> None:
        # A proxy of an unknown kind is no error of httpx's own; no run would get through either.
        with suppress(Exception):
            httpx.head(url, timeout=PATIENCE_SECONDS, trust_env=True)
            answered.set()
        over.set()

    # A name server that does not answer is waited for without end; a daemon thread keeps nobody.
    Thread(target=ask, daemon=True).start()
    over.wait(PATIENCE_SECONDS)
    return answered.is_set()
