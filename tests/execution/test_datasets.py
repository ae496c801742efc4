"""Rows of every kind are really trained on: LLaMA-Factory skips what it cannot read without failing."""

from __future__ import annotations

import json
from pathlib import Path

from harness.runs.events import TrainingFinished, read
from harness.runs.record import Outcome
from tests.conftest import Harness
from tests.running import SHORT, only_record

IDENTITY = [{"instruction": f"你是谁 {number}", "input": "", "output": "我是北大助手"} for number in range(12)]
TOOLS = json.dumps([{"name": "search", "description": "finds documents", "parameters": {"type": "object"}}])
CALLS = [
    {
        "conversations": [
            {"from": "human", "value": f"Find document {number}."},
            {"from": "function_call", "value": json.dumps({"name": "search", "arguments": {"number": number}})},
            {"from": "observation", "value": json.dumps({"found": f"document {number}"})},
            {"from": "gpt", "value": f"Here is document {number}."},
        ],
        "tools": TOOLS,
    }
    for number in range(8)
]


def test_identity_rows_and_tool_calls_are_trained_on_together_and_none_is_skipped(
    tmp_path: Path, harness: Harness
) -> None:
    for name, rows in {"identity": IDENTITY, "tools": CALLS}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(rows, ensure_ascii=False))
    done = harness(
        "run",
        "dataset=identity",
        "dataset.path=identity.json",
        "dataset.also=[{path: tools.json, formatting: sharegpt, columns: {messages: conversations, tools: tools}}]",
        "training.cutoff_length=1024",
        "training.batch_size=4",
        *SHORT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = only_record(tmp_path)
    assert found.status is Outcome.COMPLETED
    assert found.rows is not None
    assert (found.rows.rows, found.rows.at_cutoff) == (20, 0)
    (file,) = tmp_path.glob("outputs/*/*/events.jsonl")
    (finished,) = (event for event in read(file) if isinstance(event, TrainingFinished))
    assert finished.steps == 5
