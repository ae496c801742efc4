"""What stands in a report, in the order in which it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from harness.comparison.differences import PairedDifference
from harness.comparison.findings import Findings
from harness.comparison.metrics import ACCURACY, METRICS, Aspect, Metric, Unit
from harness.comparison.needs import variances
from harness.comparison.pooling import started
from harness.comparison.runs import Run
from harness.report import cost_tables, fact_tables, tables
from harness.report.document import (
    Block,
    Bullets,
    Code,
    Document,
    Paragraph,
    Picture,
    Questions,
    Section,
    Strong,
    Table,
    Warned,
)
from harness.report.examples import Example, examples
from harness.report.markdown import cut, joined
from harness.report.numbers import number
from harness.report.prompts import prompts_table
from harness.report.text import Text
from harness.report.verdict import MOST_ARMS, count_tests, lacking, shown, summary
from harness.runs.record import Tracking

WHOLE_RUN = 0.9
"""The share of a run's seconds that its energy must cover to pass for that of the whole run."""
MOST_FAILURES = 5
"""Runs that failed, each with its reason and last lines."""
MOST_LINES = 20
"""Of a list."""


def document(findings: Findings, text: Text, pictures: Mapping[str, Picture], notes: Sequence[str] = ()) -> Document:
    """Return the whole report. `pictures`: what was drawn, by name; `notes`: what is wrong with them."""
    measured = [
        _accuracy(findings, pictures, text),
        _memory(findings, pictures, text),
        _time(findings, text),
        _energy(findings, text),
    ]
    sections = [
        summary(findings, text),
        _figures(pictures, notes, text),
        *measured,
        _evidence(findings, text),
        _fairness(findings, text),
        _arms(findings, measured, text),
        _runs(findings, text),
        _method(findings, text),
        _environment(findings, text),
        Section("limits", text.HEADINGS["limits"], [Bullets([text.LIMITS[limit] for limit in findings.limits])]),
    ]
    names = list(dict.fromkeys(folder.resolve().name for folder in findings.sweep.folders))
    return Document(text.title(names), text.language, [section for section in sections if section is not None])


def _section(key: str, text: Text, *blocks: Block | Section | None) -> Section | None:
    """Return a section, its explanation before what it explains; None where it would hold nothing else."""
    there = [block for block in blocks if block is not None]
    if not there:
        return None
    is_explained = key in text.EXPLANATIONS and not all(isinstance(block, Picture) for block in there)
    explanation = [Paragraph(text.EXPLANATIONS[key])] if is_explained else []
    return Section(key, text.HEADINGS[key], [*explanation, *there])


def _bullets(items: Sequence[str], text: Text) -> Bullets | None:
    further = [text.FURTHER.format(count=len(items) - MOST_LINES)] if len(items) > MOST_LINES else []
    return Bullets([*items[:MOST_LINES], *further]) if items else None


def _figures(pictures: Mapping[str, Picture], notes: Sequence[str], text: Text) -> Section | None:
    drawn = [pictures[name] for name in ("intervals", "tradeoff") if name in pictures]
    return _section("figures", text, *drawn, *map(Warned, notes))


def _of(aspect: Aspect, *, energy: bool = False) -> list[Metric]:
    """Return the metrics of a section that arms are compared in; time has a section apart from energy."""
    found = [metric for metric in METRICS if metric.aspect is aspect and metric.unit is not Unit.COUNT]
    return [metric for metric in found if (metric.unit is Unit.WATT_HOURS) is energy]


def _lines(findings: Findings, metrics: Sequence[Metric], text: Text) -> list[str]:
    """Return why differences of these metrics have no interval, leave seeds out, or are not there."""
    told = []
    for comparison in findings.comparisons:
        told += [
            text.cannot_pair(paired)
            for paired in comparison.differences
            if paired.metric in metrics and paired.unpairable is not None
        ]
        told += [
            text.left_out(comparison, metric, seeds) for metric, seeds in comparison.not_finite if metric in metrics
        ]
    return told


# The sections.


def _accuracy(findings: Findings, pictures: Mapping[str, Picture], text: Text) -> Section | None:
    metrics, comparisons = _of(Aspect.ANSWERS), findings.comparisons
    paired = [found for comparison in shown(findings) if (found := comparison.of(ACCURACY)) is not None]
    unscored = [
        text.UNSCORED.format(run=text.run_name(run), target=target, why=why)
        for arm in findings.arms
        for run in arm.completed
        for target, why in run.record.unscored.items()
    ]
    marked = map(text.marked_otherwise, findings.caveats.marked_otherwise)
    lines = [*_varies(paired, text), *_lines(findings, metrics, text), *marked, *unscored]
    return _section(
        "accuracy",
        text,
        tables.values_table("accuracy", metrics, findings.arms, text),
        tables.differences_table("accuracy-differences", metrics, comparisons, text),
        _bullets([*lines, *lacking(comparisons, text, [Aspect.ANSWERS])], text),
        pictures.get("loss"),
        _section("flips", text, tables.flips_table(comparisons, text)),
        _section(
            "merging", text, tables.merging_table(findings.merging, text), _bullets(_merging(findings, text), text)
        ),
        _section("prompts", text, prompts_table(findings.arms, text)),
        _section("examples", text, _examples(findings, text)),
    )


def _varies(differences: Sequence[PairedDifference], text: Text) -> list[str]:
    return [
        text.varies(paired, variances(paired.by_question))
        for paired in differences
        if paired.by_question is not None and min(paired.by_question.shape) > 1
    ]


def _merging(findings: Findings, text: Text) -> list[str]:
    return [text.cannot_pair(loss) for loss in findings.merging if loss.unpairable is not None]


def _examples(findings: Findings, text: Text) -> Questions | None:
    for comparison in shown(findings):
        paired = comparison.of(ACCURACY)
        found = examples(comparison, paired) if paired is not None else []
        if found:
            names = comparison.baseline.label, comparison.arm.label
            return Questions(list(chain.from_iterable(_example(each, *names, text) for each in found)))
    return None


def _example(example: Example, baseline: str, arm: str, text: Text) -> Iterator[Block]:
    question, mark = example.arm, text.MORE_CHARACTERS
    sides = ((baseline, example.baseline), (arm, example.arm))
    yield Paragraph(
        [Strong(text.question(question.index, example.seed, *((label, each.correct) for label, each in sides)))]
    )
    yield Paragraph(cut(question.question, mark))
    yield Paragraph(text.EXPECTED.format(cut(question.expected, mark)))
    rows = [[label, cut(each.answer, mark) or text.NO_TEXT, cut(each.extracted, mark)] for label, each in sides]
    yield Table("", text.EXAMPLE_HEADERS, rows)


def _memory(findings: Findings, pictures: Mapping[str, Picture], text: Text) -> Section | None:
    metrics, runs = _of(Aspect.MEMORY), findings.sweep.runs
    return _section(
        "memory",
        text,
        tables.values_table("memory", metrics, findings.arms, text),
        tables.differences_table("memory-differences", metrics, findings.comparisons, text),
        _bullets([*_lines(findings, metrics, text), *lacking(findings.comparisons, text, [Aspect.MEMORY])], text),
        pictures.get("memory"),
        _section("memory_phases", text, cost_tables.memory_phases_table(findings.arms, text)),
        _section("memory_parts", text, cost_tables.memory_parts_table(findings.arms, text)),
        _section(
            "forecast",
            text,
            cost_tables.forecast_table(findings.arms, text),
            _bullets(cost_tables.fitting(findings.arms, text), text),
        ),
        _section("sensors", text, cost_tables.sensors_table(runs, text), _bullets(_sampling(runs, text), text)),
    )


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
    return lines


def _time(findings: Findings, text: Text) -> Section | None:
    metrics, arms = _of(Aspect.TIME), findings.arms
    values = tables.values_table("time", metrics, arms, text)
    lived = cost_tables.lived_rows(arms, text)
    if lived:
        measured = [] if values is None else values.rows
        values = tables.make(text, "time", text.VALUES_HEADERS, [*measured, *lived])
    orders = [
        text.ORDERS[each.order].format(arm=each.arm.label, baseline=each.baseline.label)
        for each in findings.comparisons
        if each.order is not None and len(each.pairs) > 1
    ]
    lines = [*_warm_up(findings, text), *orders, *_lines(findings, metrics, text)]
    return _section(
        "time",
        text,
        values,
        tables.differences_table("time-differences", metrics, findings.comparisons, text),
        _bullets([*lines, *lacking(findings.comparisons, text, [Aspect.TIME])], text),
        _section("time_parts", text, cost_tables.time_parts_table(arms, text)),
    )


def _warm_up(findings: Findings, text: Text) -> list[str]:
    trainings = [run.record.training for arm in findings.arms for run in arm.completed if run.record.training]
    steps = joined(sorted({training.warmup_steps for training in trainings if training.warmup_steps is not None}))
    seconds = [training.warmup_seconds for training in trainings if training.warmup_seconds is not None]
    if steps is None or not seconds:
        return []
    bounds = [number(bound) for bound in (min(seconds), max(seconds))]
    return [text.WARM_UP.format(steps=steps, seconds=bounds[0] if bounds[0] == bounds[1] else text.span(*bounds))]


def _energy(findings: Findings, text: Text) -> Section | None:
    metrics = _of(Aspect.TIME, energy=True)
    return _section(
        "energy",
        text,
        tables.values_table("energy", metrics, findings.arms, text),
        tables.differences_table("energy-differences", metrics, findings.comparisons, text),
        cost_tables.power_table(findings.arms, text),
        _bullets(_covered(findings.sweep.runs, text), text),
    )


def _covered(runs: Sequence[Run], text: Text) -> list[str]:
    lines = []
    for run in runs:
        covered = run.record.energy.covered_seconds if run.record.energy else None
        whole = run.record.wall_seconds
        if covered is not None and whole is not None and covered < WHOLE_RUN * whole:
            lines.append(text.ENERGY_COVERED.format(folder=run.folder.name, covered=covered, whole=whole))
    return lines


def _evidence(findings: Findings, text: Text) -> Section | None:
    rows = fact_tables.rows_table(findings.arms, text)
    trained = fact_tables.trained_table(findings.arms, text)
    return _section(
        "evidence",
        text,
        fact_tables.evidence_table(findings.arms, text),
        None if rows is None else Paragraph(text.EXPLANATIONS["rows"]),
        rows,
        None if trained is None else Paragraph(text.EXPLANATIONS["trained"]),
        trained,
    )


def _fairness(findings: Findings, text: Text) -> Section | None:
    compared = [comparison for comparison in findings.comparisons if comparison.pairs]
    said = [Paragraph(sentence) for comparison in compared[:MOST_ARMS] for sentence in text.compared(comparison)]
    return _section(
        "fairness",
        text,
        fact_tables.fairness_table(compared, text),
        *said,
        fact_tables.variations_table(compared, text),
    )


def _arms(findings: Findings, before: Sequence[Section | None], text: Text) -> Section | None:
    keys = ("accuracy", "memory", "time", "energy")
    sections = [section for section in before if section is not None]
    measured = [table for table in Document("", "", sections).tables() if table.key in keys]
    counts = tables.values_table(
        "arms", [metric for metric in METRICS if metric.unit is Unit.COUNT], findings.arms, text
    )
    return _section("arms", text, tables.arms_table(findings.arms, [*measured, counts], text))


def _runs(findings: Findings, text: Text) -> Section | None:
    sweep = findings.sweep
    failed = sorted((run for run in sweep.runs if not run.completed), key=lambda run: (started(run.record), run.label))
    left_out = [
        *map(text.DAMAGED.format, sweep.damaged),
        *map(text.UNFINISHED.format, sweep.unfinished),
        *map(text.PLANNED.format, sweep.planned),
        *map(text.superseded, sweep.superseded),
    ]
    further = len(failed) - MOST_FAILURES
    return _section(
        "runs",
        text,
        fact_tables.runs_table(sweep.runs, text),
        _bullets(_untracked(sweep.runs, text), text),
        *(_failure(number, run, text) for number, run in enumerate(failed[:MOST_FAILURES], 1)),
        Paragraph(text.LINES_LEFT_OUT.format(count=further)) if further > 0 else None,
        _section("left_out", text, _bullets(left_out, text)),
    )


def _untracked(runs: Sequence[Run], text: Text) -> list[str]:
    """Return a line for each reason why SwanLab did not follow runs to their end."""
    by_reason: dict[str | None, list[tuple[Run, Tracking]]] = {}
    for run in runs:
        tracking = run.record.tracking
        if tracking is not None and tracking.problem is not None:
            reason = tracking.problem if tracking.diagnosis is None else tracking.diagnosis.cause
            by_reason.setdefault(reason, []).append((run, tracking))
    return [text.untracked(*zip(*found, strict=True)) for found in by_reason.values()]


def _failure(place: int, run: Run, text: Text) -> Section:
    """Return why a run was not completed, how much memory it had reached, and its last lines."""
    record = run.record
    why = text.REASON.format(why=record.reason.strip()) if record.reason else text.NO_REASON
    peak = max(record.memory, key=lambda peak: peak.peak_mib, default=None)
    if peak is not None:
        quantity, phase = text.QUANTITIES[peak.quantity], text.PHASES[peak.phase]
        why = text.REACHED.format(why=why, mib=peak.peak_mib, quantity=quantity, sensor=peak.sensor, phase=phase)
    blocks: list[Block] = [Paragraph(why)]
    if record.diagnosis is not None:
        blocks.append(Paragraph(text.diagnosis(record.diagnosis)))
    if record.log_tail:
        blocks.append(Code(record.log_tail))
    title = text.FAILED_RUN.format(status=text.status(run), run=text.run_name(run))
    return Section(f"failed-{place}", title, blocks)


def _method(findings: Findings, text: Text) -> Section | None:
    tests = count_tests(findings)
    alpha = min(findings.alphas, default=0.05)
    verdicts = tables.verdicts_table(findings, text)
    return _section(
        "method",
        text,
        Bullets(list(text.METHOD.values())),
        tables.margins_table(findings.margins, findings.settings, text),
        Paragraph(text.tests(tests, alpha)) if findings.comparisons else None,
        None if verdicts is None else Paragraph(text.EXPLANATIONS["tests"]),
        verdicts,
    )


def _environment(findings: Findings, text: Text) -> Section | None:
    runs = findings.sweep.runs
    commands = list(dict.fromkeys(run.record.command for run in runs if run.record.adopted is None))
    return _section(
        "environment",
        text,
        fact_tables.environment_table(runs, text),
        *_code(text.COMMANDS, commands, text),
    )


def _code(introduction: str, lines: Sequence[str], text: Text) -> Iterator[Block]:
    if lines:
        yield Paragraph(introduction)
        yield Code(lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        yield Paragraph(text.LINES_LEFT_OUT.format(count=len(lines) - MOST_LINES))
