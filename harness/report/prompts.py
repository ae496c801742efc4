"""The answers to evaluation.prompts: a row a prompt; base, arms and merged models side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from harness.comparison.arms import Arm
from harness.comparison.runs import Run
from harness.report.markdown import Markdown, cut, escape, text_table
from harness.report.text import Row, Table, Text
from harness.runs.record import Reply, passed

Asked: TypeAlias = tuple[str, str | None]
"""A prompt and what its answer must contain."""


@dataclass(frozen=True)
class _Column:
    head: str
    shown: dict[Asked, Reply]
    """One run's."""
    counted: list[Reply]
    """Of all seeds."""


def prompts_table(arms: Sequence[Arm], text: Text) -> Markdown | None:
    """Return the answers of each arm's first seed, and how many passed over all seeds; None: nothing was asked."""
    columns = [*_bases(arms, text), *(column for arm in arms for column in _of_arm(arm, text))]
    asked = list(dict.fromkeys(key for column in columns for key in column.shown))
    if not asked:
        return None
    rows: list[list[object]] = [
        [
            cut(prompt, text.report.more_characters),
            expected,
            *(_cell(column.shown.get((prompt, expected)), text) for column in columns),
        ]
        for prompt, expected in asked
    ]
    if any(reply.passed is not None for column in columns for reply in column.counted):
        head = Markdown(f"**{text.titles.ROWS[Row.PASSED_PROMPTS]}**")
        rows.append([head, None, *(_passed(column.counted, text) for column in columns)])
    return text_table([*text.titles.HEADERS[Table.PROMPTS], *(column.head for column in columns)], rows)


def _by_prompt(replies: Iterable[Reply]) -> dict[Asked, Reply]:
    return {(reply.prompt, reply.expected): reply for reply in replies}


def _prompted(arm: Arm) -> Iterator[Run]:
    """Yield its runs that were asked anything, by seed."""
    return (run for run in arm.completed if run.record.replies or run.record.merged_replies)


def _bases(arms: Sequence[Arm], text: Text) -> list[_Column]:
    """Return one column, unless arms were trained on several bases, or on one in several ways."""
    replies: dict[tuple[Path, str | None], list[Reply]] = {}
    labels: dict[tuple[Path, str | None], list[str]] = {}
    for arm in arms:
        for run in arm.completed:
            if run.record.base_replies:
                base = run.folder.sweep.path, run.record.base_folder
                replies.setdefault(base, []).extend(run.record.base_replies)
                labels.setdefault(base, []).append(arm.label)
    heads = {
        base: text.report.base_column(list(dict.fromkeys(of)) if len(labels) > 1 else []) for base, of in labels.items()
    }
    shown = {base: _by_prompt(given) for base, given in replies.items()}
    return [_Column(heads[base], given, list(given.values())) for base, given in shown.items()]


def _of_arm(arm: Arm, text: Text) -> Iterator[_Column]:
    runs = list(_prompted(arm))
    if not runs:
        return
    first = runs[0].record
    if first.replies:
        counted = [reply for run in runs for reply in run.record.replies]
        yield _Column(text.report.arm_column(arm.label, first.seed, False), _by_prompt(first.replies), counted)
    if first.merged_replies:
        counted = [reply for run in runs for reply in run.record.merged_replies]
        yield _Column(text.report.arm_column(arm.label, first.seed, True), _by_prompt(first.merged_replies), counted)


def _cell(reply: Reply | None, text: Text) -> Markdown | None:
    if reply is None:
        return None
    mark = [] if reply.passed is None else [f"**{escape(text.titles.PASSED[reply.passed])}**"]
    short = [] if reply.finished else [escape(text.report.stopped(reply.generated_tokens))]
    answer = cut(reply.answer, text.report.more_characters) or text.titles.NO_TEXT
    return Markdown("<br>".join([*mark, escape(answer), *short]))


def _passed(replies: Sequence[Reply], text: Text) -> str | None:
    counted = passed(replies)
    return counted and text.report.share(*counted)
