"""SwanLab: what tracking=local needs is installed, and whether tracking=cloud would get through."""

from __future__ import annotations

import netrc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import httpx

from harness.doctor.finding import Finding, ok, warning
from harness.doctor.machine import Machine

_HOST = "https://api.swanlab.cn"
_PATIENCE_SECONDS = 3.0


def swanlab(machine: Machine) -> Iterator[Finding]:
    """Look for what tracking=local needs, and whether an account's server answers within 3 s."""
    missing = [name for name in ("swanlab", "swanboard") if machine.package(name) is None]
    if missing:
        yield warning(
            "SwanLab",
            f"{' and '.join(missing)} is not installed, and tracking=local needs it",
            "pip install 'swanlab[dashboard]', or tracking=disabled",
        )
        return
    account = _account(machine)
    if account is None:
        yield ok("SwanLab", "no account is found, and tracking=local needs none (swanlab login, for tracking=cloud)")
        return
    source, host = account
    if _answers(host):
        yield ok("SwanLab", f"there is an account ({source}), and {host} answers")
    else:
        yield warning(
            "SwanLab",
            f"there is an account ({source}), but {host} does not answer: tracking=cloud would not get through",
            "tracking=local, which needs no network, or tracking=offline; behind a proxy export "
            "HTTPS_PROXY=http://HOST:PORT",
        )


def _account(machine: Machine) -> tuple[str, str] | None:
    """Where the key of an account was found, and its server, as swanlab 0.10.3 looks for it: in the environment,
    .swanlab of this folder, then that of the user."""
    named = machine.environment.get("SWANLAB_API_HOST")
    if machine.environment.get("SWANLAB_API_KEY"):
        return "SWANLAB_API_KEY", named or _HOST
    own = machine.environment.get("SWANLAB_ROOT") or machine.environment.get("SWANLAB_SAVE_DIR")
    for folder in (machine.working_folder / ".swanlab", Path(own) if own else machine.home / ".swanlab"):
        file = folder / ".netrc"
        try:
            hosts = netrc.netrc(str(file)).hosts
        except (OSError, netrc.NetrcParseError):
            continue
        for host, (_, _, key) in hosts.items():
            if key:
                return str(file), named or host
    return None


def _answers(url: str) -> bool:
    """Whether that server answers, whatever it says, or the proxy that leads to it does so in its place."""
    answered, over = Event(), Event()

    def ask() -> None:
        # A proxy of an unknown kind is no error of httpx's own; no run would get through either.
        with suppress(Exception):
            httpx.head(url, timeout=_PATIENCE_SECONDS, trust_env=True)
            answered.set()
        over.set()

    # A name server that does not answer is waited for without end; a daemon thread keeps nobody.
    Thread(target=ask, daemon=True).start()
    over.wait(_PATIENCE_SECONDS)
    return answered.is_set()
