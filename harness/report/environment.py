"""On what was measured, and how: hardware, versions, sensors."""

from __future__ import annotations

from collections.abc import Sequence

from harness.comparison.runs import Run
from harness.devices.reading import Quantity
from harness.report.markdown import Markdown, joined, text_table
from harness.report.text import Row, Table, Text

WHOLE_RUN = 0.9
"""The share of a run's seconds that its energy must cover to pass for that of the whole run."""


def environment_table(runs: Sequence[Run], text: Text) -> Markdown | None:
    """Return hardware and versions, each value once; None without a run."""
    if not runs:
        return None
    environments = [run.record.environment for run in runs]
    cells: dict[Row, list[object]] = {
        Row.DEVICE: [f"{environment.device} x {environment.device_count}" for environment in environments],
        Row.PLATFORM: [environment.platform for environment in environments],
        Row.CPUS: [environment.cpu_count for environment in environments],
        Row.HOST_MEMORY: [f"{environment.host_memory_mib:,.0f}" for environment in environments],
        Row.COMMIT: [environment.git_commit for environment in environments],
    }
    rows = [(text.titles.ROWS[row], joined(values)) for row, values in cells.items()]
    names = sorted({name for environment in environments for name in environment.versions})
    rows += [(name, joined([environment.versions.get(name) for environment in environments])) for name in names]
    return text_table(["", ""], rows)


def memory_table(runs: Sequence[Run], text: Text) -> Markdown | None:
    """Return which quantities of memory were measured, by what and how; None: none was."""
    rows = []
    for quantity in Quantity:
        peaks = [peak for run in runs for peak in run.record.memory if peak.quantity is quantity]
        if not peaks:
            continue
        readings = [peak.readings for peak in peaks if peak.readings is not None]
        rows.append(
            [
                quantity.value,
                text.titles.MEMORY_MEANS[quantity],
                joined(sorted({peak.sensor for peak in peaks})),
                text.report.sampled(min(readings), max(readings)) if readings else text.titles.HIGH_WATER_MARK,
            ]
        )
    return text_table(text.titles.HEADERS[Table.MEMORY], rows) if rows else None


def sampling(runs: Sequence[Run], text: Text) -> list[str]:
    """Return how often the sensors were read, each kind of error with its run, and what is in no figure."""
    samplings = [(run, run.record.sampling) for run in runs if run.record.sampling is not None]
    if not samplings:
        return []
    intervals = joined([f"{sampling.interval_seconds:g} s" for _, sampling in samplings])
    readings = sum(sampling.readings for _, sampling in samplings)
    gaps = sum(sampling.gaps for _, sampling in samplings)
    errors = [f"{run.folder.name}: {error}" for run, sampling in samplings for error in sampling.errors]
    unread = [text.report.unread(run) for run in runs if run.record.unread_lines]
    holes = [text.report.energy_covered(run) for run in runs if _has_hole(run)]
    return [text.report.sampling(readings, intervals or "", gaps), *errors, *unread, *holes]


def _has_hole(run: Run) -> bool:
    covered = run.record.energy.covered_seconds if run.record.energy else None
    return covered is not None and covered < WHOLE_RUN * run.record.wall_seconds
