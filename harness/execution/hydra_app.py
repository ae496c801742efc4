"""The Hydra application: Hydra composes a command line and launches its points, a Sweep runs them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from harness.base import paths
from harness.base.errors import UserError
from harness.compose import hydra_plugins, hydra_values
from harness.compose.points import composing, first_line
from harness.execution import launchers
from harness.execution.prepare import prepare
from harness.execution.sweep import MakeObserver, Stopped, Sweep
from harness.plan.planner import Planner
from harness.plan.spec import read_spec
from harness.processes import standby


def main(arguments: Sequence[str], make_observer: MakeObserver) -> int:
    """Run Hydra on a command line, after every mistake in it was told, and return the exit status.

    Raises UserError with all mistakes, and KeyboardInterrupt."""
    hydra_plugins.register()
    launchers.register()
    parsed = get_args_parser().parse_args(list(arguments))
    _refuse_flags(parsed)
    flags = [argument for argument in arguments if argument not in parsed.overrides]
    sys.argv = ["harness", *flags, *hydra_values.admit(parsed.overrides)]
    if parsed.help or parsed.hydra_help or parsed.cfg or parsed.info or parsed.shell_completion:
        with composing():
            _application(_nothing)
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    planner = Planner(Path.cwd())
    prepared = prepare(parsed.overrides, parsed.multirun, planner)
    sweep = Sweep(prepared.specs, make_observer, planner)
    for what in prepared.unchecked:
        sweep.observer.note(f"not checked: {what}")
    for warning in prepared.warnings:
        sweep.observer.warn(warning)
    if parsed.multirun:
        sweep.announce()
    try:
        _application(sweep.run_point)
    except Stopped as stopped:
        raise stopped.mistake from None
    except launchers.LostRunsError as error:
        sweep.observer.warn(str(error))
    finally:
        standby.close()
        sweep.dismiss_nodes()
        sweep.observer.close()
    # One that was stopped finds them at its next start.
    sweep.drop_tokenized_rows()
    return _exit_status(sweep, parsed.multirun)


def _refuse_flags(parsed: argparse.Namespace) -> None:
    """Raises UserError where Hydra's own flags do not go together."""
    mistakes = []
    if sum(map(bool, (parsed.run, parsed.multirun, parsed.cfg, parsed.info, parsed.shell_completion))) > 1:
        mistakes.append("give one of --run, --multirun, --cfg, --info and --shell-completion")
    if parsed.resolve and not (parsed.cfg or parsed.help):
        mistakes.append("--resolve: goes with --cfg; add --cfg job, or leave it out")
    if parsed.experimental_rerun:
        mistakes.append("--experimental-rerun: is not supported; use harness run --spec FILE")
    if mistakes:
        raise UserError(mistakes)


def run_spec(file: Path, make_observer: MakeObserver) -> int:
    """Run the spec in a file and return the exit status. Raises UserError, and KeyboardInterrupt."""
    spec = read_spec(file)
    signal.signal(signal.SIGTERM, _interrupt)
    sweep = Sweep([spec], make_observer, Planner(spec.started_in))
    try:
        sweep.run(spec)
    finally:
        standby.close()
        sweep.dismiss_nodes()
        sweep.observer.close()
    return _exit_status(sweep, multirun=False)


def _exit_status(sweep: Sweep, multirun: bool) -> int:
    config = sweep.specs[0].config
    if not multirun or config.dry_run or config.launch.node_rank > 0:
        return int(bool(sweep.failed))
    return int(not sweep.report())


def _application(task: Callable[[DictConfig], object]) -> None:
    """Have Hydra call `task` for each point. Raises UserError for what Hydra refuses, and OSError."""
    folder = str(paths.configuration_folder("conf").resolve())
    # Else Hydra prints what goes wrong, with or without a traceback, and ends the process.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(version_base="1.3", config_path=folder, config_name="config")(task)()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(first_line(error)) from None


def _nothing(composed: DictConfig) -> None:
    """Stands for the runs where Hydra is only asked about itself."""


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt
