"""Rows that LLaMA-Factory would skip, or stop at, are told with their number and their field."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.config.schema import SourceConfig
from harness.data.check import Record, columns_of, mapping_problems, row_problems, row_warnings, tags_of
from harness.data.sources import SourceReader
from harness.execution.prepare import prepare
from harness.plan.planner import Planner
from tests.compose.checked import only

SHARED = Path(__file__).parents[3] / "shared" / "data"
TOOLS = SourceConfig(formatting="sharegpt", columns={"messages": "conversations", "tools": "tools"})
CALL = '{"name": "find", "arguments": {"words": ["a"]}}'


def talk(*turns: tuple[str, Any], **columns: Any) -> dict[str, Any]:
    return {"conversations": [{"from": who, "value": text} for who, text in turns], **columns}


GOOD_TALK = talk(
    ("human", "q"), ("function_call", CALL), ("observation", "{}"), ("gpt", "a"), tools='[{"name": "find"}]'
)
GOOD_ALPACA = {"instruction": "q", "input": "", "output": "a"}


def test_good_rows_are_good() -> None:
    assert row_problems([GOOD_ALPACA, {"instruction": "q", "output": "a", "other": 5}], SourceConfig()) == []
    rows = [
        GOOD_TALK,
        talk(("human", "q"), ("gpt", "a"), tools=""),
        talk(("human", "q"), ("gpt", "a")),
        talk(("system", "s"), ("human", "q"), ("gpt", "a"), tools=None),
        # What Qwen's templates let stand around a call.
        talk(("human", "q"), ("function_call", f"<think>\nhm {{\n</think>\n\n{CALL}")),
        talk(("human", "q"), ("function_call", f"I look.\n<tool_call>\n[{CALL}, {CALL}]\n</tool_call>")),
    ]
    assert row_problems(rows, TOOLS) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"instruction": " "}, "instruction is empty"),
        ({"instruction": None}, "instruction is empty"),
        ({"output": ""}, "output is empty"),
        ({"output": 5}, "output is a number, not text"),
        ({"input": ["x"]}, "input is a list, not text"),
        ({"system": 1}, "system is a number, not text"),
        ({"history": [["q"]]}, "history must be a list of [question, answer] pairs"),
        ({"history": "q"}, "history must be a list of [question, answer] pairs"),
        ({"tools": "[{"}, "tools is no JSON: "),
        pytest.param({"tools": "[" * 100_000}, "tools is no JSON: is nested too deep", id="tools, nested deep"),
    ],
)
def test_an_alpaca_row_that_is_wrong(changes: dict[str, Any], told: str) -> None:
    own = {name: name for name in ("system", "history", "tools")}
    source = SourceConfig(columns={"prompt": "instruction", "query": "input", "response": "output", **own})
    (problem,) = row_problems([GOOD_ALPACA, {**GOOD_ALPACA, **changes}], source)
    assert problem.startswith(f"row 2: {told}")


def test_a_column_that_is_not_there_is_told_with_those_that_are() -> None:
    assert row_problems([{"question": "q", "output": "a"}], SourceConfig()) == [
        "row 1: there is no column instruction; there is question, output"
    ]
    assert row_problems([{"messages": []}], TOOLS) == ["row 1: there is no column conversations; there is messages"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (talk(), "conversations must be a list of turns, at least two"),
        ({"conversations": None}, "conversations is empty"),
        ({"conversations": "q"}, "conversations must be a list of turns, at least two"),
        (talk(("human", "q")), "conversations ends with human; the last turn must be gpt or function_call"),
        (talk(("system", "s")), "conversations has no turn but system; human or observation and an answer must follow"),
        (talk(("gpt", "a"), ("human", "q")), "conversations[0].from=gpt: turns are out of order, human or observation"),
        (talk(("human", "q"), ("human", "q")), "conversations[1].from=human: turns are out of order, gpt or function"),
        (talk(("human", "q"), ("observation", "o")), "conversations[1].from=observation: turns are out of order"),
        (talk(("human", "q"), ("assistant", "a")), "conversations[1].from=assistant: turns are out of order"),
        (
            talk(("human", "q"), ("system", "s"), ("gpt", "a"), ("human", "q")),
            "conversations[1].from=system: turns are out of order",
        ),
        (talk(("human", "q"), ("gpt", " ")), "conversations[1].value is empty"),
        (talk(("human", None), ("gpt", "a")), "conversations[0].value is empty"),
        (talk(("human", 0), ("gpt", "a")), "conversations[0].value is a number, not text"),
        ({"conversations": ["q", "a"]}, "conversations[0] must be an object with from and value"),
        ({"conversations": [{"role": "user", "content": "q"}] * 2}, "conversations[0] must be an object with from and"),
        (talk(("human", "q"), ("function_call", "find(a)")), "conversations[1].value is no JSON: "),
        (talk(("human", "q"), ("function_call", '{"name": "f"}')), 'conversations[1].value must be {"name": ..., "arg'),
        (talk(("human", "q"), ("function_call", "[1]")), 'conversations[1].value must be {"name": ..., "arguments"'),
        (talk(("human", "q"), ("gpt", "a"), tools="{]"), "tools is no JSON: "),
        (talk(("human", "q"), ("gpt", "a"), tools='{"a": 1}'), "tools must be a list of tools"),
        (talk(("human", "q"), ("gpt", "a"), tools=[{"name": "f"}]), "tools is a list, not text; LLaMA-Factory reads"),
    ],
)
def test_a_conversation_that_is_wrong(row: dict[str, Any], told: str) -> None:
    (problem,) = row_problems([GOOD_TALK, GOOD_TALK, row], TOOLS)
    assert problem.startswith(f"row 3: {told}")


def test_turns_in_openai_words_are_read_by_their_tags() -> None:
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    source = SourceConfig(formatting="sharegpt", columns={"messages": "messages"}, tags=tags)
    turns = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
    ]
    assert row_problems([{"messages": turns}], source) == []
    assert row_problems([{"messages": turns[:2]}], source) == [
        "row 1: messages ends with user; the last turn must be assistant or function_call"
    ]
    assert tags_of(source)["observation_tag"] == "observation"


def test_of_many_wrong_rows_the_first_are_told_and_the_others_counted() -> None:
    told = row_problems([GOOD_ALPACA, *[{**GOOD_ALPACA, "output": ""}] * 20], SourceConfig())
    assert told == [*(f"row {number}: output is empty" for number in range(2, 7)), "20 of 21 rows are wrong"]
    # All that is wrong stands there already, so nothing is left to be counted.
    assert len(row_problems([{**GOOD_ALPACA, "instruction": "", "output": ""}] * 2, SourceConfig())) == 4


def test_an_answer_can_be_appended_to_an_output_alone() -> None:
    answered = {**GOOD_ALPACA, "answer": 5}
    assert row_problems([answered, {**answered, "output": ""}], SourceConfig(), append_answer=True) == []
    (told,) = row_problems([GOOD_ALPACA], SourceConfig(), append_answer=True)
    assert told == "row 1: there is no column answer; there is instruction, input, output"
    (told,) = row_problems([GOOD_TALK], TOOLS, append_answer=True)
    assert told.startswith("append_answer: formatting=sharegpt has no output")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (SourceConfig(formatting="csv"), "formatting=csv: must be alpaca or sharegpt"),
        (
            SourceConfig(columns={"prompt": "q", "response": "a", "question": "q"}),
            "columns.question: LLaMA-Factory kno",
        ),
        (SourceConfig(columns={"prompt": "q"}), "columns.response: a value is needed; where columns are named"),
        (SourceConfig(formatting="sharegpt", columns={"tools": "t"}), "columns.messages: a value is needed"),
        (SourceConfig(formatting="sharegpt", tags={"role": "r"}), "tags.role: LLaMA-Factory knows"),
        (SourceConfig(tags={"role_tag": "r"}), "tags: only formatting=sharegpt has turns with tags"),
    ],
)
def test_a_description_that_llamafactory_would_not_understand(source: SourceConfig, told: str) -> None:
    (problem,) = mapping_problems(source)
    assert problem.startswith(told)


def test_where_columns_are_named_no_default_is_left() -> None:
    """As in LLaMA-Factory: a file with `input` as its prompt must not have `input` as its query too."""
    assert columns_of(SourceConfig(columns={"prompt": "input", "response": "content"})) == {
        "prompt": "input",
        "response": "content",
    }


def test_columns_can_be_named_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps([{"q": "?", "a": "!"}]))
    given = ["dataset=local", f"dataset.path={tmp_path}/rows.json", "training.validation_steps=null", "device=cpu"]
    for columns in (
        ["dataset.columns={prompt: q, response: a}"],
        ["dataset.columns.prompt=q", "dataset.columns.response=a"],
    ):
        assert only(*given, *columns).dataset.columns == {"prompt": "q", "response": "a"}


def published(name: str) -> list[Record]:
    return SourceReader(SHARED).read(SourceConfig(path=name))


@pytest.mark.skipif(not SHARED.exists(), reason="the published files are not here (../shared/data)")
def test_published_files_are_good() -> None:
    assert row_problems(published("identity.json"), SourceConfig()) == []
    assert row_problems(published("glaive_toolcall_zh_demo.json"), TOOLS) == []
    assert row_problems(published("math_data.json"), SourceConfig(), append_answer=True) == []


@pytest.mark.skipif(not SHARED.exists(), reason="the published files are not here (../shared/data)")
def test_a_turn_taken_out_of_a_published_conversation_is_found() -> None:
    records = copy.deepcopy(published("glaive_toolcall_zh_demo.json"))
    long = next(number for number, record in enumerate(records) if len(record["conversations"]) >= 4)
    del records[long]["conversations"][1]
    (told,) = row_problems(records, TOOLS)
    assert told.startswith(f"row {long + 1}: conversations[1].from=observation: turns are out of order")


CONVERT = """
import json, sys
from harness.workers import compat
compat.prepare_imports()
from llamafactory.data.converter import SharegptDatasetConverter
from llamafactory.data.formatter import FunctionFormatter, ToolFormatter
from llamafactory.data.parser import DatasetAttr
attributes = DatasetAttr("file", "x", formatting="sharegpt", tools="tools")
convert = SharegptDatasetConverter(attributes, None)
call, tools = FunctionFormatter(slots=["{{content}}"], tool_format="qwen"), ToolFormatter(tool_format="qwen")
kept = []
for row in json.load(sys.stdin):
    try:
        made = convert({"tools": None, **row})
        turns = made["_prompt"] + made["_response"]
        words = {"thought_words": ("<think>", "</think>"), "tool_call_words": ("<tool_call>", "</tool_call>")}
        for turn in turns:
            if turn["role"] == "function":
                call.apply(content=turn["content"], **words)
        if made["_tools"]:
            tools.apply(content=made["_tools"])
        kept.append(len(made["_prompt"]) % 2 == 1 and len(made["_response"]) == 1)
    except Exception:
        kept.append(False)
json.dump(kept, open(sys.argv[1], "w"))
"""


def test_llamafactory_keeps_what_is_good_and_drops_what_is_not(tmp_path: Path) -> None:
    """Its own converter and formatters, on conversations of each kind. Empty turns it keeps, which nobody means."""
    rows = [
        GOOD_TALK,
        talk(("system", "s"), ("human", "q"), ("gpt", "a"), tools=""),
        talk(("human", "q"), ("function_call", f"<think>\nhm\n</think>\n\n{CALL}")),
        talk(("human", "q"), ("function_call", f"I look.\n<tool_call>\n{CALL}\n</tool_call>")),
        talk(("human", "q")),
        talk(("system", "s")),
        talk(("human", "q"), ("human", "q")),
        talk(("human", "q"), ("observation", "o")),
        talk(("human", "q"), ("function_call", "find(a)")),
        talk(("human", "q"), ("function_call", '{"name": "f"}')),
        talk(("human", "q"), ("gpt", "a"), tools="{]"),
        talk(("human", "q"), ("gpt", "a"), tools=[{"name": "f"}]),
    ]
    result = tmp_path / "kept.json"
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, str(result)], input=json.dumps(rows), text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(result.read_text()) == [not row_problems([row], TOOLS) for row in rows]


# ---- What is right, and may be meant otherwise ----


@pytest.mark.parametrize("name", ["system", "history", "tools", "images", "videos", "audios"])
def test_a_column_that_says_what_it_is_and_is_read_by_nobody_is_named_with_the_mapping(name: str) -> None:
    rows = [
        {"instruction": "q", "input": "", "output": "a", name: "x"},
        {"instruction": "q", "output": "a", name: None},
    ]
    mapped = f"columns={{prompt: instruction, query: input, response: output, {name}: {name}}}"
    assert row_warnings(rows, SourceConfig()) == [
        f"the column {name} is filled in 1 of 2 rows, and not read; map it, {mapped}, or take it out"
    ]
    columns = {"prompt": "instruction", "query": "input", "response": "output", name: name}
    assert row_warnings(rows, SourceConfig(columns=columns)) == []


@pytest.mark.parametrize("name", ["chosen", "rejected", "kto_tag"])
def test_columns_of_training_on_preferences_are_named_and_cannot_be_mapped(name: str) -> None:
    """LLaMA-Factory leaves every row with a kto_tag out of supervised fine-tuning, and says so in a log alone."""
    rows = [{"instruction": "q", "input": "", "output": "a", name: True}]
    (told,) = row_warnings(rows, SourceConfig())
    assert told.startswith(
        f"the column {name} is filled in 1 of 1 rows, and not read: it is of training on preferences"
    )
    (refused,) = mapping_problems(SourceConfig(columns={"prompt": "instruction", "response": "output", name: name}))
    assert refused.startswith(f"columns.{name}: is of training on preferences")


def test_what_llamafactory_reads_by_itself_is_named_where_nobody_maps_it() -> None:
    rows = [{"instruction": "q", "input": "x", "output": "a"}]
    (told,) = row_warnings(rows, SourceConfig(columns={"prompt": "instruction", "response": "output"}))
    assert told.startswith(
        "the column input is filled in 1 of 1 rows, and not read; map it, columns={prompt: instruction"
    )
    assert "query: input" in told


def test_other_columns_and_empty_ones_are_nobodys_matter() -> None:
    rows = [{"instruction": "q", "output": "a", "id": 3, "answer": "4", "system": "", "history": []}]
    assert row_warnings(rows, SourceConfig()) == []


def test_placeholders_are_named_with_the_rows_that_have_them() -> None:
    texts = ["I am {{name}} by {{ author }}", "{{name}}", "a {{}} b {{ 1 }} { {x} } {y}", "没有"]
    rows = [{"instruction": "who?", "input": "", "output": text} for text in texts]
    assert row_warnings(rows, SourceConfig()) == [
        "placeholders are trained on as they are, in so many of 4 rows: {{ author }} (1), {{name}} (2); put the words "
        "that they stand for in their place"
    ]


def test_they_are_told_before_a_run_starts(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([{"instruction": "q", "input": "", "output": "{{name}}"}] * 3))
    planner = Planner(tmp_path)
    given = ("dataset=local", f"dataset.path={file}", "dataset.validation_samples=0", "training.validation_steps=null")
    prepared = prepare([*given, "device=cpu", "evaluation=none"], False, planner)
    assert [warning.partition(": ")[0] for warning in prepared.warnings] == [f"dataset.path={file}"]
