"""The answers to evaluation.prompts: a row a prompt; base, arms and merged models side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.comparison.arms import Arm
from harness.report.document import Cell, Strong, Table
from harness.report.markdown import cut
from harness.report.tables import make
from harness.report.text import Text
from harness.runs.record import Reply, passed

MOST_ARMS = 8
"""Each has a column."""


@dataclass(frozen=True)
class _Column:
    head: str
    shown: Sequence[Reply]
    """One run's, or a base's; of the same prompt the last."""
    counted: Sequence[Reply]
    """Of all seeds."""

    def reply(self, prompt: str, expected: str | None) -> Reply | None:
        found = (reply for reply in reversed(self.shown) if (reply.prompt, reply.expected) == (prompt, expected))
        return next(found, None)


def prompts_table(arms: Sequence[Arm], text: Text) -> Table | None:
    """Return the answers of each arm's first seed, and how many passed over all seeds; None: nothing was asked."""
    columns = [*_bases(arms, text), *(column for arm in arms for column in _of_arm(arm, text))][: 2 * MOST_ARMS]
    asked = dict.fromkeys((reply.prompt, reply.expected) for column in columns for reply in column.shown)
    if not asked:
        return None
    rows: list[list[Cell]] = [
        [
            cut(prompt, text.MORE_CHARACTERS),
            expected,
            *(_cell(column.reply(prompt, expected), text) for column in columns),
        ]
        for prompt, expected in asked
    ]
    counts = [passed(column.counted) for column in columns]
    if any(counts):
        counted = (None if count is None else text.SHARE.format(*count) for count in counts)
        rows.append([[Strong(text.PASSED_PROMPTS)], None, *counted])
    return make(text, "prompts", [*text.PROMPT_HEADERS, *(column.head for column in columns)], rows, figures=False)


def _bases(arms: Sequence[Arm], text: Text) -> Iterator[_Column]:
    """Yield one column, unless arms were trained on several bases, or on one in several ways."""
    bases: dict[object, dict[str, list[Reply]]] = {}
    for arm in arms:
        for run in arm.completed:
            if run.record.base_replies:
                base = run.folder.sweep.path, run.record.base_folder
                bases.setdefault(base, {}).setdefault(arm.label, []).extend(run.record.base_replies)
    for by_arm in bases.values():
        # Arms and seeds share a base's answers: each prompt counts once.
        replies = {(reply.prompt, reply.expected): reply for given in by_arm.values() for reply in given}
        head = text.base_column(list(by_arm) if len(bases) > 1 else [])
        yield _Column(head, list(replies.values()), list(replies.values()))


def _of_arm(arm: Arm, text: Text) -> Iterator[_Column]:
    records = [run.record for run in arm.completed if run.record.replies or run.record.merged_replies]
    if not records:
        return
    first = records[0]
    if first.replies:
        head = text.RUN.format(label=arm.label, seed=first.seed)
        yield _Column(head, first.replies, [reply for record in records for reply in record.replies])
    if first.merged_replies:
        head = text.MERGED_RUN.format(label=arm.label, seed=first.seed)
        yield _Column(head, first.merged_replies, [reply for record in records for reply in record.merged_replies])


def _cell(reply: Reply | None, text: Text) -> Cell:
    if reply is None:
        return None
    answer = cut(reply.answer, text.MORE_CHARACTERS) or text.NO_TEXT
    mark: list[str | Strong] = [] if reply.passed is None else [Strong(text.PASSED[reply.passed]), "\n"]
    short = [] if reply.finished else [f"\n{text.STOPPED.format(reply.generated_tokens)}"]
    return [*mark, answer, *short]
