"""SwanLab: what tracking=local needs is installed, and whether tracking=cloud would get through."""

from __future__ import annotations

from collections.abc import Iterator

from harness.doctor.finding import Finding, ok, warning
from harness.doctor.machine import Machine
from harness.tracking import account


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
    found = account.find(machine.environment, machine.working_folder, machine.home)
    if found is None:
        yield ok("SwanLab", "no account is found, and tracking=local needs none (swanlab login, for tracking=cloud)")
    elif not found.is_given:
        yield warning(
            "SwanLab",
            f"the key in {found.source} is for {found.host}, and SWANLAB_API_HOST names {found.asked}, which "
            "tracking=cloud would have no key for",
            f"swanlab login --host {found.asked}, or unset SWANLAB_API_HOST",
        )
    elif account.answers(found.host):
        yield ok("SwanLab", f"there is an account ({found.source}), and {found.host} answers")
    else:
        yield warning(
            "SwanLab",
            f"there is an account ({found.source}), but {found.host} does not answer: tracking=cloud would not get "
            "through",
            "tracking=local, which needs no network, or tracking=offline; behind a proxy export "
            "HTTPS_PROXY=http://HOST:PORT",
        )
