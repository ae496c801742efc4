"""The three figures of a report. Each function returns a figure, or None where there is nothing to draw."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib
import pandas
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.comparison.arms import Arm
from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.intervals import Interval
from harness.devices.reading import Quantity
from harness.report.traces import MemoryTrace, loss_curve
from harness.runs.events import Phase

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
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Microsoft YaHei",
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
    """Write what `draw` makes as PNG; where it makes nothing, take away what an earlier report left there."""
    with matplotlib.rc_context(cast(Any, _style())), warnings.catch_warnings():
        # An arm's name may use a script that no installed font has; boxes then stand for it, once a letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = draw()
        if figure is None:
            path.unlink(missing_ok=True)
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                figure.savefig(file, format="png")
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
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


def _draw_losses(axes: Axes, curves: Sequence[Mapping[int, float]], look: Mapping[str, Any], marker: str) -> None:
    curves = [curve for curve in curves if curve]
    for curve in curves:
        alone = len(curves) == 1
        axes.plot(
            list(curve),
            list(curve.values()),
            linewidth=1.8 if alone else 0.7,
            alpha=1.0 if alone else 0.45,
            marker=marker if alone or len(curve) == 1 else "",
            markersize=3.5,
            **look,
        )
    if len(curves) > 1:
        mean = pandas.DataFrame([pandas.Series(curve) for curve in curves]).dropna(axis=1).mean().sort_index()
        axes.plot(mean.index, mean.to_numpy(), linewidth=1.8, marker=marker, markersize=3.5, **look)


def losses(arms: Sequence[Arm]) -> Figure | None:
    """Training and validation loss by optimizer step; what runs that failed had reached is shown too."""
    curves = {arm.label: [loss_curve(run) for run in arm.runs] for arm in arms}
    kinds = {
        "training": {label: [curve.training for curve in some] for label, some in curves.items()},
        "validation": {label: [curve.validation for curve in some] for label, some in curves.items()},
    }
    kinds = {kind: by_arm for kind, by_arm in kinds.items() if any(map(any, by_arm.values()))}
    if not kinds:
        return None
    several = any(sum(map(bool, some)) > 1 for by_arm in kinds.values() for some in by_arm.values())
    seeds = "; thin lines are seeds, thick lines their mean" if several else ""
    figure = _figure(f"{' and '.join(kinds).capitalize()} loss over the optimizer steps{seeds}", 4.2)
    panels = figure.subplots(1, len(kinds), squeeze=False)[0]
    for axes, (kind, by_arm) in zip(panels, kinds.items(), strict=True):
        for index, some in enumerate(by_arm.values()):
            _draw_losses(axes, some, _look(index), "" if kind == "training" else "o")
        axes.set(xlabel="optimizer step", ylabel=f"{kind} loss (nats/token)")
        axes.xaxis.get_major_locator().set_params(integer=True)
    _legend(figure, [Line2D([], [], label=_short(label), linewidth=1.8, **_look(i)) for i, label in enumerate(curves)])
    return figure


def _time_unit(seconds: float) -> tuple[float, str]:
    return (3600.0, "h") if seconds > 3 * 3600 else (60.0, "min") if seconds > 300 else (1.0, "s")


def _panel(axes: Axes, label: str, trace: MemoryTrace | None, colour: str, unit: float) -> None:
    if trace is None:
        axes.set_title(_short(label))
        axes.text(0.5, 0.5, "no readings", transform=axes.transAxes, ha="center", color="#666666")
        axes.grid(visible=False)
        return
    outcome = "" if trace.run.completed else f", {trace.run.record.status.value}"
    axes.set_title(f"{_short(label)}, seed {trace.run.record.seed}{outcome}: peak {trace.training_peak_mib():,.0f} MiB")
    for span in trace.spans:
        axes.axvspan(
            span.start_seconds / unit, span.end_seconds / unit, color=PHASE_COLOURS[span.phase], linewidth=0, zorder=0
        )
    axes.plot(trace.seconds / unit, trace.mib, color=colour, linewidth=1.2, marker="." if len(trace.mib) < 3 else "")


def memory(quantity: Quantity, traces: Mapping[str, MemoryTrace | None]) -> Figure | None:
    """Memory over the time of one run an arm, its phases shaded."""
    shown = [trace for trace in traces.values() if trace is not None]
    if not shown:
        return None
    end = max(
        *(float(trace.seconds[-1]) for trace in shown),
        *(span.end_seconds for trace in shown for span in trace.spans),
        1.0,
    )
    unit, name = _time_unit(end)
    columns = min(2, len(traces))
    rows = -(-len(traces) // columns)
    what = "used on the chips" if quantity is Quantity.DEVICE else "private to the run's processes on the host"
    sensor = ", ".join(sorted({trace.sensor for trace in shown}))
    figure = _figure(f"Memory {what} ({sensor}); the peak named is that up to the end of training", 1.1 + 2.5 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for index, (axes, (label, trace)) in enumerate(zip(panels.flat, traces.items(), strict=False)):
        _panel(axes, label, trace, COLOURS[index % len(COLOURS)], unit)
    for axes in panels.flat[len(traces) :]:
        axes.remove()
    for axes in panels[:, 0]:
        axes.set_ylabel("MiB")
        axes.yaxis.set_major_formatter("{x:,.0f}")
    for index in range(max(0, len(traces) - columns), len(traces)):
        panels.flat[index].set_xlabel(f"time since the run's start ({name})")
        panels.flat[index].tick_params(labelbottom=True)
    panels[0, 0].set_ylim(bottom=0)
    panels[0, 0].set_xlim(0, end / unit)
    phases = {span.phase for trace in shown for span in trace.spans}
    _legend(figure, [Patch(color=PHASE_COLOURS[one], label=one.value) for one in Phase if one in phases])
    return figure


def _row(axes: Axes, height: float, mean: float, interval: Interval | None, colour: str) -> None:
    tells = interval is not None and interval.excludes_zero()
    if interval is not None:
        axes.plot([interval.low, interval.high], [height, height], color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot(
        mean, height, "o", markersize=6, markerfacecolor=colour if tells else "white", markeredgecolor=colour, zorder=3
    )


def _differences_panel(
    axes: Axes,
    comparisons: Sequence[Comparison],
    values: Callable[[PairedDifference], tuple[float, Interval | None] | None],
    colours: Mapping[str, str],
) -> None:
    titles = list(dict.fromkeys(one.metric.title for some in comparisons for one in some.differences if values(one)))
    step = 0.7 / max(1, len(comparisons) - 1) if len(comparisons) > 1 else 0.0
    for place, comparison in enumerate(comparisons):
        for one in comparison.differences:
            value = values(one)
            if value is not None:
                height = titles.index(one.metric.title) + (place - (len(comparisons) - 1) / 2) * step
                _row(axes, height, *value, colours[one.arm])
    for row in range(0, len(titles), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#F5F5F5", linewidth=0, zorder=0)
    axes.axvline(0, color="#444444", linewidth=1)
    axes.set_yticks(range(len(titles)), titles)
    axes.set_ylim(len(titles) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.06)


def _relative(one: PairedDifference) -> tuple[float, Interval | None] | None:
    if one.metric.answers or one.metric.better is None or one.relative_percent is None:
        return None
    return one.relative_percent, one.relative_interval


def _points(one: PairedDifference) -> tuple[float, Interval | None] | None:
    if not one.metric.answers:
        return None
    interval = one.interval and Interval(100 * one.interval.low, 100 * one.interval.high)
    return 100 * one.mean, interval


def differences(arms: Sequence[Arm], comparisons: Sequence[Comparison]) -> Figure | None:
    """Every paired difference with its interval: costs in percent of the baseline, accuracy in points."""
    comparisons = [one for one in comparisons if one.differences]
    panels = [
        (values, unit, len({one.metric.key for some in comparisons for one in some.differences if values(one)}))
        for values, unit in ((_relative, "difference (% of the baseline's mean)"), (_points, "difference (points)"))
    ]
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        return None
    baselines = " or ".join(dict.fromkeys(_short(one.baseline.label) for one in comparisons))
    lines = 0.3 + 0.12 * max(0, len(comparisons) - 1)
    heights = [lines * rows + 0.55 for _, _, rows in panels]
    figure = _figure(
        f"Paired difference to {baselines} with its 95% interval\n"
        "filled: the interval excludes zero; hollow: it does not, or there is none",
        sum(heights) + 1.2,
    )
    colours = {arm.label: COLOURS[index % len(COLOURS)] for index, arm in enumerate(arms)}
    drawn = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (values, unit, _) in zip(drawn, panels, strict=True):
        _differences_panel(axes, comparisons, values, colours)
        axes.set_xlabel(unit)
    _legend(
        figure,
        [
            Line2D([], [], color=colours[one.arm.label], marker="o", linewidth=1.8, label=_short(one.arm.label))
            for one in comparisons
        ],
    )
    return figure
