"""Training and validation loss by optimizer step, a band over an arm's seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.comparison.arms import Arm
from harness.report.figures.theme import Look, Theme, legend, look, new_figure, short
from harness.report.text import Text
from harness.report.traces import LossCurve, loss_band, loss_curves
from harness.runs.events import TrainingLoss, ValidationLoss

MOST_ARMS = 8
"""More curves than these cannot be told apart."""
MOST_RUNS = 100
"""Of an arm: a band over more looks the same, and each is to be read."""


def losses(arms: Sequence[Arm], text: Text, theme: Theme) -> Figure | None:
    """Draw the losses of the first arms; what runs that failed had reached is shown too."""
    kinds = (TrainingLoss, ValidationLoss)
    drawn_arms = arms[:MOST_ARMS]
    read = [[loss_curves(run) for run in arm.runs[:MOST_RUNS]] for arm in drawn_arms]
    curves = {kind: [[pair[place] for pair in by_run] for by_run in read] for place, kind in enumerate(kinds)}
    every = [curve for by_arm in curves.values() for by_run in by_arm for curve in by_run]
    # A run that reported no finite loss has no curve, and a kind without any has no panel.
    drawn = {kind: [[curve for curve in by_run if len(curve.steps)] for by_run in curves[kind]] for kind in kinds}
    drawn = {kind: by_arm for kind, by_arm in drawn.items() if any(by_arm)}
    if not drawn:
        return None
    title = text.losses_title(
        training=TrainingLoss in drawn,
        validation=ValidationLoss in drawn,
        several=any(len(by_run) > 1 for by_arm in drawn.values() for by_run in by_arm),
        broken=sum(curve.breaks and len(curve.steps) > 0 for curve in every),
        without_finite=sum(curve.breaks and len(curve.steps) == 0 for curve in every),
        arms_left_out=len(arms) - len(drawn_arms),
        runs_left_out=sum(max(0, len(arm.runs) - MOST_RUNS) for arm in drawn_arms),
    )
    figure = new_figure(title, 4.2)
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axes, (kind, by_arm) in zip(panels, drawn.items(), strict=True):
        is_training = kind is TrainingLoss
        for number, by_run in enumerate(by_arm):
            if by_run:
                _draw(axes, by_run, look(theme, number), with_markers=not is_training)
        axes.set(xlabel=text.STEP_AXIS, ylabel=text.TRAINING_LOSS_AXIS if is_training else text.VALIDATION_LOSS_AXIS)
        axes.xaxis.get_major_locator().set_params(integer=True)
    handles = [_handle(look(theme, number), short(arm.label)) for number, arm in enumerate(drawn_arms)]
    legend(figure, handles)
    return figure


def _handle(arm: Look, label: str) -> Line2D:
    return Line2D([], [], label=label, linewidth=1.8, color=arm.colour, linestyle=arm.dash, marker=arm.marker, ms=4)


def _draw(axes: Axes, curves: Sequence[LossCurve], arm: Look, with_markers: bool) -> None:
    band = loss_band(curves)
    steps = band.steps
    # Of thousands of runs one artist each would take minutes.
    lines = [np.column_stack([curve.steps, curve.losses]) for curve in band.others]
    if lines:
        axes.add_collection(LineCollection(lines, linewidths=0.8, alpha=0.6, colors=arm.colour, linestyles=[arm.dash]))
    ends = [(curve.steps[-1], curve.losses[-1]) for curve in curves if curve.breaks]
    if ends:
        axes.plot(*zip(*ends, strict=True), marker="x", markersize=7, color=arm.colour, linestyle="")
    if len(band.losses) > 1:
        low, high = band.losses.min(axis=0), band.losses.max(axis=0)
        axes.fill_between(steps, low, high, color=arm.colour, alpha=0.2, linewidth=0)
    every = max(1, len(steps) // 8) if not with_markers else 1
    axes.plot(
        steps,
        band.losses.mean(axis=0),
        linewidth=1.8,
        color=arm.colour,
        linestyle=arm.dash,
        marker=arm.marker,
        markevery=every,
        markersize=4,
    )
