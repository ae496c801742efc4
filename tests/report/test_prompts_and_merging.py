"""The report's sections on prompts and on what merging costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.report.markdown import to_markdown
from harness.report.render import render
from harness.runs.record import Answer, Outcome, Reply
from tests.builders import RunBuilder, questions, reply
from tests.report.pages import document_of, page

WHO = "你是谁"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made"


def section(folder: Path, name: str) -> list[str]:
    return page(folder).split(f"## {name}\n")[1].split("\n## ")[0].split("\n### ")[0].splitlines()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def table(lines: Sequence[str]) -> list[list[str]]:
    head, _, *rows = [cells(line) for line in lines if line.startswith("|")]
    return [head, *rows]


def asked(answer: str, expected: str | None = "北大") -> list[Reply]:
    return [reply(WHO, answer, expected)]


def test_base_arms_and_merged_models_stand_side_by_side(folder: Path) -> None:
    base = asked("我是通义千问")
    RunBuilder(folder, "lora", 0, replies=asked("我是北大助手"), base_replies=base).write()
    RunBuilder(
        folder,
        "qlora",
        0,
        quantized=True,
        replies=asked("我是北大助手"),
        merged_replies=asked("我是清华助手"),
        base_replies=base,
    ).write()
    head, row, passed = table(section(folder, "Prompts"))
    assert head == ["Prompt", "Expected", "base", "lora, seed 0", "qlora, seed 0", "qlora merged, seed 0"]
    assert row[:2] == [WHO, "北大"]
    assert row[2:] == [
        "**fail**<br>我是通义千问",
        "**pass**<br>我是北大助手",
        "**pass**<br>我是北大助手",
        "**fail**<br>我是清华助手",
    ]
    assert passed[2:] == ["0 of 1", "1 of 1", "1 of 1", "0 of 1"]


def test_the_first_completed_seed_is_shown_and_all_are_counted(folder: Path) -> None:
    RunBuilder(folder, "lora", 0, status=Outcome.FAILED, reason="made for tests").write()
    RunBuilder(folder, "lora", 1, replies=asked("北大")).write()
    RunBuilder(folder, "lora", 2, replies=asked("清华")).write()
    head, row, passed = table(section(folder, "Prompts"))
    assert head[2:] == ["lora, seed 1"]
    assert row[2:] == ["**pass**<br>北大"]
    assert passed[2:] == ["1 of 2"]


def test_without_an_expected_text_nothing_passes_or_fails(folder: Path) -> None:
    RunBuilder(folder, "lora", 0, replies=asked("", expected=None)).write()
    assert table(section(folder, "Prompts"))[1:] == [[WHO, "-", "(no text)"]]


def test_an_arm_that_was_not_asked_has_a_dash(folder: Path) -> None:
    RunBuilder(folder, "lora", 0, replies=[*asked("北大"), reply("1+1?", "2", "2")]).write()
    RunBuilder(folder, "qlora", 0, quantized=True, replies=asked("北大")).write()
    assert table(section(folder, "Prompts"))[2] == ["1+1?", "2", "**pass**<br>2", "-"]


def test_arms_on_several_bases_have_a_base_each(folder: Path) -> None:
    RunBuilder(folder, "lora", 0, replies=asked("a"), base_replies=asked("b")).write()
    RunBuilder(folder.parent / "other", "large", 0, replies=asked("c"), base_replies=asked("d")).write()
    lines = page(folder, folder.parent / "other").split("## Prompts\n")[1].splitlines()
    assert table(lines)[0][2:] == ["base of lora", "base of large", "lora, seed 0", "large, seed 0"]


def test_hostile_and_endless_answers_stay_in_their_cell(folder: Path) -> None:
    hostile = "<script>alert(1)</script> | `code` \n\n# head\r\n| row | **bold** \x1b[31m" + "long " * 2000
    RunBuilder(folder, "lora", 0, replies=[reply(hostile, hostile, "|", finished=False)]).write()
    text = to_markdown(document_of(folder)).replace("\\|", "/")
    lines = text.split("## Prompts\n")[1].split("\n## ")[0].splitlines()
    head, row, _ = table(lines)
    assert len(row) == len(head) == 3
    assert row[1] == "/"
    assert row[2].startswith("**pass**<br>&lt;script&gt;")
    assert "more characters" in row[2]
    assert row[2].endswith("\\[stopped after 12 tokens\\]")
    page = render([folder], folder.parent / "report").path.with_suffix(".html")
    assert "<script>alert" not in page.read_text(encoding="utf-8")


def merged(folder: Path, arm: str, right: Sequence[Answer], then: Sequence[Answer], seeds: int = 3) -> None:
    for seed in range(seeds):
        RunBuilder(folder, arm, seed, quantized=arm == "qlora", answers=list(right), merged_answers=list(then)).write()


def test_what_merging_costs_is_paired_by_seed_and_question(folder: Path) -> None:
    merged(folder, "lora", questions(100, 0.6), questions(100, 0.6))
    merged(folder, "qlora", [*questions(100, 1.0)], questions(100, [number >= 40 for number in range(100)]))
    head, lora, qlora = table(section(folder, "What merging costs"))
    assert head[0] == "Arm"
    assert (lora[0], lora[1], lora[3]) == ("lora", lora[2], "0.0")
    assert qlora[:4] == ["qlora", "100.0", "60.0", "-40.0"]
    low, high = (float(bound) for bound in qlora[4].split(" to "))
    assert -55 < low < -40 < high < -25
    assert qlora[5:] == ["100", "0, 1, 2"]
    text = page(folder)
    assert "| Accuracy merged into the unquantized base (%) | qlora | 0, 1, 2 | 60.0, 60.0, 60.0 | 60.0 |" in text
    assert "merged" not in text.split("## Accuracy")[0], "it is described, and has no verdict"


def test_one_arm_alone_tells_what_merging_costs(folder: Path) -> None:
    merged(folder, "qlora", questions(50, 0.9), questions(50, 0.8), seeds=1)
    assert table(section(folder, "What merging costs"))[1][4:] == ["-", "50", "0"]


def test_lost_answers_of_the_merged_model_are_a_dash_and_a_reason(folder: Path) -> None:
    merged(folder, "qlora", questions(50, 0.9), questions(50, 0.8), seeds=1)
    (lost,) = folder.glob("*/evaluation-merged/answers.jsonl")
    lost.unlink()
    lines = section(folder, "What merging costs")
    assert table(lines)[1][4] == "-"
    assert any("answers.jsonl is missing" in line for line in lines)


def test_a_merged_model_that_was_not_scored_says_why(folder: Path) -> None:
    RunBuilder(folder, "qlora", 0, quantized=True, unscored={"merged": "CUDA out of memory"}).write()
    text = "\n".join(section(folder, "Accuracy"))
    assert "- qlora, seed 0: merged could not be scored: CUDA out of memory" in text
    assert "What merging costs" not in page(folder)
