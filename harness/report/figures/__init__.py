"""The figures of a report, each for a light and for a dark page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from harness.comparison.findings import Findings
from harness.report.document import Picture
from harness.report.figures.intervals import intervals
from harness.report.figures.losses import losses
from harness.report.figures.memory import MOST_PANELS, memory
from harness.report.figures.theme import DARK, LIGHT, Theme, can_draw, save
from harness.report.figures.tradeoff import tradeoff
from harness.report.text import Text
from harness.report.traces import memory_traces

FOLDER = "figures"


@dataclass(frozen=True)
class Drawn:
    """What was drawn for a report."""

    pictures: dict[str, Picture]
    """By name: tradeoff, intervals, loss, memory. One that there is nothing for is not here."""
    missing_letters: str
    """Those that no installed font has; boxes stand for them."""
    in_other_language: bool
    """Whether the figures are in English, since no installed font has the letters of the report's language."""


def draw(findings: Findings, output: Path, text: Text, fallback: Text) -> Drawn:
    """Write the figures into `output`/figures. `fallback`: what they say where no font has the letters of `text`.

    Raises OSError."""
    words = text if can_draw(text.STEP_AXIS + text.RATIO_AXIS + text.NO_READINGS) else fallback
    arms, comparisons, margins = findings.arms, findings.comparisons, findings.margins
    traces = memory_traces(findings.sweep.runs, MOST_PANELS)
    drawings: dict[str, Callable[[Theme], Figure | None]] = {
        "tradeoff": lambda theme: tradeoff(arms, words, theme),
        "intervals": lambda theme: intervals(arms, comparisons, margins, words, theme),
        "loss": lambda theme: losses(arms, words, theme),
        "memory": lambda theme: memory(*traces, words, theme),
    }
    pictures, missing = {}, set()
    for name, drawing in drawings.items():
        files = {theme: f"{FOLDER}/{name}{'' if theme is LIGHT else f'-{theme.name}'}.png" for theme in (LIGHT, DARK)}
        letters = [save(drawing, theme, output / file) for theme, file in files.items()]
        if letters[0] is not None:
            missing |= letters[0]
            pictures[name] = Picture(files[LIGHT], text.PICTURES[name], files[DARK])
    return Drawn(pictures, "".join(sorted(missing)), words is not text)
