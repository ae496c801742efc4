"""A report from the records of one or several sweeps: report.md, report.html, figures/ and runs.csv."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from harness.base.files import write_atomically
from harness.comparison.columns import to_frame
from harness.comparison.findings import Findings, find
from harness.comparison.runs import load_sweep
from harness.report import figures
from harness.report.content import Content, content_of
from harness.report.examples import Examples
from harness.report.markdown import Markdown, cut, escape, fenced, text_table, to_html
from harness.report.text import Picture, Table, Text, text_in
from harness.report.traces import memory_traces
from harness.runs.record import Answer


@dataclass(frozen=True)
class DrawnFigure:
    path: Markdown
    """Relative to report.md."""
    alt: str


@dataclass(frozen=True)
class Rendered:
    """A report that was written, and what it rests on."""

    path: Path
    """Of report.md."""
    verdict: list[str]
    """What it opens with, a sentence an item."""
    findings: Findings


def render(
    sweep_dirs: Sequence[Path], output: Path, only: Collection[Path] | None = None, language: str = "en"
) -> Rendered:
    """Write the report on all runs in `sweep_dirs`, or on the runs `only`, into `output`.

    Files of an earlier report there are replaced; any others are left alone. Raises OSError where a folder cannot be
    read or `output` not be written, and UserError for a language that no report is written in."""
    text = text_in(language)
    output.mkdir(parents=True, exist_ok=True)
    findings = find(load_sweep(*sweep_dirs, only=only))
    content = content_of(findings, text)
    drawn = _draw(findings, output / "figures", text)
    values = {field.name: getattr(content, field.name) for field in fields(Content)}
    markdown = _markdown_environment(text).get_template("report.md.j2").render(values, figures=drawn)
    shell = Environment(loader=PackageLoader("harness.report"), undefined=StrictUndefined, autoescape=True)
    page = shell.get_template("report.html.j2").render(
        language=text.language, title=content.title, body=to_html(markdown, output)
    )
    write_atomically(output / "report.md", markdown)
    write_atomically(output / "report.html", page)
    runs = to_frame((run.label, run.record, _relative_to_cwd(run.folder.path)) for run in findings.sweep.runs)
    write_atomically(output / "runs.csv", runs.to_csv(index=False))
    return Rendered(output / "report.md", content.verdict.all(), findings)


def _markdown_environment(text: Text) -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.report"),
        undefined=StrictUndefined,
        finalize=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )

    def answers(examples: Examples, arm: Answer, baseline: Answer) -> Markdown:
        rows = [
            [label, *(cut(part, text.report.more_characters) for part in (answer.answer, answer.extracted))]
            for label, answer in ((examples.baseline, baseline), (examples.arm, arm))
        ]
        return text_table(text.titles.HEADERS[Table.EXAMPLE], rows)

    environment.filters["cut"] = lambda words: cut(words, text.report.more_characters)
    environment.globals |= {
        "fenced": fenced,
        "answers": answers,
        "text": text.report,
        "headings": {section.value: heading for section, heading in text.titles.HEADINGS.items()},
        "explanations": {section.value: words for section, words in text.titles.EXPLANATIONS.items()},
    }
    return environment


def _draw(findings: Findings, folder: Path, text: Text) -> list[DrawnFigure]:
    arms, comparisons, runs = findings.arms, findings.comparisons, findings.sweep.runs
    drawings: dict[Picture, Callable[[], Figure | None]] = {
        Picture.LOSS: lambda: figures.losses(arms, text),
        Picture.MEMORY: lambda: figures.memory(*memory_traces(runs), text),
        Picture.DIFFERENCES: lambda: figures.differences(arms, comparisons, text),
    }
    return [
        DrawnFigure(Markdown(f"figures/{picture}.png"), text.titles.PICTURES[picture])
        for picture, draw in drawings.items()
        if figures.save(draw, folder / f"{picture}.png")
    ]


def _relative_to_cwd(folder: Path) -> Path:
    """Return `folder` relative to where the command was given, if it is below: so a report names no user's home."""
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
