"""Whether LLaMA-Factory can train on a row as it is meant: it skips a broken row with a warning that nobody reads."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any

from harness.base import json_text
from harness.base.decoding import has_lone_surrogates, without_lone_surrogates
from harness.config.schema import SourceConfig

Record = dict[str, Any]
"""A row as it stands in the file."""
SHOWN = 5
"""Problems told of one file; the others are counted."""
MEDIA = ("images", "videos", "audios")
COLUMNS = frozenset(("prompt", "query", "response", "history", "messages", "system", "tools")).union(
    (*MEDIA, "chosen", "rejected", "kto_tag")
)
"""What LLaMA-Factory 0.9.5 maps (data/parser.py, DatasetAttr)."""
_DEFAULT_COLUMNS = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "sharegpt": {"messages": "conversations"},
}
PREFERENCES = frozenset(("chosen", "rejected", "kto_tag"))
"""Columns of training on preferences; a row with kto_tag LLaMA-Factory leaves out of supervised fine-tuning."""
_TELLING = COLUMNS - {"prompt", "query", "response", "messages"}
"""Names that say what a column is, whoever wrote the file; the others are words that any file may have."""
_SHAPES = {
    ("from", "value"): "dataset.formatting=sharegpt 'dataset.columns={{messages: {column}}}'",
    ("role", "content"): (
        "dataset.formatting=sharegpt 'dataset.columns={{messages: {column}}}' "
        "'dataset.tags={{role_tag: role, content_tag: content, user_tag: user, assistant_tag: assistant}}'"
    ),
}
"""How conversations are described, by the names in their turns."""
_PLACEHOLDER = re.compile(r"\{\{\s*[A-Za-z_]\w*\s*\}\}")
"""As LLaMA-Factory's identity.json has them, {{name}} and {{author}}."""
_NEEDED = {"alpaca": ("prompt", "response"), "sharegpt": ("messages",)}
_DEFAULT_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
TAGS = frozenset(_DEFAULT_TAGS)
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
"""What may stand around a function call's JSON (data/formatter.py, FunctionFormatter; the words are the template's,
these are Qwen's)."""


def mapping_problems(source: SourceConfig) -> Iterator[str]:
    """Yield what is wrong with a source's description, whatever its rows are: `key: what; what would be right`."""
    if source.formatting == "openai":
        described = _SHAPES["role", "content"].format(column=source.columns.get("messages", "messages"))
        yield (
            "formatting=openai: LLaMA-Factory 0.9.5 adds `detailed thinking off` to the system prompt of every such "
            f"row; turns with role and content are read as they are by {described}"
        )
    elif source.formatting not in _DEFAULT_COLUMNS:
        yield f"formatting={source.formatting}: must be alpaca or sharegpt"
    for key, given, known in (("columns", source.columns, COLUMNS), ("tags", source.tags, TAGS)):
        for name in sorted(given.keys() - known):
            yield f"{key}.{name}: LLaMA-Factory knows {', '.join(sorted(known))}"
    for name in sorted(PREFERENCES & source.columns.keys()):
        yield f"columns.{name}: is of training on preferences, and the harness compares supervised fine-tuning"
    for name in _NEEDED.get(source.formatting, ()):
        if source.columns and name not in source.columns:
            yield (
                f"columns.{name}: a value is needed; where columns are named, LLaMA-Factory reads those alone "
                f"({name}: {_DEFAULT_COLUMNS[source.formatting][name]}, say)"
            )
    if source.tags and source.formatting == "alpaca":
        yield "tags: only formatting=sharegpt has turns with tags"


def row_problems(records: Sequence[Record], source: SourceConfig, append_answer: bool = False) -> list[str]:
    """Return which row is wrong in which field, and why: the first few, then how many there are."""
    if append_answer and source.formatting != "alpaca":
        return [f"append_answer: formatting={source.formatting} has no output to append an answer to; set it to false"]
    found: list[str] = []
    broken = 0
    named = frozenset(name for record in records for name in record)
    look = _sharegpt if source.formatting == "sharegpt" else partial(_alpaca, named=named)
    output = columns_of(source).get("response")
    for number, record in enumerate(records, start=1):
        # Where the answer is appended, an output that is empty does not stay so; Math10K's kind has some.
        problems = [text for text in look(record, source) if not (append_answer and text == f"{output} is empty")]
        if append_answer and record.get("answer") is None:
            problems.append(_absent("answer", record))
        broken += bool(problems)
        found += [f"row {number}: {problem}" for problem in problems[: max(0, SHOWN - len(found))]]
    if broken > len({problem.partition(":")[0] for problem in found}):
        found.append(f"{broken} of {len(records)} rows are wrong")
    is_mapped = bool(records[0].keys() & {*columns_of(source).values()}) if records else False
    if broken and not (is_mapped and source.formatting == "alpaca") and (described := _described(records[0], source)):
        found.append(f"these look like conversations; then describe them: {described}")
    elif len(records) == 1 and not is_mapped and (inside := _inside(records[0])):
        found.append(f"its {inside} is a list of objects; if those are the rows, save that list alone")
    return found


def _inside(record: Record) -> str | None:
    """The column of a file's one object that may hold its rows."""
    lists = (name for name, value in record.items() if isinstance(value, list) and value)
    return next((name for name in lists if all(isinstance(item, dict) for item in record[name])), None)


def _described(record: Record, source: SourceConfig) -> str | None:
    """How a row that holds a conversation is described, where that is not how it is described; else None."""
    for column, turns in record.items():
        turn = turns[-1] if isinstance(turns, list) and turns else None
        for (role, content), words in _SHAPES.items():
            if isinstance(turn, dict) and {role, content} <= turn.keys():
                is_so = source.formatting == "sharegpt" and tags_of(source)["role_tag"] == role
                return None if is_so and columns_of(source)["messages"] == column else words.format(column=column)
    return None


def row_warnings(records: Sequence[Record], source: SourceConfig) -> list[str]:
    """Return what in rows that can be trained on may be meant otherwise: what is wrong, and what would be right."""
    return [*_unread(records, source), *_placeholders(records, source), *_surrogates(records, source)]


def _unread(records: Sequence[Record], source: SourceConfig) -> Iterator[str]:
    """Columns by a name that LLaMA-Factory gives a meaning, with something in them, which are read by nobody."""
    columns = columns_of(source)
    meant = {name: name for name in _TELLING} | {
        file: name for name, file in _DEFAULT_COLUMNS[source.formatting].items()
    }
    for name in sorted(meant.keys() - set(columns.values())):
        filled = sum(record.get(name) not in (None, "", [], {}) for record in records)
        if filled and name in PREFERENCES:
            yield (
                f"the column {name} is filled in {filled:,} of {len(records):,} rows, and not read: it is of training "
                "on preferences, and the harness compares supervised fine-tuning"
            )
        elif filled:
            mapped = ", ".join(f"{key}: {column}" for key, column in {**columns, meant[name]: name}.items())
            yield (
                f"the column {name} is filled in {filled:,} of {len(records):,} rows, and not read; map it, "
                f"columns={{{mapped}}}, or take it out"
            )


def _placeholders(records: Sequence[Record], source: SourceConfig) -> Iterator[str]:
    found: Counter[str] = Counter()
    for record in records:
        texts = json.dumps([record.get(column) for column in columns_of(source).values()], default=str)
        found.update(set(_PLACEHOLDER.findall(texts)))
    if found:
        named = ", ".join(f"{name} ({count:,})" for name, count in sorted(found.items())[:SHOWN])
        yield (
            f"placeholders are trained on as they are, in so many of {len(records):,} rows: {named}; "
            "put the words that they stand for in their place"
        )


def _surrogates(records: Sequence[Record], source: SourceConfig) -> Iterator[str]:
    columns = columns_of(source).values()
    broken = [
        number
        for number, record in enumerate(records, start=1)
        if any(has_lone_surrogates(record.get(column)) for column in columns)
    ]
    if broken:
        yield (
            f"{len(broken):,} of {len(records):,} rows hold halves of characters (lone surrogates, as in \\ud83d), "
            f"which are left out: row {', '.join(map(str, broken[:SHOWN]))}"
        )


def columns_of(source: SourceConfig) -> dict[str, str]:
    """Return the file's name of every column that is read, by LLaMA-Factory's name. As there, where one is named no
    default is left."""
    return dict(source.columns or _DEFAULT_COLUMNS[source.formatting])


def tags_of(source: SourceConfig) -> dict[str, str]:
    """Return all tags of sharegpt's turns, those of the source in place of LLaMA-Factory's own."""
    return {**_DEFAULT_TAGS, **source.tags}


def _alpaca(record: Record, source: SourceConfig, named: Collection[str]) -> Iterator[str]:
    """`named`: the columns of the file. LLaMA-Factory's reader makes null of one that a row lacks and another has."""
    columns = columns_of(source)
    # The two are joined, and either may be all there is.
    asked = record.get(columns["query"]) if "query" in columns else None
    is_asked = columns["prompt"] in named and bool(str(asked or "").strip())
    yield from _text(record, columns["prompt"], needed=not is_asked)
    yield from _text(record, columns["response"], needed=True)
    yield from _text(record, columns.get("query"))
    if "history" in columns:
        turns = record.get(columns["history"]) or []
        pairs = isinstance(turns, list) and all(
            isinstance(turn, list) and len(turn) == 2 and all(isinstance(text, str) for text in turn) for turn in turns
        )
        if not pairs:
            yield f"{columns['history']} must be a list of [question, answer] pairs"
    yield from _system_and_tools(record, columns)


def _sharegpt(record: Record, source: SourceConfig) -> Iterator[str]:
    columns = columns_of(source)
    name = columns["messages"]
    turns = record.get(name)
    if turns is None:
        yield _absent(name, record)
    elif not isinstance(turns, list) or not turns:
        yield f"{name} must be a list of turns, at least two"
    else:
        yield from _turns(name, turns, tags_of(source))
    yield from _system_and_tools(record, columns)


def _turns(name: str, turns: list[Any], tags: dict[str, str]) -> Iterator[str]:
    """User and assistant by turns, an observation in the user's place and a function call in the assistant's."""
    role, content = tags["role_tag"], tags["content_tag"]
    asking, answering = (tags["user_tag"], tags["observation_tag"]), (tags["assistant_tag"], tags["function_tag"])
    first = 1 if isinstance(turns[0], dict) and turns[0].get(role) == tags["system_tag"] else 0
    for place, turn in enumerate(turns):
        where = f"{name}[{place}]"
        if not isinstance(turn, dict) or not isinstance(turn.get(role), str):
            yield f"{where} must be an object with {role} and {content}"
            return
        text = turn.get(content)
        if text is not None and not isinstance(text, str):
            yield f"{where}.{content} is {_kind(text)}, not text"
        elif text is None or (not text.strip() and turn[role] != tags["observation_tag"]):
            # A function may return nothing.
            yield f"{where}.{content} is empty"
        if place < first:
            continue
        allowed = (asking, answering)[(place - first) % 2]
        if turn[role] not in allowed:
            yield f"{where}.{role}={turn[role]}: turns are out of order, {' or '.join(allowed)} belongs here"
            return
        if turn[role] == tags["function_tag"] and isinstance(text, str) and text.strip():
            yield from _call(f"{where}.{content}", text)
    if len(turns) == first:
        yield f"{name} has no turn but {turns[0][role]}; {' or '.join(asking)} and an answer must follow"
    elif (len(turns) - first) % 2:
        yield f"{name} ends with {turns[-1][role]}; the last turn must be {' or '.join(answering)}"


def _call(where: str, text: str) -> Iterator[str]:
    within = _CALL.search(text)
    try:
        calls = json_text.load(within[1] if within else _THOUGHT.sub("", text))
    except ValueError as error:
        yield f"{where} is no JSON: {error}"
        return
    for call in calls if isinstance(calls, list) else [calls]:
        if not isinstance(call, dict) or not {"name", "arguments"} <= call.keys():
            yield f'{where} must be {{"name": ..., "arguments": ...}}'


def _system_and_tools(record: Record, columns: dict[str, str]) -> Iterator[str]:
    yield from _text(record, columns.get("system"))
    name = columns.get("tools")
    given = record.get(name) if name else None
    if not given:
        return
    if not isinstance(given, str):
        yield f"{name} is {_kind(given)}, not text; LLaMA-Factory reads the list of tools as JSON in a text"
        return
    try:
        tools = json_text.load(given)
    except ValueError as error:
        yield f"{name} is no JSON: {error}"
        return
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        yield f"{name} must be a list of tools"


def _text(record: Record, name: str | None, needed: bool = False) -> Iterator[str]:
    value = record.get(name) if name else None
    if value is not None and not isinstance(value, str):
        yield f"{name} is {_kind(value)}, not text"
    elif needed and not without_lone_surrogates(value or "").strip():
        yield _absent(str(name), record)


def _absent(name: str, record: Record) -> str:
    if name in record:
        return f"{name} is empty"
    return f"there is no column {name}; there is {', '.join(map(str, record)) or 'none'}"


def _kind(value: Any) -> str:
    return {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}.get(
        type(value), type(value).__name__
    )
