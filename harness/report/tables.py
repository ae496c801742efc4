"""The tables of what was measured and of how arms differ, and what all tables share. None: there is nothing to show."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, geometric_mean

import numpy as np

from harness.comparison.arms import Arm
from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.findings import Findings
from harness.comparison.margins import Margins
from harness.comparison.metrics import ACCURACY, LEADING_MEMORY, STEP_SECONDS, TRAIN_LOSS, Metric
from harness.config.schema import ComparisonConfig
from harness.report.document import Cell, Number, Range, Table
from harness.report.markdown import joined
from harness.report.numbers import chance, difference_text, number, p_value, ratios, value_text
from harness.report.text import Text

MOST_ROWS = 40
"""Of a table that a page shows; its files have every row."""
MOST_VALUES = 10
"""Of an arm's values that stand one by one; beyond, the lowest and the highest."""
KEYS = (
    *("accuracy", "accuracy-differences", "flips", "merging", "prompts", "memory", "memory-differences"),
    *("memory-phases", "memory-parts", "forecast", "sensors", "time", "time-differences", "time-parts", "energy"),
    *("energy-differences", "power", "evidence", "rows", "trained", "fairness", "variations", "arms", "runs"),
    *("margins", "verdicts", "environment"),
)
"""Of all tables that a report may hold."""


def make(
    text: Text,
    key: str,
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    figures: bool = True,
    sortable: bool = False,
    most: int = MOST_ROWS,
) -> Table | None:
    """Return a table, of which a page shows `most` rows and says where the others are."""
    assert key in KEYS, key
    if not rows:
        return None
    further = len(rows) - most
    rest = text.ROWS_LEFT_OUT.format(count=further, file=f"tables/{key}.csv") if further > 0 else ""
    return Table(key, headers, rows, figures, sortable, most if further > 0 else None, rest, text.BOUNDS)


def mean(metric: Metric, values: Sequence[float]) -> float:
    """Return the geometric mean of what is compared by ratios, else the arithmetic."""
    return geometric_mean(values) if metric.is_ratio and min(values) > 0 else fmean(values)


# What was measured, and how arms differ.


def values_table(key: str, metrics: Sequence[Metric], arms: Sequence[Arm], text: Text) -> Table | None:
    """Return every seed's value of each metric that any arm measured, a row an arm; a dash where it did not."""
    rows: list[Sequence[Cell]] = []
    for metric in metrics:
        told = [arm for arm in arms if arm.values(metric) or arm.not_finite(metric)]
        if told:
            sensors = set().union(*(arm.sensors(metric) for arm in told))
            rows += [
                [text.named(metric, sensors), arm.label, *_values(metric, arm, text)] for arm in arms if arm.completed
            ]
        if metric is ACCURACY:
            rows += [
                [text.BASE_ACCURACY, arm.label, None, base, None] for arm in arms if (base := _base(arm)) is not None
            ]
    return make(text, key, text.VALUES_HEADERS, rows)


def _values(metric: Metric, arm: Arm, text: Text) -> list[Cell]:
    """Return the cells of seeds, values and mean."""
    found, not_finite = arm.values(metric), arm.not_finite(metric)
    values = tuple(found.values())
    broken = text.not_finite_values(not_finite) if not_finite else None
    if not values:
        return [None, broken, None]
    seeds = text.seeds_of(
        list(found),
        diverged=[run.record.seed for run in arm.diverged if run.record.seed in found],
        lost=[run.record.seed for run in arm.runs if not run.completed],
    )
    return [seeds, listed_values(metric, values, text, broken), metric_number(metric, mean(metric, values))]


def arms_table(arms: Sequence[Arm], measured: Sequence[Table | None], text: Text) -> Table | None:
    """Return how many runs there are of each arm, and all that the tables of the sections measured."""
    rows: list[Sequence[Cell]] = [
        [text.COMPLETED_RUNS, arm.label, None, text.SHARE.format(len(arm.completed), len(arm.runs)), None]
        for arm in arms
    ]
    for table in measured:
        rows += [] if table is None else table.rows
    return make(text, "arms", text.VALUES_HEADERS, rows)


def listed_values(metric: Metric, values: Sequence[float], text: Text, broken: str | None = None) -> Number:
    if len(values) > MOST_VALUES:
        shown = [text.span(value_text(metric, min(values)), value_text(metric, max(values)))]
    else:
        shown = [value_text(metric, value) for value in values]
    return Number(joined([", ".join(shown), broken]) or "", tuple(values))


def metric_number(metric: Metric, value: float) -> Number:
    return Number(value_text(metric, value), (value,))


def plain_number(value: float | None, decimals: int | None = None) -> Number | None:
    return None if value is None else Number(number(value, decimals), (value,))


def _base(arm: Arm) -> str | None:
    scores = [run.record.base_score for run in arm.completed if run.record.base_score is not None]
    return joined([value_text(ACCURACY, score.accuracy) for score in scores])


def differences_table(
    key: str, metrics: Sequence[Metric], comparisons: Sequence[Comparison], text: Text
) -> Table | None:
    """Return each difference of `metrics`, which are all compared by ratios or all by differences."""
    correlate = not metrics[0].is_ratio
    rows = []
    for metric in metrics:
        for comparison in comparisons:
            paired = comparison.of(metric)
            if paired is not None:
                rows.append(_difference(comparison, paired, text, correlate))
    headers = [*text.DIFFERENCE_HEADERS, text.CORRELATION] if correlate else text.RATIO_HEADERS
    return make(text, key, headers, rows)


def _difference(comparison: Comparison, paired: PairedDifference, text: Text, correlate: bool) -> list[Cell]:
    metric = paired.metric
    sensors = comparison.arm.sensors(metric) | comparison.baseline.sensors(metric)
    cells: list[Cell] = [
        text.named(metric, sensors),
        paired.arm,
        paired.baseline,
        metric_number(metric, paired.arm_mean),
        metric_number(metric, paired.baseline_mean),
        *effect_cells(paired, text),
        text.counted_seeds(paired.seeds),
        _word(comparison, metric, text),
    ]
    return [*cells, _correlation(paired)] if correlate else cells


def effect_cells(paired: PairedDifference, text: Text) -> tuple[Cell, Cell]:
    """Return a difference or ratio, and its interval."""
    metric, ratio = paired.metric, paired.ratio
    if paired.is_none:
        return (text.NO_DIFFERENCE if paired.mean else text.THE_SAME), None
    if ratio is None:
        size = Number(difference_text(metric, paired.mean), (paired.mean,))
        bounds = None if paired.interval is None else Range(text.interval(metric, paired.interval), paired.interval)
    elif paired.ratio_interval is None:
        size, bounds = Number(ratios(ratio)[0], (ratio,)), None
    else:
        shown, low, high = ratios(ratio, *paired.ratio_interval)
        size, bounds = Number(shown, (ratio,)), Range(text.span(low, high), paired.ratio_interval)
    return size, text.EXACT if paired.is_exact else bounds


def _word(comparison: Comparison, metric: Metric, text: Text) -> str:
    judgement = comparison.judgement(metric)
    if judgement is None:
        return ""
    return text.NO_VERDICT if judgement.word is None else text.WORDS[judgement.word]


def _correlation(paired: PairedDifference) -> Number | None:
    """Return how far the seeds move both arms alike; None with fewer than three."""
    sides = paired.arm_values, paired.baseline_values
    if len(paired.seeds) < 3 or any(len(set(side)) == 1 for side in sides):
        return None
    value = float(np.corrcoef(*sides)[0, 1])
    return Number(number(value, 2), (value,))


# Accuracy, and what is said of it.


def flips_table(comparisons: Sequence[Comparison], text: Text) -> Table | None:
    """Return how the answers of each pair of runs agree, and all seeds of an arm together."""
    rows: list[Sequence[Cell]] = []
    for comparison in comparisons:
        names = comparison.arm.label, comparison.baseline.label
        counts = []
        for flips in comparison.flips():
            counts.append((flips.both_right, flips.only_arm, flips.only_baseline, flips.neither))
            rows.append([*names, flips.seed, *counts[-1], Number(p_value(flips.p_value), (flips.p_value,))])
        if len(counts) > 1:
            rows.append([*names, text.ALL_SEEDS, *map(sum, zip(*counts, strict=True)), None])
    return make(text, "flips", text.FLIP_HEADERS, rows)


def merging_table(losses: Sequence[PairedDifference], text: Text) -> Table | None:
    """Return what merging changed, a row an arm."""
    rows: list[list[Cell]] = [
        [
            loss.arm,
            metric_number(ACCURACY, loss.baseline_mean),
            metric_number(ACCURACY, loss.arm_mean),
            *effect_cells(loss, text),
            loss.questions,
            text.counted_seeds(loss.seeds),
        ]
        for loss in losses
    ]
    return make(text, "merging", text.MERGING_HEADERS, rows)


def verdicts_table(findings: Findings, text: Text) -> Table | None:
    """Return every test of a primary metric."""
    rows: list[list[Cell]] = []
    for comparison in findings.comparisons:
        for metric in (ACCURACY, *LEADING_MEMORY, STEP_SECONDS):
            judgement = comparison.judgement(metric)
            if judgement is not None:
                p_values = judgement.p_different, judgement.p_equivalent, judgement.p_not_worse
                good = judgement.at_least_as_good
                rows.append(
                    [
                        *(comparison.arm.label, comparison.baseline.label, text.METRICS[metric.key]),
                        _word(comparison, metric, text),
                        *(None if value is None else Number(p_value(value), (value,)) for value in p_values),
                        plain_number(judgement.alpha, 3) if judgement.p_different is not None else None,
                        None if good is None else Number(chance(good), (good,)),
                    ]
                )
    return make(text, "verdicts", text.TEST_HEADERS, rows)


def margins_table(margins: Margins, settings: ComparisonConfig, text: Text) -> Table | None:
    """Return what had to be named before: how large a difference must be to matter."""
    example = {
        "margin_points": ACCURACY,
        "margin_memory_ratios": LEADING_MEMORY[0],
        "margin_time_ratios": STEP_SECONDS,
        "margin_nats": TRAIN_LOSS,
    }
    rows = [
        [text.MARGIN_METRICS[key], text.margin(metric, margins.of(metric)), f"comparison.{key}"]
        for key, metric in example.items()
    ]
    return make(text, "margins", text.MARGIN_HEADERS, rows, figures=False)
