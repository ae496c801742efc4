"""A report from the records of one or several sweeps: report.md, report.html, figures/ and runs.csv."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from harness.comparison.arms import Arm, arms_of
from harness.comparison.columns import to_frame
from harness.comparison.differences import Comparison, compare
from harness.comparison.runs import Sweep, load_sweep
from harness.report import figures
from harness.report.content import Content, content_of
from harness.report.examples import Examples
from harness.report.markdown import Markdown, cut, escape, fenced, text_table, to_html
from harness.report.traces import memory_traces
from harness.runs.record import Answer, write_atomically


@dataclass(frozen=True)
class DrawnFigure:
    path: Markdown
    alt: str


def _answers(examples: Examples, ours: Answer, theirs: Answer) -> Markdown:
    rows = [
        [examples.baseline, cut(theirs.answer), cut(theirs.extracted)],
        [examples.arm, cut(ours.answer), cut(ours.extracted)],
    ]
    return text_table(["", "Generated", "Taken as the answer"], rows)


def _markdown_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.report"),
        undefined=StrictUndefined,
        finalize=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters |= {"cut": cut, "outcome": lambda correct: "right" if correct else "wrong"}
    environment.globals |= {"fenced": fenced, "answers": _answers}
    return environment


def _draw(sweep: Sweep, arms: Sequence[Arm], comparisons: Sequence[Comparison], folder: Path) -> list[DrawnFigure]:
    drawings: list[tuple[str, str, Callable[[], Figure | None]]] = [
        ("loss", "Training and validation loss by optimizer step", lambda: figures.losses(arms)),
        ("memory", "Memory over time with the phases of a run", lambda: figures.memory(*memory_traces(sweep.runs))),
        (
            "differences",
            "Paired differences to the baseline with their intervals",
            lambda: figures.differences(arms, comparisons),
        ),
    ]
    return [
        DrawnFigure(Markdown(f"figures/{name}.png"), alt)
        for name, alt, draw in drawings
        if figures.save(draw, folder / f"{name}.png")
    ]


def _from_here(folder: Path) -> Path:
    """Relative to where the command was given, if it is below: a report that is passed on names no user's home."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


@dataclass(frozen=True)
class Rendered:
    path: Path
    """Of report.md."""
    said: list[str]
    """What it opens with, a sentence an item."""


def render(sweep_dirs: Sequence[Path], output: Path, only: Collection[Path] | None = None) -> Rendered:
    """Write the report on all runs in `sweep_dirs`, or on the runs `only`, into `output`.

    Files of an earlier report there are replaced; any others are left alone.
    """
    sweep = load_sweep(*sweep_dirs, only=only)
    output.mkdir(parents=True, exist_ok=True)
    arms = arms_of(sweep)
    comparisons = compare(arms)
    content = content_of(sweep, arms, comparisons)
    drawn = _draw(sweep, arms, comparisons, output / "figures")
    values = {field.name: getattr(content, field.name) for field in fields(Content)}
    text = _markdown_environment().get_template("report.md.j2").render(values, figures=drawn)
    shell = Environment(loader=PackageLoader("harness.report"), undefined=StrictUndefined, autoescape=True)
    page = shell.get_template("report.html.j2").render(title=content.title, body=to_html(text, output))
    write_atomically(output / "report.md", text)
    write_atomically(output / "report.html", page)
    runs = to_frame((run.label, run.record, _from_here(run.folder)) for run in sweep.runs)
    write_atomically(output / "runs.csv", runs.to_csv(index=False))
    verdict = content.verdict
    return Rendered(output / "report.md", [*verdict.sentences, *verdict.others, *verdict.caveats])
