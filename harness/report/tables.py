"""The tables of a report, but that of prompts. None: the report has no such table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.comparison.arms import Arm
from harness.comparison.columns import MIB
from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.metrics import ACCURACY, METRICS, Unit
from harness.comparison.runs import Run
from harness.devices.reading import Quantity
from harness.report.markdown import Markdown, joined, table
from harness.report.numbers import difference_text, number, percent, value_text
from harness.report.text import Text
from harness.runs.events import Evidence


def arms_table(arms: Sequence[Arm], text: Text) -> Markdown | None:
    """Return what each arm was measured at, a column an arm."""
    if not any(arm.completed for arm in arms):
        return None
    rows: list[list[str | None]] = [
        [text.COMPLETED_RUNS, *(text.SHARE.format(len(arm.completed), len(arm.runs)) for arm in arms)],
        [text.DIVERGED_RUNS, *(_diverged(arm, text) for arm in arms)],
        *_rows_trained_on(arms, text),
    ]
    for metric in METRICS:
        cells = [text.summary(metric, arm) for arm in arms]
        if any(cells):
            sensors = set().union(*(arm.sensors(metric) for arm in arms))
            rows.append([text.named(metric, sensors), *cells])
        if metric is ACCURACY and any(map(_base, arms)):
            rows.append([text.BASE_ACCURACY, *map(_base, arms)])
    return table(["", *(arm.label for arm in arms)], rows, figures=True)


def _diverged(arm: Arm, text: Text) -> str | None:
    runs = [run for run in arm.runs if run.completed or run.diverged]
    looked_at = [run for run in runs if run.record.diverged is not None]
    return text.diverged(len(arm.diverged), len(looked_at), len(runs)) if runs else None


def _rows_trained_on(arms: Sequence[Arm], text: Text) -> Iterator[list[str | None]]:
    recorded = [[run.record.rows for run in arm.completed if run.record.rows is not None] for arm in arms]
    if any(recorded):
        yield [text.TRAINING_ROWS, *(joined([f"{rows.rows:,}" for rows in by_run]) for by_run in recorded)]
    if any(rows.at_cutoff for by_run in recorded for rows in by_run):
        cut = [
            joined([text.CUT_OFF.format(rows=rows.at_cutoff, cutoff_tokens=rows.cutoff_tokens) for rows in by_run])
            for by_run in recorded
        ]
        yield [text.ROWS_CUT_OFF, *cut]


def _base(arm: Arm) -> str | None:
    scores = [run.record.base_score for run in arm.completed if run.record.base_score is not None]
    return joined([value_text(ACCURACY, score.accuracy) for score in scores])


def evidence_table(arms: Sequence[Arm], text: Text) -> Markdown | None:
    """Return what proves the quantization: a row for each arm in whose loaded model anything was counted."""
    rows = []
    for arm in arms:
        counted = [run.record.evidence for run in arm.runs if run.record.evidence is not None]
        if counted:
            cells: list[Sequence[object]] = [
                [text.SHARE.format(found.quantized_modules, found.linear_modules) for found in counted],
                [_weights(found) for found in counted],
                [run.record.compute_dtype or text.NOT_RECORDED for run in arm.runs if run.record.evidence is not None],
                [text.ON_OFF[found.gradient_checkpointing] for found in counted],
                [text.SHARE.format(found.trainable_parameters, found.total_parameters) for found in counted],
            ]
            rows.append([arm.label, *(joined(of_runs) or text.NOT_RECORDED for of_runs in cells)])
    return table(text.EVIDENCE_HEADERS, rows) if rows else None


def _weights(evidence: Evidence) -> str:
    dtypes = sorted(evidence.weight_bytes_by_dtype.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {number(size / MIB)} MiB" for name, size in dtypes)


def differences_table(comparison: Comparison, text: Text) -> Markdown:
    """Return each metric's difference with its interval."""
    rows = [
        [
            text.named_difference(paired.metric),
            *_difference(paired, text),
            _relative(paired),
            paired.seeds,
            text.DIRECTIONS[paired.direction],
        ]
        for paired in comparison.differences
    ]
    return table(text.difference_headers(comparison.arm.label, comparison.baseline.label), rows, figures=True)


def _difference(paired: PairedDifference, text: Text) -> list[str | None]:
    return [
        value_text(paired.metric, paired.baseline_mean),
        value_text(paired.metric, paired.arm_mean),
        difference_text(paired.metric, paired.mean),
        paired.interval and text.interval(paired.metric, paired.interval),
    ]


def _relative(paired: PairedDifference) -> str | None:
    is_share = paired.metric.unit is Unit.SHARE
    return None if is_share or paired.relative_percent is None else percent(paired.relative_percent)


def other_causes_table(comparison: Comparison, text: Text) -> Markdown:
    """Return what else differs between two arms, with the values of both."""
    rows = [
        [text.cause_name(cause), joined(cause.baseline_values), joined(cause.arm_values)]
        for cause in comparison.fairness.causes
    ]
    return table(["", comparison.baseline.label, comparison.arm.label], rows)


def merging_table(losses: Sequence[PairedDifference], text: Text) -> Markdown | None:
    """Return what merging changed, a row an arm."""
    rows = [
        [loss.arm, *_difference(loss, text), loss.questions, loss.seeds, text.DIRECTIONS[loss.direction]]
        for loss in losses
    ]
    return table(text.MERGING_HEADERS, rows, figures=True) if rows else None


def runs_table(runs: Sequence[Run], text: Text) -> Markdown | None:
    """Return every run with how it ended, how long it took, and where it lies."""
    rows = [
        [
            run.label,
            run.record.seed,
            text.status(run),
            number(run.record.wall_seconds),
            run.record.training and number(run.record.training.train_seconds),
            run.record.score and f"{value_text(ACCURACY, run.record.score.accuracy)}{text.UNITS[Unit.SHARE]}",
            run.folder.name,
        ]
        for run in runs
    ]
    return table(text.RUNS_HEADERS, rows) if rows else None


def memory_table(runs: Sequence[Run], text: Text) -> Markdown | None:
    """Return which quantities of memory were measured, by what and how."""
    rows = []
    for quantity in Quantity:
        peaks = [peak for run in runs for peak in run.record.memory if peak.quantity is quantity]
        if peaks:
            readings = [peak.readings for peak in peaks if peak.readings is not None]
            how = text.SAMPLED.format(fewest=min(readings), most=max(readings)) if readings else text.HIGH_WATER_MARK
            sensors = joined(sorted({peak.sensor for peak in peaks}))
            rows.append([quantity.value, text.MEMORY_MEANS[quantity], sensors, how])
    return table(text.MEMORY_HEADERS, rows) if rows else None


def environment_table(runs: Sequence[Run], text: Text) -> Markdown | None:
    """Return hardware and versions, each value once."""
    environments = [run.record.environment for run in runs]
    cells: dict[str, list[object]] = {
        text.DEVICE: [f"{environment.device} x {environment.device_count}" for environment in environments],
        text.PLATFORM: [environment.platform for environment in environments],
        text.CPUS: [environment.cpu_count for environment in environments],
        text.HOST_MEMORY: [f"{environment.host_memory_mib:,.0f}" for environment in environments],
        text.COMMIT: [environment.git_commit for environment in environments],
    }
    for library in sorted({library for environment in environments for library in environment.versions}):
        cells[library] = [environment.versions.get(library) for environment in environments]
    return table(["", ""], [(name, joined(values)) for name, values in cells.items()]) if runs else None
