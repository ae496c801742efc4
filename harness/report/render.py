"""A report from the records of one or several sweeps: report.md, report.html, figures/ and runs.csv."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.base.files import write_atomically
from harness.base.paths import from_cwd
from harness.comparison.columns import to_frame
from harness.comparison.findings import Findings, find
from harness.comparison.runs import load_sweep
from harness.report import figures
from harness.report.content import content_of
from harness.report.markdown import Markdown, cut, escape, fenced, table, to_html
from harness.report.text import Text, text_in
from harness.report.traces import memory_traces
from harness.report.verdict import Verdict, verdict


@dataclass(frozen=True)
class Rendered:
    """A report that was written."""

    path: Path
    """Of report.md."""
    verdict: list[str]
    """What it opens with, a sentence an item."""


def render(
    sweep_dirs: Sequence[Path], output: Path, only: Collection[Path] | None = None, language: str = "en"
) -> Rendered:
    """Write the report on all runs in `sweep_dirs`, or on the runs `only`, into `output`.

    Files of an earlier report there are replaced; any others are left alone. Raises OSError where a folder cannot be
    read or `output` not be written, and UserError for a language that no report is written in."""
    text = text_in(language)
    output.mkdir(parents=True, exist_ok=True)
    findings = find(load_sweep(*sweep_dirs, only=only))
    opening = verdict(findings, text)
    document = markdown(findings, opening, text, _draw(findings, output / "figures", text))
    shell = Environment(loader=PackageLoader("harness.report"), undefined=StrictUndefined, autoescape=True)
    page = shell.get_template("report.html.j2").render(
        language=text.language, title=_title(findings, text), body=to_html(document, output)
    )
    write_atomically(output / "report.md", document)
    write_atomically(output / "report.html", page)
    runs = to_frame((run.label, run.record, from_cwd(run.folder.path)) for run in findings.sweep.runs)
    write_atomically(output / "runs.csv", runs.to_csv(index=False))
    return Rendered(output / "report.md", opening.all())


def markdown(findings: Findings, opening: Verdict, text: Text, drawn: Sequence[tuple[Markdown, str]] = ()) -> str:
    """Return the report as Markdown, with the figures that were drawn: for each its path and what it shows."""
    environment = Environment(
        loader=PackageLoader("harness.report"),
        undefined=StrictUndefined,
        finalize=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["cut"] = partial(cut, mark=text.MORE_CHARACTERS)
    environment.globals |= {"fenced": fenced, "table": table, "text": text}
    template = environment.get_template("report.md.j2")
    content = content_of(findings, text)
    return template.render(content, title=_title(findings, text), verdict=opening, figures=drawn)


def _title(findings: Findings, text: Text) -> str:
    return text.title(list(dict.fromkeys(folder.resolve().name for folder in findings.sweep.folders)))


def _draw(findings: Findings, folder: Path, text: Text) -> list[tuple[Markdown, str]]:
    """Return the path of each figure, relative to report.md, and what it shows."""
    arms, comparisons, runs = findings.arms, findings.comparisons, findings.sweep.runs
    drawings = {
        "loss": lambda: figures.losses(arms, text),
        "memory": lambda: figures.memory(*memory_traces(runs), text),
        "differences": lambda: figures.differences(arms, comparisons, text),
    }
    return [
        (Markdown(f"figures/{name}.png"), text.PICTURES[name])
        for name, draw in drawings.items()
        if figures.save(draw, folder / f"{name}.png")
    ]
