"""Files of questions as people have them: what evalscope would stop at after the training is told before it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from harness.data.questions import problems
from tests.compose.checked import mistakes, only

GOOD = [{"question": f"What is {n} + 18?", "answer": f"It is {n + 18}.\n#### {n + 18}"} for n in range(4)]


def lines(*rows: object) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


FILES = {
    "good": (lines(*GOOD), []),
    "plain numbers": (lines(*[{"question": "q", "answer": "1,234"}] * 4), []),
    "blank lines": (lines(*GOOD).replace(b"\n", b"\n\n"), []),
    "windows lines": (lines(*GOOD).replace(b"\n", b"\r\n"), []),
    "other keys": (
        lines(*GOOD, {"instruction": "q", "output": "18"}),
        [
            "line 5: there is no column question; there is instruction, output",
            "line 5: there is no column answer; there is instruction, output",
        ],
    ),
    "empty": (b"", ["has no question"]),
    "too few": (lines(*GOOD[:3]), ["has 3 of the 4 questions that are asked for; give more"]),
    "an answer that is null": (lines(*GOOD, {"question": "q", "answer": None}), ["line 5: answer is empty"]),
    "nothing after the mark": (
        lines(*GOOD, {"question": "q", "answer": "It is.\n####"}),
        ["line 5: answer: what is expected is no number: ''; it stands after ####, or alone"],
    ),
    "a question of spaces": (lines(*GOOD, {"question": " ", "answer": "1"}), ["line 5: question is empty"]),
    "a number for a text": (
        lines(*GOOD, {"question": "q", "answer": 18}),
        ["line 5: answer is 18, not text; put it in quotes"],
    ),
    "a letter": (
        lines(*GOOD, {"question": "q", "answer": "B"}),
        ["line 5: answer: what is expected is no number: 'B'; it stands after ####, or alone"],
    ),
    "many": (lines(*[{"question": "", "answer": "1"}] * 9), [*(f"line {n}: question is empty" for n in range(1, 6))]),
    "a byte order mark": (
        b"\xef\xbb\xbf" + lines(*GOOD),
        ["begins with a byte order mark (BOM), at which evalscope stops; save it as UTF-8 without one"],
    ),
    "GBK": (
        lines(*GOOD) + '{"question": "一加一", "answer": "2"}'.encode("gbk"),
        [
            "line 5: is not UTF-8, but may be GBK or Big5; "
            "save it as UTF-8 (iconv -f GB18030 -t UTF-8, or iconv -f CP950 -t UTF-8)"
        ],
    ),
    "UTF-16": (lines(*GOOD).decode().encode("utf-16"), ["is UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"]),
    "a list": (
        lines(GOOD),
        ["line 1: is no object with columns; give each question a line {...} of its own"],
    ),
    "a list over several lines": (
        json.dumps(GOOD, indent=1).encode(),
        [
            "line 1: is no JSON: Expecting value: line 1 column 2 (char 1); a list is no JSONL: "
            "give each object a line of its own"
        ],
    ),
    "deeper than Python reads": (b'{"question": ' + b"[" * 100_000, ["line 1: is no JSON: is nested too deep"]),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_taken_or_told_with_line_and_way_out(kind: str, tmp_path: Path) -> None:
    content, expected = FILES[kind]
    file = tmp_path / "test.jsonl"
    file.write_bytes(content)
    told = problems(file, "gsm8k", 4)
    assert told[: len(expected)] == expected
    assert told[len(expected) :] == (["9 such mistakes in 9 questions"] if kind == "many" else [])


def test_tables_are_read_as_evalscope_reads_them(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text('question,answer\n"1,000 + 1?",1001\n2?,\n')
    assert problems(tmp_path / "test.csv", "gsm8k", 2) == ["row 2: answer is empty"]
    (tmp_path / "test.csv").write_text(f"question,answer\n{'x' * 200_000},1\n")
    assert problems(tmp_path / "test.csv", "gsm8k", 1) == ["field larger than field limit (131072)"]
    parquet.write_table(pyarrow.table({"question": ["1?", "2?"], "answer": ["1", None]}), tmp_path / "test.parquet")
    assert problems(tmp_path / "test.parquet", "gsm8k", 2) == ["row 2: answer is empty"]


def test_of_a_benchmark_that_the_harness_does_not_know_only_the_form_is_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "test.jsonl"
    file.write_bytes(lines({"text": "q", "label": 3}))
    assert problems(file, "another", 1) == []
    file.write_bytes(b"{")
    assert problems(file, "another", 1)[0].startswith("line 1: is no JSON")


def test_questions_and_examples_are_read_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_bytes(lines(*GOOD))
    (tmp_path / "train.jsonl").write_bytes(lines({"question": "q", "answer": None}))
    os.mkfifo(tmp_path / "train.csv")
    given = ("evaluation=gsm8k", f"evaluation.path={tmp_path / 'test.jsonl'}")
    only(*given, "evaluation.limit=4")
    assert mistakes(*given, "evaluation.limit=5") == [
        f"evaluation.path={tmp_path / 'test.jsonl'}: has 4 of the 5 questions that are asked for; give more"
    ]
    shown = f"evaluation.path={tmp_path / 'test.jsonl'} (train.jsonl)"
    assert mistakes(*given, "evaluation.limit=4", "evaluation.few_shot=1") == [f"{shown}: line 1: answer is empty"]
    assert mistakes(*given, "evaluation.limit=4", "evaluation.few_shot=2") == [
        f"{shown}: has 1 of the 2 questions that are asked for; give more"
    ]
    (tmp_path / "test.jsonl").rename(tmp_path / "test.json")
    assert "a JSON list becomes JSONL by jq -c '.[]'" in mistakes(given[0], f"{given[1]}"[:-1])[0]
