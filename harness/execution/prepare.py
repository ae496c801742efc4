"""From a command line to the specs of its runs; every mistake is told before anything is fetched or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.base.errors import UserError
from harness.comparison.facts import Fact
from harness.compose import checks
from harness.compose.data_checks import data_warnings
from harness.compose.points import points
from harness.config.schema import Config
from harness.devices.device import Device, DeviceError
from harness.devices.request import AbsentError
from harness.plan import device as devices
from harness.plan.planner import Planner
from harness.plan.spec import RunSpec
from harness.runs.folder import SweepFolder


@dataclass
class Prepared:
    """What a command line asks for."""

    specs: list[RunSpec]
    """In the order of the sweep."""
    unchecked: list[str] = field(default_factory=list)
    """What could not be checked on this machine, for a dry run that is planned for another."""
    warnings: list[str] = field(default_factory=list)
    """What nothing is wrong with, and may be meant otherwise."""


class _Devices:
    """The devices that the points of a sweep ask for, each looked for once."""

    def __init__(self) -> None:
        self._found: dict[str, Device | DeviceError] = {}

    def find(self, config: Config) -> Device | DeviceError:
        key = repr(config.device)
        if key not in self._found:
            try:
                self._found[key] = devices.choose(config)
            except DeviceError as error:
                self._found[key] = error
        return self._found[key]


def prepare(overrides: Sequence[str], multirun: bool, planner: Planner) -> Prepared:
    """Return the spec of every run that a command line asks for. Raises UserError with all mistakes of all of them.

    Only when none is found is anything fetched: a dataset that a hub has, which is then checked as the others were."""
    found = _Devices()
    unchecked: dict[str, None] = {}

    def check(config: Config) -> list[str]:
        axis_mistakes = checks.axis_mistakes(config.comparison.axes, [fact.value for fact in Fact])
        return [*_check(config), *axis_mistakes]

    def _check(config: Config) -> list[str]:
        device = found.find(config)
        # A run by itself writes no report.
        reported = multirun and not config.dry_run
        if not isinstance(device, DeviceError):
            return checks.check(config, device, planner.sources, reported=reported)
        mistakes = checks.check(config, None, planner.sources, reported=reported)
        if config.dry_run and isinstance(device, AbsentError):
            unchecked[f"whether the device has bf16, these chips and free ports ({device})"] = None
            return mistakes
        return [str(device), *mistakes]

    asked = points(overrides, multirun, check)
    fetched = [point.config for point in asked if planner.fetch(point.config)]
    if mistakes := [mistake for config in fetched for mistake in checks.check_rows(config, planner.sources)]:
        raise UserError(list(dict.fromkeys(mistakes)))
    specs = []
    for number, point in enumerate(asked):
        device = found.find(point.config)
        described = devices.assume(point.config) if isinstance(device, DeviceError) else devices.describe(device)
        specs.append(planner.spec(point.config, point.overrides, described, number, of_sweep=multirun))
    if multirun:
        _refuse_what_is_unfair(specs)
    told = [warning for point in asked for warning in data_warnings(point.config, planner.sources)]
    return Prepared(specs, list(unchecked), list(dict.fromkeys(told)))


def _refuse_what_is_unfair(specs: Sequence[RunSpec]) -> None:
    """Raises UserError where a sweep asks for it, with comparison.strict, and is not fair."""
    if not any(spec.config.comparison.strict for spec in specs):
        return
    from harness.execution import outlook  # It brings pandas along, which few need.

    if mistakes := [mistake for several in by_sweep(specs) for mistake in outlook.refusals(several)]:
        raise UserError(list(dict.fromkeys(mistakes)))


def by_sweep(specs: Sequence[RunSpec]) -> list[list[RunSpec]]:
    """Return the specs of each sweep that a command line asks for, in their order."""
    grouped: dict[SweepFolder, list[RunSpec]] = {}
    for spec in specs:
        grouped.setdefault(spec.sweep_folder, []).append(spec)
    return list(grouped.values())
