"""A report from the records of one or several sweeps: report.md, report.html, figures/, tables/ and runs.csv."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.base.files import write_atomically
from harness.base.garbage import uncollected
from harness.base.paths import from_cwd
from harness.base.text import visible
from harness.comparison.columns import to_frame
from harness.comparison.findings import Findings, find
from harness.comparison.pooling import started
from harness.comparison.runs import load_sweep
from harness.config.schema import LANGUAGES
from harness.report import figures
from harness.report.content import document
from harness.report.document import Document
from harness.report.files import to_csv, to_latex
from harness.report.html import to_html
from harness.report.markdown import to_markdown
from harness.report.questions import browser
from harness.report.tables import KEYS
from harness.report.text import Text, languages, text_in
from harness.report.verdict import lines

TABLES = "tables"


@dataclass(frozen=True)
class Rendered:
    """A report that was written."""

    path: Path
    """Of report.md."""
    verdict: list[str]
    """Its first screen, a line an item."""


@uncollected()
def render(
    sweep_dirs: Sequence[Path], output: Path, only: Collection[Path] | None = None, language: str | None = None
) -> Rendered:
    """Write the report on all runs in `sweep_dirs`, or on the runs `only`, into `output`.

    Files of an earlier report there are replaced; any others are left alone. Raises OSError where a folder cannot be
    read or `output` not be written, and UserError for a language that no report is written in. `language`: by default
    what the newest run's report.language says."""
    if language is not None:
        text_in(language)
    findings = find(load_sweep(*sweep_dirs, only=only))
    text = text_in(language or _recorded_language(findings))
    output.mkdir(parents=True, exist_ok=True)
    drawn = figures.draw(findings, output, text, text_in("en"))
    report = document(findings, text, drawn.pictures, _notes(drawn, text))
    write_atomically(output / "report.md", to_markdown(report))
    write_atomically(output / "report.html", to_html(report, output, browser(findings.arms, text), text))
    _write_tables(report, output / TABLES)
    runs = to_frame(run.cells | {"folder": visible(str(from_cwd(run.folder.path)))} for run in findings.sweep.runs)
    write_atomically(output / "runs.csv", runs.to_csv(index=False))
    return Rendered(output / "report.md", list(lines(report.sections[0], text)))


def _recorded_language(findings: Findings) -> str:
    records = [run.record for run in findings.sweep.runs]
    told = max(records, key=started).config.get("report") if records else None
    language = told.get("language") if isinstance(told, dict) else None
    return language if language in languages() else LANGUAGES[0]


def _notes(drawn: figures.Drawn, text: Text) -> list[str]:
    missing = [text.MISSING_LETTERS.format(letters=drawn.missing_letters)] if drawn.missing_letters else []
    return [*missing, *([text.FIGURES_IN_ENGLISH] if drawn.in_other_language else [])]


def _write_tables(report: Document, folder: Path) -> None:
    """Write each table, and take away those of an earlier report that this one lacks."""
    written = {table.key: table for table in report.tables()}
    folder.mkdir(exist_ok=True)
    for key in KEYS:
        for path, write in ((folder / f"{key}.csv", to_csv), (folder / f"{key}.tex", to_latex)):
            if key in written:
                write_atomically(path, write(written[key]))
            else:
                path.unlink(missing_ok=True)
