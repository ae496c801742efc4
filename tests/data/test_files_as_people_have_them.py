"""Files of rows as editors, spreadsheets and programs save them: read, or told what they are and how to save them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from harness.config.schema import DatasetConfig, SourceConfig
from harness.data import prepare
from harness.data.check import row_problems, row_warnings
from harness.data.sources import SourceError, SourceReader

ROWS = [
    {"instruction": "算一算 0+1?", "input": "", "output": "等于 1。😀"},
    {"instruction": "a\u2028b", "input": "x", "output": "d"},
]
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
LIST = json.dumps(ROWS, ensure_ascii=False, indent=2)
OVER_LINES = "\n".join(json.dumps(row, ensure_ascii=False, indent=2) for row in ROWS)
GBK_OR_BIG5 = (
    "line 2: is not UTF-8, but may be GBK or Big5; "
    "save it as UTF-8 (iconv -f GB18030 -t UTF-8, or iconv -f CP950 -t UTF-8)"
)
CSV = 'instruction,input,output\n算一算 0+1?,,等于 1。😀\n"a\u2028b",x,d\n'


def read(file: Path) -> list[dict[str, Any]]:
    return SourceReader(file.parent).read(SourceConfig(path=file.name))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.json", LIST.encode()),
        ("rows.JSON", LIST.encode()),
        ("bom.json", LIST.encode("utf-8-sig")),
        ("list.jsonl", LIST.encode()),
        ("objects.jsonl", OVER_LINES.encode()),
        ("objects.json", OVER_LINES.encode()),
        ("lines.json", LINES.encode()),
        ("LINES.JSONL", LINES.encode()),
        ("bom.jsonl", LINES.encode("utf-8-sig")),
        ("crlf.jsonl", LINES.replace("\n", "\r\n").encode()),
        ("blank.jsonl", LINES.replace("\n", "\n\n  \n").encode() + b"\n\n"),
        ("one-line.jsonl", LINES.replace("\n", " ").encode()),
        ("rows.csv", CSV.encode()),
        ("bom.csv", CSV.encode("utf-8-sig")),
        ("crlf.csv", CSV.replace("\n", "\r\n").encode()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_same_rows_are_read_however_they_were_saved(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path / name) == ROWS


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_tables_are_read_and_what_pandas_writes_for_nothing_is_nothing(tmp_path: Path, kind: str) -> None:
    table = pyarrow.table({"instruction": ["a", "b"], "input": [float("nan"), float("nan")], "output": ["c", "d"]})
    file = tmp_path / ("rows.parquet" if kind == "parquet" else "rows.arrow")
    if kind == "parquet":
        parquet.write_table(table, file)
    else:
        open_ = pyarrow.ipc.new_stream if kind == "stream" else pyarrow.ipc.new_file
        with open_(str(file), table.schema) as writer:
            writer.write_table(table)
    assert read(file) == [
        {"instruction": "a", "input": None, "output": "c"},
        {"instruction": "b", "input": None, "output": "d"},
    ]
    assert row_problems(read(file), SourceConfig()) == []


def test_a_table_with_a_column_of_lists_is_read(tmp_path: Path) -> None:
    table = pyarrow.table({"instruction": ["a"], "input": [None], "output": ["c"], "marks": [["x", "y"]]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    assert row_problems(read(tmp_path / "rows.parquet"), SourceConfig()) == []


def test_a_text_in_a_list_may_go_over_several_lines_as_there(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"instruction": "a\tb\nc", "output": "d"}]')
    assert read(tmp_path / "rows.json") == [{"instruction": "a\tb\nc", "output": "d"}]


def test_nan_in_json_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a", "input": NaN, "output": "b"}')
    assert read(tmp_path / "rows.jsonl") == [{"instruction": "a", "input": None, "output": "b"}]


def test_cells_of_a_spreadsheet_are_texts_whatever_is_in_them(tmp_path: Path) -> None:
    """pandas would make a number of the first answer, and nothing of the second, of which LLaMA-Factory drops both."""
    (tmp_path / "rows.csv").write_text('instruction,input,output\n1+1,,2\n"a, ""b""\nc",NA,NA\n')
    assert read(tmp_path / "rows.csv") == [
        {"instruction": "1+1", "input": "", "output": "2"},
        {"instruction": 'a, "b"\nc', "input": "NA", "output": "NA"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.json", LIST.encode("utf-16"), "is UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"),
        ("rows.csv", CSV.encode("utf-16-be"), "looks like UTF-16BE; "),
        ("rows.json", LIST.encode("utf-16-le"), "looks like UTF-16LE; save it as UTF-8 (iconv -f UTF-16LE -t UTF-8)"),
        ("rows.json", LIST.encode("utf-16-be"), "looks like UTF-16BE; save it as UTF-8 (iconv -f UTF-16BE -t UTF-8)"),
        ("rows.csv", CSV.partition("\n")[2].encode("utf-16-le"), "looks like UTF-16LE; "),
        ("rows.json", LIST.encode("utf-32"), "is UTF-32; save it as UTF-8 (iconv -f UTF-32 -t UTF-8)"),
        (
            "rows.jsonl",
            b'{"instruction": "a"}\n' + '{"instruction": "你好"}'.encode("gbk"),
            GBK_OR_BIG5,
        ),
        (
            "rows.csv",
            "instruction,output\n請問一加一等於多少,等於二。\n".encode("big5"),
            GBK_OR_BIG5,
        ),
        (
            "rows.json",
            '[{"instruction": "😀"}]'.encode("gb18030"),
            "line 1: is not UTF-8, but may be GBK; save it as UTF-8 (iconv -f GB18030 -t UTF-8)",
        ),
        ("rows.json", b'[\n{"instruction": "caf\xff"}]', "line 2: is not UTF-8 (byte 0xff); save it as UTF-8"),
        (
            "rows.jsonl",
            b'{"output": "b"}\n{"output": "d}\n',
            "line 2, column 15: is no JSON: Invalid control character at; a file is one list of rows [{...}, {...}], "
            "or holds a row {...} a line",
        ),
        (
            "rows.jsonl",
            b'{"output": "b"},\n{"output": "d"},\n',
            "line 1, column 16: a comma stands after an object; take it out, or put [ ] around all of them",
        ),
        ("rows.json", b'[{"output": "b"}\n{"output": "d"}]', "line 2, column 1: is no JSON: Expecting ',' delimiter; "),
        ("rows.json", b"# rows\n[]", "line 1, column 1: is no JSON: Expecting value; "),
        ("rows.json", b" \n", "the file has no rows"),
        ("rows.json", b"[]", "the file has no rows"),
        ("rows.csv", b"instruction,input,output\n", "the file has no rows"),
        ("rows.jsonl", b'[{"output": "b"}]\n[{"output": "d"}]', "row 1 is list, not an object with columns"),
        ("rows.jsonl", b'null\n{"output": "d"}', "row 1 is NoneType, not an object with columns"),
        (
            "rows.csv",
            b'instruction,input,output\n"a\nb",,c\na,b,c,d\n',
            "row 2 (to line 4): has not the 3 cells that the first line names; put a text that holds commas or line "
            "ends in double quotes",
        ),
        ("rows.csv", b"instruction,input,output\na,b\n", "row 1 (to line 2): has not the 3 cells"),
        (
            "rows.csv",
            b"instruction,output,input,output\na,b,c,d\n",
            "line 1: names output more than once; give each column a name of its own",
        ),
        ("rows.csv", b'instruction,output\n"a,b', "line 2: is no CSV: unexpected end of data"),
        ("rows.txt", b"a", "unknown kind of file; it must end in .json, .jsonl, .csv, .parquet, .arrow"),
        ("rows", b"a", "unknown kind of file; it must end in .json, .jsonl, .csv, .parquet, .arrow"),
        ("rows.parquet", b"PAR1 not", "cannot be read: "),
        ("rows.arrow", b"not arrow", "cannot be read: "),
    ],
)
def test_what_cannot_be_read_is_told_with_what_it_is_and_where(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError) as failed:
        read(tmp_path / name)
    assert failed.value.problem.startswith(told)


def test_a_folder_is_no_file_of_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.json").mkdir()
    with pytest.raises(SourceError, match="is a folder; give the file in it, further ones by"):
        read(tmp_path / "rows.json")


@pytest.mark.parametrize(
    "content",
    [
        '[{"instruction": "a", "output": "b"}]',
        '{"instruction": "a", "output": "b"}',
        '{\n"instruction": "a",\n"output": "b"\n}',
    ],
    ids=["list", "line", "object"],
)
def test_one_row_is_a_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "rows.json").write_text(content)
    assert read(tmp_path / "rows.json") == [{"instruction": "a", "output": "b"}]


def test_an_instruction_may_be_empty_where_an_input_asks() -> None:
    asked = {"instruction": "", "input": "What is 2+2?", "output": "4"}
    assert row_problems([asked], SourceConfig()) == []
    unnamed = {"prompt": "instruction", "response": "output"}
    assert row_problems([{"": "0", **asked}], SourceConfig(columns=unnamed)) == ["row 1: instruction is empty"]
    assert row_problems([{**asked, "input": " "}], SourceConfig()) == ["row 1: instruction is empty"]
    assert row_problems([{"input": "What?", "output": "4"}], SourceConfig()) == [
        "row 1: there is no column instruction; there is input, output"
    ]


def test_a_row_may_lack_the_instruction_that_another_has() -> None:
    rows: list[dict[str, Any]] = [{"instruction": "q", "output": "a"}, {"input": "What is 2+2?", "output": "4"}]
    assert row_problems(rows, SourceConfig()) == []
    assert row_problems([*rows, {"output": "4"}], SourceConfig()) == [
        "row 3: there is no column instruction; there is output"
    ]


def test_columns_of_a_spreadsheet_that_have_no_name_may_be_many(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("instruction,output,,\na,b,,\n")
    assert row_problems(read(tmp_path / "rows.csv"), SourceConfig()) == []


def test_a_function_may_return_nothing_and_nobody_else() -> None:
    turns = [
        {"from": "human", "value": "q"},
        {"from": "function_call", "value": '{"name": "f", "arguments": {}}'},
        {"from": "observation", "value": ""},
        {"from": "gpt", "value": "a"},
    ]
    source = SourceConfig(formatting="sharegpt")
    assert row_problems([{"conversations": turns}], source) == []
    for place in (0, 3):
        broken = [{**turn, "value": ""} if at == place else turn for at, turn in enumerate(turns)]
        assert row_problems([{"conversations": broken}], source) == [f"row 1: conversations[{place}].value is empty"]


OPENAI = [
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
        ]
    }
]


def test_conversations_that_are_not_described_are_told_how_to_describe_them() -> None:
    problems = row_problems(OPENAI, SourceConfig())
    assert problems[-1] == (
        "these look like conversations; then describe them: dataset.formatting=sharegpt "
        "'dataset.columns={messages: messages}' "
        "'dataset.tags={role_tag: role, content_tag: content, user_tag: user, assistant_tag: assistant}'"
    )
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    described = SourceConfig(formatting="sharegpt", columns={"messages": "messages"}, tags=tags)
    assert row_problems(OPENAI, described) == []
    sharegpt = [{"chat": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}]
    assert row_problems(sharegpt, SourceConfig())[-1].endswith(
        "dataset.formatting=sharegpt 'dataset.columns={messages: chat}'"
    )


def test_rows_inside_of_an_object_are_told() -> None:
    wrapped = {"version": "1", "data": [{"instruction": "a", "output": "b"}]}
    assert row_problems([wrapped], SourceConfig())[-1] == (
        "its data is a list of objects; if those are the rows, save that list alone"
    )


def test_halves_of_characters_are_left_out_as_llamafactorys_reader_does_and_told(tmp_path: Path) -> None:
    """A list with one is read by `datasets` without it; such JSONL it refuses."""
    (tmp_path / "rows.json").write_text(
        '[{"instruction": "a \\ud83d z", "input": "\\ud83d\\ude00", "output": "b\\ude00"}]'
    )
    reader, dataset = SourceReader(tmp_path), DatasetConfig(name="local", path="rows.json")
    assert row_warnings(reader.read(dataset), dataset) == [
        "1 of 1 rows hold halves of characters (lone surrogates, as in \\ud83d), which are left out: row 1"
    ]
    prepare.write(prepare.draw(dataset, reader), tmp_path / "dataset")
    assert json.loads((tmp_path / "dataset" / "train.json").read_text(encoding="utf-8")) == [
        {"instruction": "a  z", "input": "😀", "output": "b"}
    ]
