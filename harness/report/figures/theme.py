"""What all figures share: colours for a light and a dark page, a look for each arm, fonts, and how they are written."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import matplotlib
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text as DrawnText

from harness.base.files import write_atomically
from harness.runs.events import Phase

_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1.5, 1)), (0, (8, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HATCHES = {Phase.LOAD: "", Phase.TRAIN: "", Phase.VALIDATE: "////", Phase.SAVE: "....", Phase.EVALUATE: "\\\\\\\\"}
"""Phases are told apart in grey print too."""
FONTS = (
    *("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei"),
)
"""Each letter is drawn in the first of these that has it."""
WIDTH_INCHES = 9.0
DPI = 160
LABEL_CHARACTERS = 44


@dataclass(frozen=True)
class Theme:
    """The colours of a page."""

    name: str
    page: str
    text: str
    faint: str
    """Grid lines."""
    band: str
    """Every other row."""
    margin: str
    """Where two arms serve equally well."""
    hatch: str
    arms: tuple[str, ...]
    """By their number. Okabe and Ito's, told apart by colour-blind readers too; the faintest on the page are left out,
    and each is lighter or darker than the one before, for print in grey."""
    phases: Mapping[Phase, str] = field(hash=False)


LIGHT = Theme(
    *("light", "#FFFFFF", "#1A1A1A", "#DDDDDD", "#F5F5F5", "#CFE3D4", "#B0B0B0"),
    arms=("#0072B2", "#D55E00", "#005F45", "#CC79A7", "#7A4B00", "#56B4E9", "#000000"),
    phases={
        Phase.LOAD: "#E8E8E8",
        Phase.TRAIN: "#DCEBF7",
        Phase.VALIDATE: "#F5D9B8",
        Phase.SAVE: "#D5EBDD",
        Phase.EVALUATE: "#EADCEC",
    },
)
DARK = Theme(
    *("dark", "#15181C", "#E6E6E6", "#3A3F45", "#1E2227", "#27463A", "#5A6068"),
    arms=("#56B4E9", "#E69F00", "#2CC295", "#E79CC8", "#F0E442", "#8FB3FF", "#FFFFFF"),
    phases={
        Phase.LOAD: "#2B2F34",
        Phase.TRAIN: "#1D3346",
        Phase.VALIDATE: "#4A3820",
        Phase.SAVE: "#21402F",
        Phase.EVALUATE: "#3D2C45",
    },
)


@dataclass(frozen=True)
class Look:
    """How an arm is drawn, the same in every figure."""

    colour: str
    dash: Any
    marker: str


def look(theme: Theme, number: int) -> Look:
    """Return the look of a report's arm by its number, from 0. Curves of different arms lie on each other more often
    than not, so they differ in more than colour."""
    colours, marker = theme.arms, _MARKERS[number % len(_MARKERS)]
    return Look(colours[number % len(colours)], _DASHES[number % len(_DASHES)], marker)


def hatch(phase: Phase) -> str:
    """Return what a phase is filled with beside its colour."""
    return _HATCHES[phase]


def _font_names() -> set[str]:
    _add_new_fonts()
    return set(font_manager.get_font_names())


@cache
def _add_new_fonts() -> None:
    """matplotlib keeps a list of the fonts that it once found: add those that were installed since."""
    manager = font_manager.fontManager
    known = {font.fname for font in manager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            # As matplotlib does: one that it cannot read is none.
            with suppress(Exception):
                manager.addfont(path)


def _style(theme: Theme) -> dict[str, Any]:
    known = _font_names()
    return {
        "font.family": [font for font in FONTS if font in known],
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.edgecolor": theme.text,
        "axes.facecolor": theme.page,
        "axes.labelcolor": theme.text,
        "figure.facecolor": theme.page,
        "figure.titlesize": 11,
        "grid.color": theme.faint,
        "grid.linewidth": 0.6,
        "hatch.color": theme.hatch,
        "hatch.linewidth": 0.5,
        "legend.labelcolor": theme.text,
        "text.color": theme.text,
        "text.parse_math": False,
        "xtick.color": theme.text,
        "ytick.color": theme.text,
    }


def save(draw: Callable[[Theme], Figure | None], theme: Theme, path: Path) -> set[str] | None:
    """Write what `draw` makes as PNG; where it makes nothing, take away what an earlier report left there.

    Returns the letters in it that no installed font has; None where nothing was drawn. Raises OSError."""
    with matplotlib.rc_context(cast(Any, _style(theme))), warnings.catch_warnings():
        # Boxes then stand for those letters, and the report says which package brings them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = draw(theme)
        if figure is None:
            path.unlink(missing_ok=True)
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        image = io.BytesIO()
        # savefig draws everything once more before, to know its size.
        FigureCanvasAgg(figure).print_png(image)  # type: ignore[no-untyped-call]
        write_atomically(path, image.getvalue())
        drawn = {letter for artist in figure.findobj(DrawnText) for letter in artist.get_text()}
        return {letter for letter in drawn if letter.isprintable() and not letter.isspace()} - _letters()


def can_draw(words: str) -> bool:
    """Return whether some installed font has every letter of `words`."""
    return not {letter for letter in words if not letter.isspace()} - _letters()


def _letters() -> set[str]:
    known = _font_names()
    return set().union(*(_letters_of(font_manager.findfont(font)) for font in FONTS if font in known))


@cache
def _letters_of(file: str) -> frozenset[str]:
    return frozenset(map(chr, FT2Font(file).get_charmap()))


def short(label: str) -> str:
    """Return a label as a figure has room for it."""
    return label if len(label) <= LABEL_CHARACTERS else f"{label[: LABEL_CHARACTERS - 1]}…"


def new_figure(title: str, height_inches: float) -> Figure:
    """Return an empty figure with its title."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), dpi=DPI, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Below the panels, in as many columns as the longest label leaves room for."""
    if handles:
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = max(1, min(len(handles), int(WIDTH_INCHES * 11 / (longest + 8))))
        figure.legend(handles=list(handles), loc="outside lower left", ncols=columns, frameon=False)
