"""The answers to evaluation.prompts: a row a prompt; base, arms and merged models side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from harness.comparison.arms import Arm
from harness.comparison.runs import Run
from harness.report.markdown import Markdown, cut, escape, text_table
from harness.runs.record import Reply, passed

Asked: TypeAlias = tuple[str, str | None]
"""A prompt and what its answer must contain."""

MARKS = {True: "**pass**", False: "**fail**"}


@dataclass(frozen=True)
class _Column:
    head: str
    shown: dict[Asked, Reply]
    """One run's."""
    counted: list[Reply]
    """Of all seeds."""


def prompts_table(arms: Sequence[Arm]) -> Markdown | None:
    """Of each arm the answers of its first seed, and how many passed over all seeds. None where nothing was asked."""
    columns = [*_bases(arms), *(column for arm in arms for column in _of_arm(arm))]
    asked = list(dict.fromkeys(key for column in columns for key in column.shown))
    if not asked:
        return None
    rows: list[list[object]] = [
        [cut(prompt), expected, *(_cell(column.shown.get((prompt, expected))) for column in columns)]
        for prompt, expected in asked
    ]
    if any(reply.passed is not None for column in columns for reply in column.counted):
        rows.append([Markdown("**Passed, over all seeds**"), None, *(_passed(column.counted) for column in columns)])
    return text_table(["Prompt", "Expected", *(column.head for column in columns)], rows)


def _by_prompt(replies: Iterable[Reply]) -> dict[Asked, Reply]:
    return {(reply.prompt, reply.expected): reply for reply in replies}


def _prompted(arm: Arm) -> Iterator[Run]:
    """By seed."""
    return (run for run in arm.completed if run.record.replies or run.record.merged_replies)


def _bases(arms: Sequence[Arm]) -> list[_Column]:
    """One, unless arms were trained on several bases, or on one in several ways."""
    replies: dict[tuple[Path, str | None], list[Reply]] = {}
    labels: dict[tuple[Path, str | None], list[str]] = {}
    for arm in arms:
        for run in arm.completed:
            if run.record.base_replies:
                base = run.folder.parent, run.record.base_folder
                replies.setdefault(base, []).extend(run.record.base_replies)
                labels.setdefault(base, []).append(arm.label)
    heads = {
        base: f"base of {', '.join(dict.fromkeys(of))}" if len(labels) > 1 else "base" for base, of in labels.items()
    }
    shown = {base: _by_prompt(given) for base, given in replies.items()}
    return [_Column(heads[base], given, list(given.values())) for base, given in shown.items()]


def _of_arm(arm: Arm) -> Iterator[_Column]:
    runs = list(_prompted(arm))
    if not runs:
        return
    first, seed = runs[0].record, f"seed {runs[0].record.seed}"
    if first.replies:
        counted = [reply for run in runs for reply in run.record.replies]
        yield _Column(f"{arm.label}, {seed}", _by_prompt(first.replies), counted)
    if first.merged_replies:
        counted = [reply for run in runs for reply in run.record.merged_replies]
        yield _Column(f"{arm.label} merged, {seed}", _by_prompt(first.merged_replies), counted)


def _cell(reply: Reply | None) -> Markdown | None:
    if reply is None:
        return None
    mark = [] if reply.passed is None else [MARKS[reply.passed]]
    short = [] if reply.finished else [escape(f"[stopped after {reply.generated_tokens} tokens]")]
    return Markdown("<br>".join([*mark, escape(cut(reply.answer) or "(no text)"), *short]))


def _passed(replies: Sequence[Reply]) -> str | None:
    counted = passed(replies)
    return counted and f"{counted[0]} of {counted[1]}"
