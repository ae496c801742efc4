"""Memory over the time of a run, its phases shaded."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.devices.reading import Quantity
from harness.report.figures.theme import Look, Theme, hatch, legend, look, new_figure, short
from harness.report.text import Text
from harness.report.traces import MemoryTrace
from harness.runs.events import Phase

MOST_PANELS = 8


def memory(quantity: Quantity, traces: Mapping[str, MemoryTrace | None], text: Text, theme: Theme) -> Figure | None:
    """Draw one run an arm, of the first arms. `traces`: of every arm, in the report's order."""
    shown = dict(list(traces.items())[:MOST_PANELS])
    measured = [trace for trace in shown.values() if trace is not None]
    if not measured:
        return None
    ends = [float(trace.seconds[-1]) for trace in measured] + [span.end for trace in measured for span in trace.spans]
    end = max(1.0, *ends)
    unit, name = (3600.0, "h") if end > 3 * 3600 else (60.0, "min") if end > 300 else (1.0, "s")
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    sensors = ", ".join(sorted({trace.sensor for trace in measured}))
    title = text.memory_title(quantity, sensors, arms_left_out=len(traces) - len(shown))
    figure = new_figure(title, 1.1 + 2.5 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for number, (axes, (label, trace)) in enumerate(zip(panels.flat, shown.items(), strict=False)):
        _panel(axes, label, trace, look(theme, number), theme, unit, text)
    for axes in panels.flat[len(shown) :]:
        axes.remove()
    for axes in panels[:, 0]:
        axes.set_ylabel("MiB")
        axes.yaxis.set_major_formatter("{x:,.0f}")
    for index in range(max(0, len(shown) - columns), len(shown)):
        panels.flat[index].set_xlabel(text.TIME_AXIS.format(unit=name))
        panels.flat[index].tick_params(labelbottom=True)
    panels[0, 0].set_ylim(bottom=0)
    panels[0, 0].set_xlim(0, end / unit)
    phases = {span.phase for trace in measured for span in trace.spans}
    handles = [
        Patch(facecolor=theme.phases[phase], hatch=hatch(phase), edgecolor=theme.faint, label=text.PHASES[phase])
        for phase in Phase
        if phase in phases
    ]
    legend(figure, handles)
    return figure


def _panel(axes: Axes, label: str, trace: MemoryTrace | None, arm: Look, theme: Theme, unit: float, text: Text) -> None:
    if trace is None:
        axes.set_title(short(label))
        axes.text(0.5, 0.5, text.NO_READINGS, transform=axes.transAxes, ha="center")
        axes.grid(visible=False)
        return
    axes.set_title(text.memory_panel(short(label), trace.run, trace.training_peak_mib()))
    for span in trace.spans:
        axes.axvspan(
            span.start / unit,
            span.end / unit,
            facecolor=theme.phases[span.phase],
            hatch=hatch(span.phase),
            edgecolor=theme.faint,
            linewidth=0,
            zorder=0,
        )
    axes.plot(
        trace.seconds / unit,
        trace.mib,
        color=arm.colour,
        linestyle=arm.dash,
        linewidth=1.4,
        marker="." if len(trace.mib) < 3 else "",
    )
