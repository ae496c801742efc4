"""Ten sweeps, each told truthfully from the first screen to the limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.comparison.findings import find
from harness.comparison.runs import load_sweep
from harness.report import figures
from harness.report.render import render
from tests.builders import RunBuilder
from tests.report.pages import document_of, opening, page
from tests.report.scenes import SCENES, write

SAID = {
    "three_seeds": ["**Better**: memory (0.53 times lora's", "**Worse**: time (1.17 times lora's"],
    "one_seed": ["seed 42 alone: this speaks of two adapters", "seed=42,43,44,45,46"],
    "failed_arm": ["qlora has no completed run (2 failed).", "### failed: qlora, seed 0", "Traceback"],
    "out_of_memory": ["> lora lacks seed 2 (out of memory)", "tried to allocate 9 GiB Its memory had reached"],
    "missing_sensors": ["**Not measured**: memory", "- Memory was not measured.", "- Energy was not measured."],
    "no_evaluation": ["**Not measured**: accuracy", "- Accuracy was not measured: "],
    "four_arms": [
        *("| Fits in 16,000 MiB | **qlora, qlora-rank16, lora-int8** |", "they were not tested against each other"),
        "method.rank | 16 | 8 | answers, memory, time (declared) |",
    ],
    "diverged": ["> qlora, seed 1 diverged: its loss was not finite at step 20.", "not finite: seed 1"],
    "adopted": ["Their files do not tell: memory, accuracy, the machine.", "completed, adopted"],
    "mixed_versions": ["**No verdict**: accuracy", "version of torch", "Not recorded by both"],
}
NEVER = ("cannot tell from noise", "±", "None", "nan", "in no other key", "{", "not distinguishable")
"""In no report."""


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_says_what_it_must_and_nothing_that_nobody_should_read(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    SCENES[name](folder)
    text = page(folder)
    for words in SAID[name]:
        assert words in text, words
    for words in NEVER:
        assert not re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text), words
    sections = [line for line in text.splitlines() if line.startswith("## ")]
    assert sections[0] == "## In short"
    assert sections[-1] == "## Limits"


@pytest.mark.parametrize("name", SCENES)
def test_every_line_of_a_verdict_leads_with_its_word(name: str, tmp_path: Path) -> None:
    SCENES[name](tmp_path / name)
    lines = opening(tmp_path / name)
    verdict = lines[lines.index("Verdict") + 1 :]
    bullets = [line.strip() for line in verdict if line.startswith("  - ") and ": " in line]
    own = [line for line in bullets if re.match(r"- \w", line)][:3]
    words = ("Better", "Worse", "Equivalent", "Not worse by the margin", "Undecided", "No verdict", "Not measured")
    assert own
    assert all(line.removeprefix("- ").startswith(tuple(f"{word}: " for word in words)) for line in own)


def test_a_report_is_the_same_each_time(tmp_path: Path) -> None:
    SCENES["four_arms"](tmp_path / "made")
    first, second = (render([tmp_path / "made"], tmp_path / "report") for _ in range(2))
    assert first == second
    assert page(tmp_path / "made") == page(tmp_path / "made")


def test_no_interval_passes_minus_a_hundred_percent(tmp_path: Path) -> None:
    for seed, seconds in enumerate((0.5, 2.0, 1.0)):
        for arm, factor in (("lora", seconds), ("qlora", 1 / seconds)):
            write(RunBuilder(tmp_path / "made", arm, seed, quantized=arm == "qlora", step_seconds=factor))
    (said,) = [line for line in opening(tmp_path / "made") if "Undecided: time" in line]
    low = float(said.split("95% interval ")[1].split(" to ")[0].replace(",", ""))
    assert 0 < low < 1
    assert "%" not in said.split("interval")[1].split(";")[0]


def test_many_arms_and_many_seeds_are_cut_with_a_word_and_the_files_have_them(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    for place in range(30):
        for seed in range(3):
            arm = f"arm{place}" if place else "lora"
            RunBuilder(folder, arm, seed, readings=False, peak_mib=400.0 + place + seed).write()
    document = document_of(folder)
    for table in document.tables():
        assert len(table.shown_rows) <= 100, table.key
        assert (table.shown is None) == (table.rest == ""), table.key
    runs = next(table for table in document.tables() if table.key == "runs")
    assert len(runs.rows) == 90
    text = page(folder)
    assert "Left out here: 50 further rows. They are in tables/runs.csv." in text
    assert "The verdicts of 24 further arms are in tables/verdicts.csv." in text
    assert len(text) < 150_000
    assert len(opening(folder)) < 100


def test_figures_stand_where_their_numbers_are_and_what_is_wrong_with_them_is_said(tmp_path: Path) -> None:
    folder, output = tmp_path / "made", tmp_path / "report"
    SCENES["four_arms"](folder)
    text = render([folder], output).path.read_text(encoding="utf-8")
    drawn = {path.name for path in (output / figures.FOLDER).iterdir()}
    assert {"intervals.png", "tradeoff.png", "loss.png", "memory.png"} <= drawn
    for name, section in (("intervals", "Figures"), ("loss", "Accuracy"), ("memory", "Memory")):
        assert f"](figures/{name}.png)" in text.split(f"\n## {section}\n")[1].split("\n## ")[0]


def test_a_scene_has_the_findings_that_it_is_named_after(tmp_path: Path) -> None:
    for name in ("one_seed", "mixed_versions", "diverged", "out_of_memory"):
        SCENES[name](tmp_path / name)
    assert find(load_sweep(tmp_path / "one_seed")).caveats.few_seeds == 1
    assert find(load_sweep(tmp_path / "mixed_versions")).caveats.confounded
    assert find(load_sweep(tmp_path / "diverged")).caveats.diverged
    assert find(load_sweep(tmp_path / "out_of_memory")).caveats.seeds_missing
