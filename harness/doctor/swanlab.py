"""SwanLab: what tracking=local needs is installed, and whether tracking=cloud would get through."""

from __future__ import annotations

import netrc
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from harness.doctor.finding import Finding, ok, warning
from harness.doctor.machine import Surroundings

_HOST = "https://api.swanlab.cn"
_PATIENCE_SECONDS = 3.0


def swanlab(surroundings: Surroundings) -> Iterator[Finding]:
    missing = [name for name in ("swanlab", "swanboard") if surroundings.package(name) is None]
    if missing:
        yield warning(
            "SwanLab",
            f"{' and '.join(missing)} is not installed, and tracking=local needs it",
            "pip install 'swanlab[dashboard]', or tracking=disabled",
        )
        return
    account = _account(surroundings)
    if account is None:
        yield ok("SwanLab", "no account is found, and tracking=local needs none (swanlab login, for tracking=cloud)")
    elif _answers(account.host, surroundings.environment):
        yield ok("SwanLab", f"there is an account ({account.source}), and {account.host} answers")
    else:
        yield warning(
            "SwanLab",
            f"there is an account ({account.source}), but {account.host} does not answer: tracking=cloud would not get "
            "through",
            "tracking=local, which needs no network, or tracking=offline; behind a proxy export "
            "HTTPS_PROXY=http://HOST:PORT",
        )


@dataclass(frozen=True)
class _Account:
    source: str
    """Where its key was found."""
    host: str


def _account(surroundings: Surroundings) -> _Account | None:
    """As swanlab 0.10.3 looks for its key: the environment, .swanlab of this folder, then that of the user."""
    named = surroundings.environment.get("SWANLAB_API_HOST")
    if surroundings.environment.get("SWANLAB_API_KEY"):
        return _Account("SWANLAB_API_KEY", named or _HOST)
    own = surroundings.environment.get("SWANLAB_ROOT") or surroundings.environment.get("SWANLAB_SAVE_DIR")
    for folder in (surroundings.working_folder / ".swanlab", Path(own) if own else surroundings.home / ".swanlab"):
        file = folder / ".netrc"
        try:
            hosts = netrc.netrc(str(file)).hosts
        except (OSError, netrc.NetrcParseError):
            continue
        for host, (_, _, key) in hosts.items():
            if key:
                return _Account(str(file), named or host)
    return None


def _answers(url: str, environment: Mapping[str, str]) -> bool:
    """Whether somebody listens there, or at the proxy that leads there."""
    address = _address(_proxy(url, environment) or url)
    answers: Queue[bool] = Queue()

    def connect() -> None:
        try:
            socket.create_connection(address, _PATIENCE_SECONDS).close()
        except OSError:
            answers.put(False)
        else:
            answers.put(True)

    # A name server that does not answer is waited for without end; a daemon thread keeps nobody.
    Thread(target=connect, daemon=True).start()
    try:
        return answers.get(timeout=_PATIENCE_SECONDS)
    except Empty:
        return False


def _proxy(url: str, environment: Mapping[str, str]) -> str | None:
    scheme = urlsplit(url).scheme or "https"
    names = (f"{scheme}_proxy", "all_proxy")
    proxy = next((value for name in names if (value := environment.get(name) or environment.get(name.upper()))), None)
    around = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    return None if proxy_bypass_environment(urlsplit(url).hostname or "", {"no": around}) else proxy


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url if "://" in url else f"https://{url}")
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
