"""The Hydra application: composed configurations in, finished runs out, and the report at a multirun's end."""

from __future__ import annotations

import signal
import sys
import types
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from harness import compose, paths, plan, record
from harness.console import Display, make_display
from harness.devices.device import DeviceError
from harness.errors import UserError
from harness.record import Outcome, Record
from harness.run import run

MISTAKE, INTERRUPTED = 2, 130

compose.register()

_display: Display | None = None
_points: list[compose.Point] = []


@hydra.main(version_base="1.3", config_path=str(paths.configuration_folder("conf").resolve()), config_name="config")
def _task(composed: DictConfig) -> str | None:
    """One point; in a process of its own under a parallel launcher."""
    config = compose.typed(composed)
    overrides = tuple(str(override) for override in HydraConfig.get().overrides.task)
    result = run(config, overrides, _display or make_display(1))
    if result is None:
        return None
    if not _is_multirun() and result.status is not Outcome.COMPLETED:
        sys.exit(1)
    return result.status.value


def _is_multirun() -> bool:
    return bool(HydraConfig.get().mode == hydra.types.RunMode.MULTIRUN)


class ReportCallback(Callback):
    """Renders the report when a multirun has ended, and gives it the exit status of its runs."""

    def on_multirun_end(self, config: DictConfig, **_: object) -> None:
        if config.dry_run or not _points:
            return
        plans = [plan.make(point.config, point.overrides) for point in _points]
        found = [record.load(it.folder) for it in plans]
        records = [one for one in found if one is not None]
        _report(plans[0].sweep_folder, Path(config.reports) / config.sweep, records)
        if len(records) < len(plans) or any(one.status is not Outcome.COMPLETED for one in records):
            # Hydra turns an Exception of a callback into a warning; SystemExit is none.
            sys.exit(1)


def _report(sweep_folder: Path, output: Path, records: Sequence[Record]) -> None:
    from harness.comparison.summary import verdict_of
    from harness.report.render import render

    path = render([sweep_folder], output)
    (_display or make_display(1)).finished(records, verdict_of([sweep_folder]), path)


def main(arguments: Sequence[str]) -> None:
    """Run Hydra on a command line, after every mistake in it was told. Exits with 2 for a mistake, 130 for Ctrl-C."""
    global _display, _points
    parsed = get_args_parser().parse_args(list(arguments))
    overrides = compose.admit_llamafactory(parsed.overrides)
    flags = [argument for argument in arguments if argument not in parsed.overrides]
    sys.argv = ["harness", *flags, *overrides]
    asks = parsed.help or parsed.hydra_help or parsed.cfg or parsed.info or parsed.shell_completion
    try:
        if not asks:
            signal.signal(signal.SIGTERM, _interrupt)
            _points = compose.points(parsed.overrides, multirun=parsed.multirun)
            _display = make_display(len(_points))
        _task()
    except (UserError, DeviceError) as error:
        mistakes = error.mistakes if isinstance(error, UserError) else [str(error)]
        for mistake in mistakes:
            print(f"error: {mistake}", file=sys.stderr)
        sys.exit(MISTAKE)
    except KeyboardInterrupt:
        if _display is not None:
            _display.close()
        print("interrupted; the same command goes on where this stopped", file=sys.stderr)
        # A second Ctrl-C must not cut short what Python does on its way out.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit(INTERRUPTED)


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt
