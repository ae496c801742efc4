"""The three figures of a report. Each function returns a figure, or None where there is nothing to draw."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import matplotlib
import pandas
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.base.files import write_atomically
from harness.comparison.arms import Arm
from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.intervals import Interval
from harness.comparison.metrics import Unit
from harness.devices.reading import Quantity
from harness.report.text import Text
from harness.report.traces import LossCurve, MemoryTrace, loss_curve
from harness.runs.events import Phase, TrainingLoss, ValidationLoss

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's, told apart by colour-blind readers too; the faintest is left out."""
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1.5, 1)), (0, (8, 2)))
"""Curves of different arms lie on each other more often than not, so they differ in more than colour."""
PHASE_COLOURS = {
    Phase.LOAD: "#E8E8E8",
    Phase.TRAIN: "#DCEBF7",
    Phase.VALIDATE: "#F5D9B8",
    Phase.SAVE: "#D5EBDD",
    Phase.EVALUATE: "#EADCEC",
}
FONTS = (
    *("DejaVu Sans", "Noto Sans CJK SC", "Source Han Sans SC"),
    *("WenQuanYi Micro Hei", "PingFang SC", "Microsoft YaHei"),
)
WIDTH_INCHES = 9.0
DPI = 160
LABEL_CHARACTERS = 44


def _style() -> dict[str, Any]:
    known = set(font_manager.get_font_names())
    return {
        "font.family": [font for font in FONTS if font in known],
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.6,
        "figure.titlesize": 11,
        "text.parse_math": False,
    }


def save(draw: Callable[[], Figure | None], path: Path) -> bool:
    """Write what `draw` makes as PNG; where it makes nothing, take away what an earlier report left there.

    Returns whether anything was drawn. Raises OSError."""
    with matplotlib.rc_context(cast(Any, _style())), warnings.catch_warnings():
        # An arm's name may use a script that no installed font has; boxes then stand for it, once a letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = draw()
        if figure is None:
            path.unlink(missing_ok=True)
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        image = io.BytesIO()
        figure.savefig(image, format="png")
        write_atomically(path, image.getvalue())
    return True


def _short(label: str) -> str:
    return label if len(label) <= LABEL_CHARACTERS else f"{label[: LABEL_CHARACTERS - 1]}…"


def _look(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)]}


def _figure(title: str, height_inches: float) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), dpi=DPI, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Below the panels, in as many columns as the longest label leaves room for."""
    if handles:
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = max(1, min(len(handles), int(WIDTH_INCHES * 11 / (longest + 8))))
        figure.legend(handles=list(handles), loc="outside lower left", ncols=columns, frameon=False)


def _draw_losses(axes: Axes, curves: Sequence[LossCurve], look: Mapping[str, Any], marker: str) -> None:
    alone = len(curves) == 1
    for curve in curves:
        points = curve.points
        axes.plot(
            list(points),
            list(points.values()),
            linewidth=1.8 if alone else 0.7,
            alpha=1.0 if alone else 0.45,
            marker=marker if alone or len(points) == 1 else "",
            markersize=3.5,
            **look,
        )
        if curve.breaks:
            axes.plot([max(points)], [points[max(points)]], marker="x", markersize=7, color=look["color"])
    if not alone:
        series = [pandas.Series(curve.points) for curve in curves]
        mean = pandas.DataFrame(series).dropna(axis=1).mean().sort_index()
        axes.plot(mean.index, mean.to_numpy(), linewidth=1.8, marker=marker, markersize=3.5, **look)


def losses(arms: Sequence[Arm], text: Text) -> Figure | None:
    """Draw training and validation loss by optimizer step; what runs that failed had reached is shown too."""
    kinds = (TrainingLoss, ValidationLoss)
    curves = {kind: [[loss_curve(run, kind) for run in arm.runs] for arm in arms] for kind in kinds}
    every = [curve for by_arm in curves.values() for by_run in by_arm for curve in by_run]
    # A run that reported no finite loss has no curve, and a kind without any has no panel.
    drawn = {kind: [[curve for curve in by_run if curve.points] for by_run in curves[kind]] for kind in kinds}
    drawn = {kind: by_arm for kind, by_arm in drawn.items() if any(by_arm)}
    if not drawn:
        return None
    title = text.losses_title(
        training=TrainingLoss in drawn,
        validation=ValidationLoss in drawn,
        several=any(len(by_run) > 1 for by_arm in drawn.values() for by_run in by_arm),
        broken=sum(curve.breaks and bool(curve.points) for curve in every),
        without_finite=sum(curve.breaks and not curve.points for curve in every),
    )
    figure = _figure(title, 4.2)
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axes, (kind, by_arm) in zip(panels, drawn.items(), strict=True):
        is_training = kind is TrainingLoss
        for index, by_run in enumerate(by_arm):
            if by_run:
                _draw_losses(axes, by_run, _look(index), "" if is_training else "o")
        ylabel = text.TRAINING_LOSS_AXIS if is_training else text.VALIDATION_LOSS_AXIS
        axes.set(xlabel=text.STEP_AXIS, ylabel=ylabel)
        axes.xaxis.get_major_locator().set_params(integer=True)
    labels = [_short(arm.label) for arm in arms]
    _legend(figure, [Line2D([], [], label=label, linewidth=1.8, **_look(i)) for i, label in enumerate(labels)])
    return figure


def _panel(axes: Axes, label: str, trace: MemoryTrace | None, colour: str, unit: float, text: Text) -> None:
    if trace is None:
        axes.set_title(_short(label))
        axes.text(0.5, 0.5, text.NO_READINGS, transform=axes.transAxes, ha="center", color="#666666")
        axes.grid(visible=False)
        return
    axes.set_title(text.memory_panel(_short(label), trace.run, trace.training_peak_mib()))
    for span in trace.spans:
        start, end = span.start / unit, span.end / unit
        axes.axvspan(start, end, color=PHASE_COLOURS[span.phase], linewidth=0, zorder=0)
    axes.plot(trace.seconds / unit, trace.mib, color=colour, linewidth=1.2, marker="." if len(trace.mib) < 3 else "")


def memory(quantity: Quantity, traces: Mapping[str, MemoryTrace | None], text: Text) -> Figure | None:
    """Draw memory over the time of one run an arm, its phases shaded."""
    shown = [trace for trace in traces.values() if trace is not None]
    if not shown:
        return None
    ends = [float(trace.seconds[-1]) for trace in shown] + [span.end for trace in shown for span in trace.spans]
    end = max(1.0, *ends)
    unit, name = (3600.0, "h") if end > 3 * 3600 else (60.0, "min") if end > 300 else (1.0, "s")
    columns = min(2, len(traces))
    rows = -(-len(traces) // columns)
    sensors = ", ".join(sorted({trace.sensor for trace in shown}))
    figure = _figure(text.MEMORY_TITLE[quantity].format(sensors=sensors), 1.1 + 2.5 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for index, (axes, (label, trace)) in enumerate(zip(panels.flat, traces.items(), strict=False)):
        _panel(axes, label, trace, COLOURS[index % len(COLOURS)], unit, text)
    for axes in panels.flat[len(traces) :]:
        axes.remove()
    for axes in panels[:, 0]:
        axes.set_ylabel("MiB")
        axes.yaxis.set_major_formatter("{x:,.0f}")
    for index in range(max(0, len(traces) - columns), len(traces)):
        panels.flat[index].set_xlabel(text.TIME_AXIS.format(unit=name))
        panels.flat[index].tick_params(labelbottom=True)
    panels[0, 0].set_ylim(bottom=0)
    panels[0, 0].set_xlim(0, end / unit)
    phases = {span.phase for trace in shown for span in trace.spans}
    _legend(figure, [Patch(color=PHASE_COLOURS[phase], label=phase.value) for phase in Phase if phase in phases])
    return figure


_Value: TypeAlias = tuple[float, Interval | None]


def _relative(paired: PairedDifference) -> _Value | None:
    if paired.metric.unit is Unit.SHARE or not paired.metric.is_judged or paired.relative_percent is None:
        return None
    return paired.relative_percent, paired.relative_interval


def _points(paired: PairedDifference) -> _Value | None:
    if paired.metric.unit is not Unit.SHARE:
        return None
    interval = paired.interval and Interval(100 * paired.interval.low, 100 * paired.interval.high)
    return 100 * paired.mean, interval


def _draw_difference(axes: Axes, height: float, mean: float, interval: Interval | None, colour: str) -> None:
    excludes_zero = interval is not None and interval.excludes_zero()
    if interval is not None:
        axes.plot([interval.low, interval.high], [height, height], color=colour, linewidth=1.8, solid_capstyle="butt")
    face = colour if excludes_zero else "white"
    axes.plot(mean, height, "o", markersize=6, markerfacecolor=face, markeredgecolor=colour, zorder=3)


def _differences_panel(
    axes: Axes, keys: Sequence[str], by_arm: Sequence[Mapping[str, _Value]], colours: Sequence[str], text: Text
) -> None:
    step = 0.7 / max(1, len(by_arm) - 1)
    for place, (values, colour) in enumerate(zip(by_arm, colours, strict=True)):
        for key, value in values.items():
            height = keys.index(key) + (place - (len(by_arm) - 1) / 2) * step
            _draw_difference(axes, height, *value, colour)
    for row in range(0, len(keys), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#F5F5F5", linewidth=0, zorder=0)
    axes.axvline(0, color="#444444", linewidth=1)
    axes.set_yticks(range(len(keys)), [text.METRICS[key] for key in keys])
    axes.set_ylim(len(keys) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.06)


def differences(arms: Sequence[Arm], comparisons: Sequence[Comparison], text: Text) -> Figure | None:
    """Draw every paired difference with its interval: costs in percent of the baseline, accuracy in points."""
    comparisons = [comparison for comparison in comparisons if comparison.differences]
    panels = []
    for axis, value_of in ((text.RELATIVE_AXIS, _relative), (text.POINTS_AXIS, _points)):
        by_arm = [
            {paired.metric.key: value for paired in comparison.differences if (value := value_of(paired)) is not None}
            for comparison in comparisons
        ]
        keys = list(dict.fromkeys(key for values in by_arm for key in values))
        if keys:
            panels.append((axis, keys, by_arm))
    if not panels:
        return None
    baselines = list(dict.fromkeys(_short(comparison.baseline.label) for comparison in comparisons))
    lines = 0.3 + 0.12 * (len(comparisons) - 1)
    heights = [lines * len(keys) + 0.55 for _, keys, _ in panels]
    figure = _figure(text.differences_title(baselines), sum(heights) + 1.2)
    labels = [comparison.arm.label for comparison in comparisons]
    places = [arm.label for arm in arms]
    colours = [COLOURS[places.index(label) % len(COLOURS)] for label in labels]
    drawn = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (axis, keys, by_arm) in zip(drawn, panels, strict=True):
        _differences_panel(axes, keys, by_arm, colours, text)
        axes.set_xlabel(axis)
    handles = [
        Line2D([], [], color=colour, marker="o", linewidth=1.8, label=_short(label))
        for label, colour in zip(labels, colours, strict=True)
    ]
    _legend(figure, handles)
    return figure
