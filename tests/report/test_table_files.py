"""Tables as files: CSV that computes, LaTeX that compiles."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.report.document import Document, Number, Range, Section, Strong, Table
from harness.report.files import latex_escaped, to_csv, to_latex
from harness.report.render import render
from harness.report.tables import KEYS
from tests.report.pages import document_of
from tests.report.scenes import SCENES

MADE = Table(
    "runs",
    ["Arm", "Ratio", "95% interval", "Values", "Seed"],
    [
        ["lora & [x]", Number("0.82", (0.8213456789012346,)), Range("0.38 to 1.76", (0.3811111, 1.7622222)), "", 3],
        [["a ", Strong("b"), "\n=1"], None, "exact", Number("1.0, 2.0", (1.0, 2.0)), 4],
    ],
    figures=True,
)


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_csv_has_full_precision_and_a_column_for_each_bound() -> None:
    assert rows(to_csv(MADE)) == [
        ["Arm", "Ratio", "95% interval (low)", "95% interval (high)", "Values", "Seed"],
        ["lora & [x]", "0.8213456789012346", "0.3811111", "1.7622222", "", "3"],
        ["a b\n=1", "", "exact", "", "1 2", "4"],
    ]


def test_csv_has_every_row_and_a_page_the_first_ones() -> None:
    long = Table("runs", ["Seed"], [[seed] for seed in range(100)], shown=40)
    assert len(rows(to_csv(long))) == 101
    assert to_latex(long).count(r" \\") == 41


def test_latex_is_a_tabular_of_as_many_columns_everywhere() -> None:
    lines = to_latex(MADE).splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrr}"
    assert lines[-1] == r"\end{tabular}"
    bodies = [line for line in lines if line.endswith(r" \\")]
    assert len(bodies) == 3
    assert {len(re.findall(r"(?<!\\)&", line)) for line in bodies} == {4}
    assert bodies[1].startswith(r"lora \& {[}x]")
    assert bodies[2] == r"a b =1 & -- & exact & 1.0, 2.0 & 4 \\"


@pytest.mark.parametrize("character", list("&%$#_{}~^\\<>|"))
def test_latex_has_nothing_left_that_it_would_obey(character: str) -> None:
    assert latex_escaped(character) != character
    assert latex_escaped(f"a{character}\n\x1b[31mb").count("\n") == 0


def test_latex_of_hostile_text_keeps_its_braces_in_balance() -> None:
    escaped = latex_escaped(r"\input{/etc/passwd} }{ $x$ % ^ ~ [a] * & # _ \\")
    unescaped = re.sub(r"\\[{}&%$#_]", "", escaped)
    assert unescaped.count("{") == unescaped.count("}")
    assert not re.search(r"\\(?!text[a-z]+\{\}|[{}&%$#_])", escaped)


@pytest.mark.parametrize("name", ["three_seeds", "four_arms", "failed_arm"])
def test_each_table_of_a_report_has_its_two_files_with_the_same_columns(name: str, tmp_path: Path) -> None:
    SCENES[name](tmp_path / name)
    document: Document = document_of(tmp_path / name)
    keys = [table.key for table in document.tables()]
    assert len(keys) == len(set(keys)) > 8
    assert set(keys) <= set(KEYS)
    for table in document.tables():
        assert {len(row) for row in table.rows} == {len(table.headers)}, table.key
        widths = {len(row) for row in rows(to_csv(table))}
        assert len(widths) == 1, table.key


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: apt-get install texlive-latex-base")
def test_latex_compiles_whatever_stands_in_a_table(tmp_path: Path) -> None:
    SCENES["failed_arm"](tmp_path / "made")
    hostile = Table("runs", ["a"], [[r"\input{/etc/passwd} }{ $x$ % ^ ~ [a] * & # _ \\"], ["[b]"], ["| < > \x1b[31m"]])
    tables = [*document_of(tmp_path / "made").tables(), MADE, hostile]
    body = "\n\n".join(map(to_latex, tables))
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\begin{document}"
    (tmp_path / "all.tex").write_text(f"{head}\n{body}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]


def test_files_of_tables_that_are_gone_go_and_others_stay(tmp_path: Path) -> None:
    folder, output = tmp_path / "made", tmp_path / "report"
    SCENES["one_seed"](folder)
    (output / "tables").mkdir(parents=True)
    for name in ("merging.csv", "mine.csv"):
        (output / "tables" / name).write_text("old")
    render([folder], output)
    names = {path.name for path in (output / "tables").iterdir()}
    assert {"accuracy.csv", "accuracy.tex", "runs.csv", "verdicts.csv", "mine.csv"} <= names
    assert "merging.csv" not in names


def test_tables_of_examples_have_no_file() -> None:
    unnamed = Table("", ["a"], [["b"]])
    assert Document("t", "en", [Section("s", "S", [unnamed, MADE])]).tables() == [MADE]
