"""All runs of a sweep, and the report at its end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from harness.base.errors import UserError
from harness.base.paths import from_cwd
from harness.compose.points import of_run
from harness.data import tokenized
from harness.execution import launchers, leases
from harness.execution.observer import Observer
from harness.execution.prepare import by_sweep, prepare
from harness.execution.run import Shared, as_recorded, run
from harness.plan.planner import Planner
from harness.plan.spec import RunSpec
from harness.processes import standby
from harness.runs import looks, status, store
from harness.runs.folder import RunFolder
from harness.runs.record import Outcome, Record


class MakeObserver(Protocol):
    """Makes what shows the runs of a sweep."""

    def __call__(self, total: int, lines: Path | None = None) -> Observer:
        """`total`: how many there are. `lines`: the file to write to, in a process that has no terminal of its own."""


class Stopped(SystemExit):
    """Ends a sweep at a mistake that shows only now. Hydra lets it pass, and shows no traceback of it."""

    def __init__(self, mistake: UserError) -> None:
        super().__init__(2)
        self.mistake = mistake


class Sweep:
    """The runs of one command line. A launcher that starts them elsewhere takes this along as plain data."""

    def __init__(
        self,
        specs: list[RunSpec],
        make_observer: MakeObserver,
        planner: Planner | None = None,
        lines: Path | None = None,
    ) -> None:
        self.specs = specs
        self._make_observer = make_observer
        wanted = frozenset(spec.folder.path for spec in specs)
        self._shared = Shared(make_observer(len(specs), lines), planner or Planner(Path.cwd()), wanted)
        self.failed: list[RunSpec] = []
        """Those that this process ran and that did not complete."""
        self._settle: Callable[[], None] | None = None
        """Makes a process that a launcher started fit for a run; None: this is the command's own."""

    def __getstate__(self) -> dict[str, Any]:
        # A display, a node's beacon and rows that were read belong to the process that has them.
        forecasts = dict(self._shared.forecasts)
        sweeps = list(dict.fromkeys(spec.sweep_folder for spec in self.specs))
        self.observer.launched(sweeps, leases.FreeChips(self.specs[0]).count)
        return {
            "specs": self.specs,
            "make_observer": self._make_observer,
            "forecasts": forecasts,
            "from": _process(),
            "settle": partial(launchers.settle, self.specs[0], launchers.threads_of_command()),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        forecasts, launched_from, settle = (state.pop(key) for key in ("forecasts", "from", "settle"))
        here, specs = _process(), state["specs"]
        lines = None if here == launched_from else specs[0].sweep_folder.lines / f"{here}.txt"
        # Not yet in the command's folder.
        self.__init__(**state, planner=Planner(specs[0].started_in), lines=lines)  # type: ignore[misc]
        self._shared.forecasts = forecasts
        self._settle = None if here == launched_from else settle

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
            if not specs[0].config.dry_run:
                specs[0].sweep_folder.path.mkdir(parents=True, exist_ok=True)
                status.plan(specs[0].sweep_folder, [as_recorded(spec).folder for spec in specs])

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
        try:
            if self._settle is not None:
                self._settle()
            record = self.run(self.spec_of(of_run(map(str, HydraConfig.get().overrides.task))))
        except UserError as error:
            if self._settle is not None:
                # A SystemExit would end the launcher's process, and with it the runs after this one.
                raise UserError(error.mistakes) from None
            raise Stopped(error) from error
        finally:
            if self._settle is not None:
                # The launcher's process may live on, with nothing to do.
                standby.close()
        return None if record is None else record.status.value

    def run(self, spec: RunSpec) -> Record | None:
        """Run one spec. What keeps even its record from being written is told, and the sweep goes on."""
        self._shared.goes_on = self._settle is None and spec is not self.specs[-1]
        try:
            record = run(spec, self._shared)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            why = error.strerror or error
            what = "goes on with it" if spec.folder.record.exists() else "makes it again, as it has no record"
            self.observer.warn(f"{spec.name}: {where}{why}; the same command {what}")
            self.failed.append(spec)
            return None
        if record is not None and record.status is not Outcome.COMPLETED:
            self.failed.append(spec)
        return record

    def dismiss_nodes(self) -> None:
        """Let other machines go that still wait for this one."""
        self._shared.nodes.dismiss()

    def drop_tokenized_rows(self) -> None:
        """Take away what the runs of these sweeps shared of their rows, but for what other commands still train on."""
        for folder in {spec.sweep_folder for spec in self.specs}:
            try:
                tokenized.remove_unheld(folder.tokenized)
            except OSError as error:
                self.observer.warn(
                    f"{from_cwd(folder.tokenized)}: {error.strerror}; nothing needs it any more: remove it"
                )

    def report(self) -> bool:
        """Report on the runs of this sweep, not on others that share its folder; whether all of them completed."""
        from harness.report.render import render

        all_completed = True
        for specs in by_sweep(self.specs):
            folder, config = specs[0].sweep_folder, specs[0].config
            found = _found(specs)
            output = from_cwd(specs[0].started_in / config.reports / config.sweep)
            only = [as_recorded(spec).folder.path for spec in specs]
            completed = _completed(found)
            all_completed &= len(completed) == len(specs)
            records = [record for _, record in found]
            try:
                rendered = render([folder.path], output, only, config.report.language)
            except OSError as error:
                self.observer.sweep_finished(records, [], None)
                self.observer.warn(f"no report: {error}; once there is room: harness report {from_cwd(folder.path)}")
                all_completed = False
            else:
                looks.note(folder, [run.name for run in completed])
                self.observer.sweep_finished(records, rendered.verdict, rendered.path)
            recorded = {run.path for run, _ in found}
            if lost := [spec.name for spec in specs if as_recorded(spec).folder.path not in recorded]:
                self.observer.warn(f"no record of {', '.join(lost)}; the same command makes them again")
        return all_completed

    def spec_of(self, overrides: Sequence[str]) -> RunSpec:
        """Return the spec of a point; one that a sweeper thought of by itself is planned now."""
        known = next((spec for spec in self.specs if spec.overrides == tuple(overrides)), None)
        return known or prepare(overrides, multirun=False, planner=self._shared.planner).specs[0]


def _process() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


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
