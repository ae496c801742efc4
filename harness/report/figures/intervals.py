"""Every difference to the baseline with its interval, the margin shaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from harness.comparison.arms import Arm
from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.intervals import Interval
from harness.comparison.judging import Word
from harness.comparison.margins import Margins
from harness.comparison.metrics import Metric, Unit
from harness.report.figures.theme import Look, Theme, legend, look, new_figure, short
from harness.report.text import Text

MOST_ARMS = 8
_WIDEST_RATIO = 4.0
"""An interval that reaches further is drawn to the panel's edge, with an arrow."""
_TICKS = (0.25, 1 / 3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class _Row:
    effect: float
    """As drawn: points, nats, or the log of a ratio."""
    interval: Interval | None
    word: Word | None


def intervals(
    arms: Sequence[Arm], comparisons: Sequence[Comparison], margins: Margins, text: Text, theme: Theme
) -> Figure | None:
    """Draw ratios on a log scale, accuracy in points, losses in nats: a panel each."""
    compared = [comparison for comparison in comparisons if comparison.differences]
    shown = compared[:MOST_ARMS]
    panels = []
    for axis, units in ((text.RATIO_AXIS, None), (text.POINTS_AXIS, Unit.SHARE), (text.NATS_AXIS, Unit.NATS_PER_TOKEN)):
        by_arm = [_rows(comparison, units) for comparison in shown]
        metrics = list(dict.fromkeys(metric for rows in by_arm for metric in rows))
        if metrics:
            panels.append((axis, metrics, by_arm))
    if not panels:
        return None
    baselines = list(dict.fromkeys(short(comparison.baseline.label) for comparison in shown))
    lines = 0.3 + 0.12 * (len(shown) - 1)
    heights = [lines * len(metrics) + 0.55 for _, metrics, _ in panels]
    figure = new_figure(text.intervals_title(baselines, arms_left_out=len(compared) - len(shown)), sum(heights) + 1.3)
    places = [arm.label for arm in arms]
    looks = [look(theme, places.index(comparison.arm.label)) for comparison in shown]
    drawn = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (axis, metrics, by_arm) in zip(drawn, panels, strict=True):
        _panel(axes, metrics, by_arm, looks, margins, theme, text)
        axes.set_xlabel(axis)
        if metrics[0].is_ratio:
            _ratio_axis(axes)
    handles = [
        Line2D([], [], color=how.colour, marker=how.marker, linestyle="-", linewidth=1.8, label=short(each.arm.label))
        for each, how in zip(shown, looks, strict=True)
    ]
    legend(figure, handles)
    return figure


def _rows(comparison: Comparison, unit: Unit | None) -> dict[Metric, _Row]:
    """Return what is drawn of those differences that have `unit`; None: of the ratios."""
    rows = {}
    for paired in comparison.differences:
        fits = paired.metric.is_ratio if unit is None else paired.metric.unit is unit
        if fits and paired.metric.more_is_better is not None and (effect := paired.effect) is not None:
            judgement = comparison.judgement(paired.metric)
            rows[paired.metric] = _Row(*_scaled(paired, effect), judgement.word if judgement else None)
    return rows


def _scaled(paired: PairedDifference, effect: float) -> tuple[float, Interval | None]:
    scale = 100 if paired.metric.unit is Unit.SHARE else 1
    interval = paired.interval
    return scale * effect, interval and Interval(scale * interval.low, scale * interval.high)


def _panel(
    axes: Axes,
    metrics: Sequence[Metric],
    by_arm: Sequence[Mapping[Metric, _Row]],
    looks: Sequence[Look],
    margins: Margins,
    theme: Theme,
    text: Text,
) -> None:
    step = 0.7 / max(1, len(by_arm) - 1)
    limit = math.log(_WIDEST_RATIO) if metrics[0].is_ratio else math.inf
    for line, metric in enumerate(metrics):
        if line % 2 == 0:
            axes.axhspan(line - 0.5, line + 0.5, color=theme.band, linewidth=0, zorder=0)
        margin, scale = margins.of(metric), 100 if metric.unit is Unit.SHARE else 1
        axes.fill_between(
            [scale * margin.low, scale * margin.high], line - 0.5, line + 0.5, color=theme.margin, linewidth=0, zorder=1
        )
    for place, (rows, how) in enumerate(zip(by_arm, looks, strict=True)):
        for metric, row in rows.items():
            height = metrics.index(metric) + (place - (len(by_arm) - 1) / 2) * step
            _draw(axes, height, row, how, theme, limit)
    axes.axvline(0, color=theme.text, linewidth=1, zorder=2)
    axes.set_yticks(range(len(metrics)), [text.METRICS[metric.key] for metric in metrics])
    axes.set_ylim(len(metrics) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.06)


def _draw(axes: Axes, height: float, row: _Row, how: Look, theme: Theme, limit: float) -> None:
    if row.interval is not None:
        low, high = max(row.interval.low, -limit), min(row.interval.high, limit)
        axes.plot([low, high], [height, height], color=how.colour, linewidth=1.8, solid_capstyle="butt", zorder=3)
        for end, beyond, marker in ((low, row.interval.low < -limit, "<"), (high, row.interval.high > limit, ">")):
            if beyond:
                axes.plot([end], [height], marker, ms=5, color=how.colour, zorder=3)
    decided = row.word in (Word.BETTER, Word.WORSE, Word.EQUIVALENT)
    face = how.colour if decided else theme.page
    place = min(max(row.effect, -limit), limit)
    axes.plot([place], [height], how.marker, ms=6, markerfacecolor=face, markeredgecolor=how.colour, zorder=4)


def _ratio_axis(axes: Axes) -> None:
    """Label the log of a ratio by the ratio."""
    low, high = axes.get_xlim()
    least = (high - low) / 14
    chosen: list[float] = []
    for ratio in sorted(_TICKS, key=lambda ratio: abs(math.log(ratio))):
        place = math.log(ratio)
        if low <= place <= high and all(abs(place - math.log(other)) >= least for other in chosen):
            chosen.append(ratio)
    chosen.sort()
    axes.xaxis.set_major_locator(FixedLocator([math.log(ratio) for ratio in chosen]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{ratio:.2f}".rstrip("0").rstrip(".") for ratio in chosen])
