"""Whom SwanLab's cloud takes a run from: where swanlab 0.10.3 (sdk/internal/settings) finds the account's key."""

from __future__ import annotations

import netrc
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

HOST = "https://api.swanlab.cn"
"""SwanLab's own; that of a server of one's own is in SWANLAB_API_HOST, or what `swanlab login --host` wrote."""
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True)
class Account:
    """A key that was found."""

    source: str
    """The variable, or the file."""
    host: str
    """Of the server that it is for."""
    asked: str
    """Of the server that will be asked. SwanLab gives no key that `swanlab login` stored to another server."""

    @property
    def is_given(self) -> bool:
        """Whether SwanLab will use it."""
        return self.host == self.asked


def find(environment: Mapping[str, str], working_folder: Path, home: Path) -> Account | None:
    """Return the account as SwanLab would find it; None where there is no key.

    Of the files of settings it is only known whether they name a key."""
    variables = {name.upper(): value.strip("'\"") for name, value in environment.items()}
    asked = server(host) if (host := variables.get("SWANLAB_API_HOST")) else None
    if "SWANLAB_API_KEY" in variables:
        # One that is empty hides those that are stored.
        return Account("SWANLAB_API_KEY", asked or HOST, asked or HOST) if variables["SWANLAB_API_KEY"] else None
    own = variables.get("SWANLAB_ROOT") or variables.get("SWANLAB_SAVE_DIR")
    folders = (working_folder / ".swanlab", Path(own) if own else home / ".swanlab")
    for file in _files_of_settings(variables, working_folder, folders):
        with suppress(OSError):
            text = f"{file.name}\n{file.read_text(encoding='utf-8', errors='replace')}"
            if re.search("api_key", text, re.IGNORECASE):
                named = re.search(r"""api_host["']? *[:=] *["']?([^\s"']+)""", text, re.IGNORECASE)
                host = server(named[1]) if named else asked or HOST
                return Account(str(file), host, host)
    for folder in folders:
        file = folder / ".netrc"
        try:
            hosts = netrc.netrc(str(file)).hosts
        except (OSError, netrc.NetrcParseError):
            continue
        for host, (_, _, key) in list(hosts.items())[:1]:
            if key:
                return Account(str(file), server(host), asked or server(host))
    return None


def _files_of_settings(
    variables: Mapping[str, str], working_folder: Path, folders: tuple[Path, Path]
) -> Iterator[Path]:
    for folder, names in (
        (working_folder, ("swanlab.yaml", "swanlab.yml", ".env")),
        (Path(variables.get("SWANLAB_CONFIG_DIR") or "/etc/swanlab"), ("*.yaml", "*.yml")),
        *((folder, ("config.y*ml",)) for folder in folders),
    ):
        for name in names:
            yield from folder.glob(name)
    if secrets := variables.get("SWANLAB_SECRETS_DIR"):
        yield from Path(secrets).glob("*")


def server(host: str) -> str:
    """Return a host as SwanLab makes it a URL: `https://` where it names no scheme, and no path."""
    try:
        url = urlsplit(host if "://" in host else f"https://{host}")
    except ValueError:
        return host  # No URL: it is told as it stands.
    return f"{url.scheme}://{url.netloc}"


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
