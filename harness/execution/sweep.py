"""All runs of a sweep, and the report at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from harness.base.errors import UserError
from harness.base.paths import from_cwd
from harness.execution.observer import Observer
from harness.execution.prepare import by_sweep, prepare
from harness.execution.run import Shared, as_recorded, run
from harness.plan.planner import Planner
from harness.plan.spec import RunSpec
from harness.runs import looks, store
from harness.runs.folder import RunFolder
from harness.runs.record import Outcome, Record

MakeObserver = Callable[[int], Observer]
"""Makes what shows the runs of a sweep, given their number."""


class Stopped(SystemExit):
    """Ends a sweep at a mistake that shows only now. Hydra lets it pass, and shows no traceback of it."""

    def __init__(self, mistake: UserError) -> None:
        super().__init__(2)
        self.mistake = mistake


class Sweep:
    """The runs of one command line. A launcher that starts them elsewhere takes this along as plain data."""

    def __init__(self, specs: list[RunSpec], make_observer: MakeObserver, planner: Planner | None = None) -> None:
        self.specs = specs
        self._make_observer = make_observer
        wanted = frozenset(spec.folder.path for spec in specs)
        self._shared = Shared(make_observer(len(specs)), planner or Planner(Path.cwd()), wanted)
        self.failed: list[RunSpec] = []
        """Those that this process ran and that did not complete."""

    def __getstate__(self) -> dict[str, Any]:
        # A display, a node's beacon and rows that were read belong to the process that has them.
        forecasts = dict(self._shared.forecasts)
        return {"specs": self.specs, "make_observer": self._make_observer, "forecasts": forecasts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        forecasts = state.pop("forecasts")
        self.__init__(**state)  # type: ignore[misc]
        self._shared.forecasts = forecasts

    @property
    def observer(self) -> Observer:
        return self._shared.observer

    def announce(self) -> None:
        """Say of each sweep what it compares, how fair that is and what it can see, before anything starts."""
        from harness.execution import outlook  # It brings pandas along, which a run by itself needs not.

        for specs in by_sweep(self.specs):
            if specs[0].is_helper:
                continue
            done = [run.path for run in _completed(_found(specs))]
            self.observer.announced(outlook.outlook(specs, done))
            for warning in outlook.warnings(specs):
                self.observer.warn(warning)
            if len(done) < len(specs) and specs[0].config.device.forecast:
                self._forecast(specs)

    def _forecast(self, specs: list[RunSpec]) -> None:
        """Say what memory the arms will need. Raises UserError where one is to be refused for that."""
        from harness.execution import forecasts

        try:
            found = forecasts.forecasts(specs, self._shared.planner)
        except UserError as error:
            self.observer.note(f"no forecast of memory: {'; '.join(error.mistakes)}")
            return
        forecasts.refused(specs, list(found.values()))
        self.observer.foreseen(list(found.values()), specs[0].config.dry_run)
        for warning in forecasts.too_large(list(found.values())):
            self.observer.warn(warning)
        self._shared.forecasts = {**self._shared.forecasts, **{key: arm.forecast for key, arm in found.items()}}

    def run_point(self, composed: DictConfig) -> str | None:
        """Run what Hydra composed: one point, in another process where its launcher is a parallel one."""
        job = HydraConfig.get()
        spec = self.spec_of([str(override) for override in job.overrides.task])
        try:
            record = self.run(spec)
        except UserError as error:
            raise Stopped(error) from error
        return None if record is None else record.status.value

    def run(self, spec: RunSpec) -> Record | None:
        """Run one spec. What keeps even its record from being written is told, and the sweep goes on."""
        try:
            record = run(spec, self._shared)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            self.observer.warn(f"{spec.name}: {where}{error.strerror or error}; it has no record")
            self.failed.append(spec)
            return None
        if record is not None and record.status is not Outcome.COMPLETED:
            self.failed.append(spec)
        return record

    def dismiss_nodes(self) -> None:
        """Let other machines go that still wait for this one."""
        self._shared.nodes.dismiss()

    def report(self) -> bool:
        """Report on the runs of this sweep, not on others that share its folder; whether all of them completed."""
        from harness.report.render import render

        all_completed = True
        for specs in by_sweep(self.specs):
            folder, config = specs[0].sweep_folder, specs[0].config
            found = _found(specs)
            output = from_cwd(specs[0].started_in / config.reports / config.sweep)
            only = [as_recorded(spec).folder.path for spec in specs]
            rendered = render([folder.path], output, only, config.report.language)
            completed = _completed(found)
            looks.note(folder, [run.name for run in completed])
            self.observer.sweep_finished([record for _, record in found], rendered.verdict, rendered.path)
            all_completed &= len(completed) == len(specs)
        return all_completed

    def spec_of(self, overrides: list[str]) -> RunSpec:
        """Return the spec of a point; one that a sweeper thought of by itself is planned now."""
        known = next((spec for spec in self.specs if list(spec.overrides) == overrides), None)
        return known or prepare(overrides, multirun=False, planner=self._shared.planner).specs[0]


def _found(specs: Iterable[RunSpec]) -> list[tuple[RunFolder, Record]]:
    """Return the runs of these that have a record, with it."""
    found = []
    for spec in map(as_recorded, specs):
        with suppress(store.DamagedRecordError):  # The report names it.
            if (record := store.load(spec.folder)) is not None:
                found.append((spec.folder, record))
    return found


def _completed(found: Iterable[tuple[RunFolder, Record]]) -> list[RunFolder]:
    return [folder for folder, record in found if record.status is Outcome.COMPLETED]
