"""What is wrong with `tracking`, as far as SwanLab's own rules and this machine tell it before anything starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from harness.base.paths import obstacle
from harness.config.schema import Config, arm_of
from harness.data.sources import SourceReader
from harness.runs.folder import SweepFolder
from harness.tracking import account
from harness.tracking.names import LONGEST_EXPERIMENT, PROJECT, WORKSPACE, experiment_name, is_experiment

_LETTERS = "letters (a-z, A-Z), digits"
_SHOWN_CHARACTERS = 60


def tracking_mistakes(config: Config, sources: SourceReader) -> Iterator[str]:
    """Yield what keeps SwanLab from following the run: `key: what; what would be right`.

    Nobody is asked over a network. The other machines of a run, node 0's helpers, track nothing."""
    if config.tracking.mode != "disabled" and config.launch.node_rank == 0:
        yield from _names(config)
        if not config.dry_run:
            yield from _installation(config)
            yield from _files(config, sources)
            if config.tracking.mode == "cloud":
                yield from _key()


def _names(config: Config) -> Iterator[str]:
    tracking = config.tracking
    if not PROJECT.fullmatch(tracking.project):
        yield (
            f"tracking.project={_cut(tracking.project)}: SwanLab takes 1 to 100 {_LETTERS}, and _ - + . there; "
            "tracking.experiment may be any text"
        )
    if tracking.workspace is not None and not WORKSPACE.fullmatch(tracking.workspace):
        yield (
            f"tracking.workspace={_cut(tracking.workspace)}: SwanLab takes 1 to 25 {_LETTERS}, - and _ there; "
            "leave it out for the account's own"
        )
    try:
        name = experiment_name(tracking.experiment, config.sweep, arm_of(config), config.seed)
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, MemoryError):
        return  # Told among the values.
    if tracking.experiment and not is_experiment(name):
        yield (
            f"tracking.experiment={_cut(tracking.experiment)}: SwanLab takes a text of 1 to {LONGEST_EXPERIMENT} "
            f"characters there, and this comes to {len(name)}; give a shorter one, of whole characters"
        )


def _installation(config: Config) -> Iterator[str]:
    needed = ("swanlab", "swanboard") if config.tracking.mode == "local" else ("swanlab",)
    if missing := [name for name in needed if find_spec(name) is None]:
        yield (
            f"tracking.mode={config.tracking.mode}: {' and '.join(missing)} is not installed; "
            "pip install 'swanlab[dashboard]', or tracking=disabled"
        )


def _files(config: Config, sources: SourceReader) -> Iterator[str]:
    sweep = SweepFolder(sources.path(config.output) / config.sweep)
    # What is wrong with the sweep's own folder is told as such.
    if obstacle(sweep.path) is None and (reason := obstacle(sweep.swanlog)):
        yield (
            f"tracking.mode={config.tracking.mode}: SwanLab cannot write there: {reason}; move it away, or "
            "tracking=disabled"
        )


def _key() -> Iterator[str]:
    found = account.find(os.environ, Path.cwd(), Path.home())
    if found is None:
        yield (
            "tracking.mode=cloud: SwanLab finds no key of an account; export SWANLAB_API_KEY=KEY, or `swanlab login`, "
            "or tracking=local, which needs none"
        )
    elif not found.is_given:
        yield (
            f"tracking.mode=cloud: the key in {found.source} is for {found.host}, and SWANLAB_API_HOST names "
            f"{found.asked}; `swanlab login --host {found.asked}`, or unset SWANLAB_API_HOST"
        )


def _cut(name: str) -> str:
    shown = name.encode("utf-8", errors="backslashreplace").decode()
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."
