"""What an arm costs against how well it answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.comparison.arms import Arm
from harness.comparison.metrics import (
    ACCURACY,
    LEADING_MEMORY,
    STEP_SECONDS,
    TRAIN_SECONDS,
    VALIDATION_LOSS,
    Metric,
    Unit,
)
from harness.comparison.pareto import dominated, front
from harness.report.figures.theme import Look, Theme, legend, look, new_figure, short
from harness.report.text import Text

FEWEST_FOR_A_FRONT = 3
MOST_LABELLED = 10


def tradeoff(arms: Sequence[Arm], text: Text, theme: Theme) -> Figure | None:
    """Draw accuracy (else validation loss) over memory and over time; None where an arm's cost or worth is unknown.

    From three arms on, those that another beats in nothing are joined by the Pareto front, by their means alone."""
    worth = _shared(arms, (ACCURACY, VALIDATION_LOSS))
    costs = [cost for cost in (_shared(arms, LEADING_MEMORY), _shared(arms, (STEP_SECONDS, TRAIN_SECONDS))) if cost]
    shown = [arm for arm in arms if arm.completed]
    if worth is None or not costs or len(shown) < 2:
        return None
    metrics = [worth, *costs]
    with_front = len(shown) >= FEWEST_FOR_A_FRONT
    hollow = dominated(shown, metrics) if with_front else set()
    figure = new_figure(text.tradeoff_title(with_front, any(len(arm.completed) > 1 for arm in shown)), 4.0)
    panels = figure.subplots(1, len(costs), squeeze=False, sharey=True)[0]
    numbers = {arm.label: number for number, arm in enumerate(arms)}
    for axes, cost in zip(panels, costs, strict=True):
        alike: dict[tuple[Look, bool], list[Arm]] = {}
        for arm in shown:
            alike.setdefault((look(theme, numbers[arm.label]), arm.label in hollow), []).append(arm)
        for (how, is_hollow), several in alike.items():
            _points(axes, several, cost, worth, how, theme.page if is_hollow else how.colour)
        if with_front:
            points = front(shown, cost, worth)
            axes.plot(*zip(*points, strict=True), color=theme.text, linewidth=0.9, linestyle=":", zorder=1)
        axes.set_xlabel(text.axis(cost))
        axes.margins(0.12)
    panels[0].set_ylabel(text.axis(worth))
    if worth.unit is Unit.NATS_PER_TOKEN:
        panels[0].invert_yaxis()
    labelled = shown[:MOST_LABELLED]
    legend(
        figure,
        [_handle(look(theme, numbers[arm.label]), short(arm.label), theme, arm.label in hollow) for arm in labelled],
    )
    return figure


def _shared(arms: Sequence[Arm], metrics: Sequence[Metric]) -> Metric | None:
    """Return the first that every arm with a completed run measured."""
    completed = [arm for arm in arms if arm.completed]
    return next((each for each in metrics if completed and all(arm.values(each) for arm in completed)), None)


def _scaled(arm: Arm, metric: Metric) -> np.ndarray:
    return np.array(list(arm.values(metric).values())) * (100 if metric.unit is Unit.SHARE else 1)


def _points(axes: Axes, arms: Sequence[Arm], cost: Metric, worth: Metric, how: Look, face: str) -> None:
    """Draw arms of one look together: of a thousand arms an artist each would take minutes."""
    means, bars = [], []
    for arm in arms:
        x, y = _scaled(arm, cost), _scaled(arm, worth)
        mean_x, mean_y = x.mean(), y.mean()
        means.append((mean_x, mean_y))
        bars += [[(x.min(), mean_y), (x.max(), mean_y)], [(mean_x, y.min()), (mean_x, y.max())]]
    axes.add_collection(LineCollection(bars, colors=how.colour, linewidths=1.2))
    axes.plot(*zip(*means, strict=True), how.marker, ms=8, markerfacecolor=face, markeredgecolor=how.colour, zorder=3)


def _handle(how: Look, label: str, theme: Theme, hollow: bool) -> Line2D:
    face = theme.page if hollow else how.colour
    return Line2D(
        [], [], label=label, linestyle="", marker=how.marker, ms=7, markerfacecolor=face, markeredgecolor=how.colour
    )
