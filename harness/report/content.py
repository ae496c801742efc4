"""What stands in a report, as tables and sentences; the template gives them their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.comparison.arms import Arm
from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.findings import Findings
from harness.comparison.metrics import ACCURACY, METRICS, Unit
from harness.comparison.runs import Run
from harness.report.environment import environment_table, memory_table, sampling
from harness.report.evidence import evidence_table
from harness.report.examples import Examples, examples
from harness.report.markdown import Markdown, joined, table, text_table
from harness.report.numbers import difference_text, number, percent, value_text
from harness.report.prompts import prompts_table
from harness.report.text import Row, Table, Text
from harness.report.verdict import Verdict, verdict


@dataclass(frozen=True)
class Failed:
    """A run that was not completed."""

    heading: str
    reason: str
    diagnosis: str | None
    log_tail: list[str]


@dataclass(frozen=True)
class Content:
    """The parts of a report. None, or an empty list: the report has no such part."""

    title: str
    verdict: Verdict
    arms: Markdown | None
    unscored: list[str]
    evidence: Markdown | None
    differences: list[tuple[str, Markdown]]
    """A heading and its table for each comparison."""
    problems: list[str]
    """Why a difference has no interval, or leaves seeds out."""
    other_causes: list[tuple[str, Markdown]]
    confounded: bool
    """Whether any of these can have made a difference."""
    compared: list[str]
    """What was found equal, for each comparison."""
    merging: Markdown | None
    merging_problems: list[str]
    prompts: Markdown | None
    examples: Examples | None
    runs: Markdown | None
    failed: list[Failed]
    left_out: list[str]
    memory: Markdown | None
    sampling: list[str]
    environment: Markdown | None
    commands: list[str]
    limits: list[str]


def content_of(findings: Findings, text: Text) -> Content:
    """Put the findings into the tables and sentences of a report."""
    sweep, arms = findings.sweep, findings.arms
    telling = [comparison for comparison in findings.comparisons if comparison.differences]
    return Content(
        title=text.report.title(list(dict.fromkeys(folder.resolve().name for folder in sweep.folders))),
        verdict=verdict(findings, text),
        arms=_arms_table(arms, text),
        unscored=[
            text.report.unscored(text.report.run_name(run.label, run.record.seed), target, why)
            for arm in arms
            for run in arm.completed
            for target, why in run.record.unscored.items()
        ],
        evidence=evidence_table(arms, text),
        differences=[_differences(comparison, text) for comparison in telling],
        problems=[line for comparison in telling for line in _problems(comparison, text)],
        other_causes=[_other_causes(comparison, text) for comparison in telling if comparison.fairness.causes],
        confounded=any(comparison.fairness.confounding for comparison in telling),
        compared=[text.report.compared(comparison) for comparison in telling],
        merging=_merging_table(findings.merging, text),
        merging_problems=_unpairable(findings.merging, text),
        prompts=prompts_table(arms, text),
        examples=examples(findings.comparisons),
        runs=_runs_table(sweep.runs, text),
        failed=[_failed(run, text) for run in sweep.runs if not run.completed],
        left_out=[
            *map(text.report.damaged, sweep.damaged),
            *map(text.report.unfinished, sweep.unfinished),
            *map(text.report.planned, sweep.planned),
            *map(text.report.superseded, sweep.superseded),
        ],
        memory=memory_table(sweep.runs, text),
        sampling=sampling(sweep.runs, text),
        environment=environment_table(sweep.runs, text),
        commands=list(dict.fromkeys(run.record.command for run in sweep.runs)),
        limits=[text.titles.LIMITS[limit] for limit in findings.limits],
    )


def _arms_table(arms: Sequence[Arm], text: Text) -> Markdown | None:
    if not any(arm.completed for arm in arms):
        return None
    rows: list[list[str | None]] = [
        [text.titles.ROWS[Row.COMPLETED], *(text.report.share(len(arm.completed), len(arm.runs)) for arm in arms)],
        [text.titles.ROWS[Row.DIVERGED], *(_diverged(arm, text) for arm in arms)],
        *_rows_trained_on(arms, text),
    ]
    for metric in METRICS:
        summaries = [arm.summary(metric) for arm in arms]
        if any(summaries):
            cells = [
                None if summary is None else text.report.summary(metric, summary, len(arm.completed))
                for arm, summary in zip(arms, summaries, strict=True)
            ]
            sensors = set().union(*(arm.sensors(metric) for arm in arms))
            rows.append([text.report.named(metric, sensors), *cells])
        if metric is ACCURACY and any(map(_base, arms)):
            rows.append([text.titles.ROWS[Row.BASE_ACCURACY], *map(_base, arms)])
    return table(["", *(arm.label for arm in arms)], rows)


def _diverged(arm: Arm, text: Text) -> str | None:
    runs = [run for run in arm.runs if run.completed or run.diverged]
    looked_at = [run for run in runs if run.record.diverged is not None]
    return text.report.diverged(len(arm.diverged), len(looked_at), len(runs)) if runs else None


def _rows_trained_on(arms: Sequence[Arm], text: Text) -> Iterator[list[str | None]]:
    recorded = [[run.record.rows for run in arm.completed if run.record.rows is not None] for arm in arms]
    if any(recorded):
        counts = [joined([f"{rows.rows:,}" for rows in by_run]) for by_run in recorded]
        yield [text.titles.ROWS[Row.TRAINING_ROWS], *counts]
    if any(rows.at_cutoff for by_run in recorded for rows in by_run):
        cut = [joined([text.report.cut_off(rows.at_cutoff, rows.cutoff_tokens) for rows in rows]) for rows in recorded]
        yield [text.titles.ROWS[Row.CUT_OFF], *cut]


def _base(arm: Arm) -> str | None:
    scores = [run.record.base_score for run in arm.completed if run.record.base_score is not None]
    return joined([value_text(ACCURACY, score.accuracy) for score in scores])


def _differences(comparison: Comparison, text: Text) -> tuple[str, Markdown]:
    arm, baseline = comparison.arm.label, comparison.baseline.label
    rows = [_difference_row(paired, text) for paired in comparison.differences]
    return text.report.against(arm, baseline), table(text.report.difference_headers(arm, baseline), rows)


def _difference_row(paired: PairedDifference, text: Text) -> list[object]:
    metric = paired.metric
    is_share = metric.unit is Unit.SHARE
    return [
        text.report.named_difference(metric),
        value_text(metric, paired.baseline_mean),
        value_text(metric, paired.arm_mean),
        difference_text(metric, paired.mean),
        paired.interval and text.report.interval(metric, paired.interval),
        None if is_share or paired.relative_percent is None else percent(paired.relative_percent),
        paired.seeds,
        text.titles.DIRECTIONS[paired.direction],
    ]


def _problems(comparison: Comparison, text: Text) -> list[str]:
    left_out = [(paired.metric, paired.not_finite) for paired in comparison.differences if paired.not_finite]
    return [
        *_unpairable(comparison.differences, text),
        *(text.report.left_out(metric, seeds) for metric, seeds in [*left_out, *comparison.not_finite]),
    ]


def _unpairable(differences: Sequence[PairedDifference], text: Text) -> list[str]:
    reasons = [paired.unpairable for paired in differences if paired.unpairable is not None]
    return list(dict.fromkeys(map(text.report.unpairable, reasons)))


def _other_causes(comparison: Comparison, text: Text) -> tuple[str, Markdown]:
    arm, baseline = comparison.arm.label, comparison.baseline.label
    rows = [
        [text.report.cause_name(cause), joined(cause.baseline_values), joined(cause.arm_values)]
        for cause in comparison.fairness.causes
    ]
    return text.report.other_causes_heading(arm, baseline), text_table(["", baseline, arm], rows)


def _merging_table(losses: Sequence[PairedDifference], text: Text) -> Markdown | None:
    rows = [
        [
            loss.arm,
            value_text(ACCURACY, loss.baseline_mean),
            value_text(ACCURACY, loss.arm_mean),
            difference_text(ACCURACY, loss.mean),
            loss.interval and text.report.interval(ACCURACY, loss.interval),
            loss.questions,
            loss.seeds,
            text.titles.DIRECTIONS[loss.direction],
        ]
        for loss in losses
    ]
    return table(text.titles.HEADERS[Table.MERGING], rows) if rows else None


def _runs_table(runs: Sequence[Run], text: Text) -> Markdown | None:
    unit = text.titles.UNITS[Unit.SHARE]
    rows = [
        [
            run.label,
            run.record.seed,
            text.report.status(run),
            number(run.record.wall_seconds),
            run.record.training and number(run.record.training.train_seconds),
            run.record.score and f"{value_text(ACCURACY, run.record.score.accuracy)}{unit}",
            run.folder.name,
        ]
        for run in runs
    ]
    return text_table(text.titles.HEADERS[Table.RUNS], rows) if rows else None


def _failed(run: Run, text: Text) -> Failed:
    record = run.record
    highest = max(record.memory, key=lambda peak: peak.peak_mib, default=None)
    return Failed(
        f"{text.report.status(run)}: {text.report.run_name(run.label, record.seed)}",
        text.report.failure(record.reason, highest),
        None if record.diagnosis is None else text.report.diagnosis(record.diagnosis),
        record.log_tail,
    )
