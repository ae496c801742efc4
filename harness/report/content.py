"""What stands in a report, as tables and sentences; the template gives them their order."""

from __future__ import annotations

from collections.abc import Sequence

from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.findings import Findings
from harness.comparison.runs import Run
from harness.report import tables
from harness.report.examples import examples
from harness.report.markdown import joined
from harness.report.prompts import prompts_table
from harness.report.text import Text

WHOLE_RUN = 0.9
"""The share of a run's seconds that its energy must cover to pass for that of the whole run."""


def content_of(findings: Findings, text: Text) -> dict[str, object]:
    """Put the findings into the tables and sentences that the template names, but for verdict and figures.

    None, or an empty list: the report has no such part."""
    sweep, arms = findings.sweep, findings.arms
    telling = [comparison for comparison in findings.comparisons if comparison.differences]
    return {
        "arms": tables.arms_table(arms, text),
        "unscored": [
            text.UNSCORED.format(run=text.run_name(run), target=target, why=why)
            for arm in arms
            for run in arm.completed
            for target, why in run.record.unscored.items()
        ],
        "evidence": tables.evidence_table(arms, text),
        "differences": [
            (_against(text.AGAINST, comparison), tables.differences_table(comparison, text)) for comparison in telling
        ],
        "problems": [line for comparison in telling for line in _problems(comparison, text)],
        "other_causes": [
            (_against(text.OTHER_SETTINGS, comparison), tables.other_causes_table(comparison, text))
            for comparison in telling
            if comparison.fairness.causes
        ],
        "confounded": any(comparison.fairness.confounding for comparison in telling),
        "compared": [text.compared(comparison) for comparison in telling],
        "merging": tables.merging_table(findings.merging, text),
        "merging_problems": _unpairable(findings.merging, text),
        "prompts": prompts_table(arms, text),
        "examples": examples(findings.comparisons),
        "runs": tables.runs_table(sweep.runs, text),
        "failed": [
            (run.record, f"{text.status(run)}: {text.run_name(run)}", _failure(run, text))
            for run in sweep.runs
            if not run.completed
        ],
        "left_out": [
            *map(text.DAMAGED.format, sweep.damaged),
            *map(text.UNFINISHED.format, sweep.unfinished),
            *map(text.PLANNED.format, sweep.planned),
            *map(text.superseded, sweep.superseded),
        ],
        "memory": tables.memory_table(sweep.runs, text),
        "sampling": _sampling(sweep.runs, text),
        "environment": tables.environment_table(sweep.runs, text),
        "commands": list(dict.fromkeys(run.record.command for run in sweep.runs)),
        "limits": [text.LIMITS[limit] for limit in findings.limits],
    }


def _against(heading: str, comparison: Comparison) -> str:
    return heading.format(arm=comparison.arm.label, baseline=comparison.baseline.label)


def _problems(comparison: Comparison, text: Text) -> list[str]:
    """Return why a difference has no interval, or leaves seeds out."""
    left_out = [text.left_out(metric, seeds) for metric, seeds in comparison.not_finite]
    return _unpairable(comparison.differences, text) + left_out


def _unpairable(differences: Sequence[PairedDifference], text: Text) -> list[str]:
    reasons = [paired.unpairable for paired in differences if paired.unpairable is not None]
    return list(dict.fromkeys(map(text.unpairable, reasons)))


def _failure(run: Run, text: Text) -> str:
    """Return why a run was not completed, and how much memory it had reached."""
    reason = run.record.reason or text.NO_REASON
    peak = max(run.record.memory, key=lambda peak: peak.peak_mib, default=None)
    if peak is None:
        return reason.strip()
    reached = text.REACHED.format(mib=peak.peak_mib, quantity=peak.quantity, sensor=peak.sensor, phase=peak.phase)
    return f"{reason} {reached}".strip()


def _sampling(runs: Sequence[Run], text: Text) -> list[str]:
    """Return how often the sensors were read, each kind of error with its run, and what is in no figure."""
    samplings = [(run.folder.name, run.record.sampling) for run in runs if run.record.sampling is not None]
    if not samplings:
        return []
    intervals = joined([f"{sampling.interval_seconds:g} s" for _, sampling in samplings])
    readings = sum(sampling.readings for _, sampling in samplings)
    gaps = sum(sampling.gaps for _, sampling in samplings)
    lines = [text.SAMPLING.format(readings=readings, intervals=intervals, gaps=gaps)]
    lines += [f"{name}: {error}" for name, sampling in samplings for error in sampling.errors]
    lines += [
        text.UNREAD.format(folder=run.folder.name, lines=run.record.unread_lines)
        for run in runs
        if run.record.unread_lines
    ]
    for run in runs:
        covered = run.record.energy.covered_seconds if run.record.energy else None
        whole = run.record.wall_seconds
        if covered is not None and covered < WHOLE_RUN * whole:
            lines.append(text.ENERGY_COVERED.format(folder=run.folder.name, covered=covered, whole=whole))
    return lines
