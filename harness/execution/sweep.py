"""The Hydra application: composed configurations in, finished runs out, and the report at a multirun's end."""

from __future__ import annotations

import signal
import sys
import traceback
import types
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from harness.base import paths
from harness.base.errors import UserError
from harness.cli.display import Display, make_display
from harness.compose import points as compose
from harness.devices.device import DeviceError
from harness.execution.run import run
from harness.launch import nodes
from harness.plan import spec as plan
from harness.runs import record
from harness.runs.record import Outcome

MISTAKE, INTERRUPTED = 2, 130

compose.register()

_display: Display | None = None
_points: list[compose.Point] = []
_uncompleted: list[Outcome] = []


def run_point(composed: DictConfig) -> str | None:
    """One point; in a process of its own under a parallel launcher, which finds this function by its name."""
    config = compose.typed(composed)
    overrides = tuple(str(override) for override in HydraConfig.get().overrides.task)
    # A run by itself has no number.
    number = HydraConfig.get().job.num if _is_multirun() else 0
    try:
        result = run(config, overrides, _display or make_display(1), number)
    except (UserError, DeviceError) as error:
        # Hydra would show where in the code it was raised.
        _end_with(error)
    if result is None:
        return None
    if result.status is not Outcome.COMPLETED:
        _uncompleted.append(result.status)
        if not _is_multirun():
            sys.exit(1)
    return result.status.value


_application = hydra.main(
    version_base="1.3", config_path=str(paths.configuration_folder("conf").resolve()), config_name="config"
)(run_point)


def _is_multirun() -> bool:
    return bool(HydraConfig.get().mode == hydra.types.RunMode.MULTIRUN)


class ReportCallback(Callback):
    """Renders the report when a multirun has ended, and gives it the exit status of its runs."""

    def on_multirun_end(self, config: DictConfig, **_: object) -> None:
        if config.launch.node_rank > 0 and _uncompleted:
            sys.exit(1)
        if config.dry_run or not _points or config.launch.node_rank > 0:
            return
        try:
            completed = _report(Path(config.reports) / config.sweep)
        except Exception:
            # Hydra would turn it into a warning, and the sweep would seem to have gone well.
            traceback.print_exc()
            completed = False
        if not completed:
            sys.exit(1)


def _report(output: Path) -> bool:
    """Report on the points of this multirun, not on others that share its folder. Returns whether all are completed."""
    from harness.report.render import render

    plans = [plan.make(point.config, point.overrides) for point in _points]
    folders = [it.folder for it in plans]
    records = [found for folder in folders if (found := record.load(folder)) is not None]
    rendered = render([plans[0].sweep_folder], output, only=folders)
    (_display or make_display(1)).finished(records, rendered.said, rendered.path)
    return len(records) == len(folders) and all(one.status is Outcome.COMPLETED for one in records)


def main(arguments: Sequence[str]) -> None:
    """Run Hydra on a command line, after every mistake in it was told. Exits with 2 for a mistake, 130 for Ctrl-C."""
    global _display, _points
    parsed = get_args_parser().parse_args(list(arguments))
    overrides = compose.admit(parsed.overrides)
    flags = [argument for argument in arguments if argument not in parsed.overrides]
    sys.argv = ["harness", *flags, *overrides]
    asks = parsed.help or parsed.hydra_help or parsed.cfg or parsed.info or parsed.shell_completion
    try:
        if not asks:
            signal.signal(signal.SIGTERM, _interrupt)
            _points = compose.points(parsed.overrides, multirun=parsed.multirun)
            _display = make_display(len(_points))
        with nodes.dismissed_afterwards():
            _application()
    except (UserError, DeviceError) as error:
        _end_with(error)
    except KeyboardInterrupt:
        if _display is not None:
            _display.close()
        print("interrupted; the same command goes on where this stopped", file=sys.stderr)
        # A second Ctrl-C must not cut short what Python does on its way out.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit(INTERRUPTED)


def _end_with(error: UserError | DeviceError) -> NoReturn:
    for mistake in error.mistakes if isinstance(error, UserError) else [str(error)]:
        print(f"error: {mistake}", file=sys.stderr)
    sys.exit(MISTAKE)


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt
