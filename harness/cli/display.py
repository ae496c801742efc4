"""What the user sees while runs go on: one plain line an event, and on a terminal a live view below them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.devices.reading import Quantity
from harness.devices.sampler import Sampler
from harness.execution.observer import Observer, RunLabel, RunStarted
from harness.runs.events import (
    Event,
    Evidence,
    Phase,
    PhaseStarted,
    RowsTokenized,
    TrainingLoss,
    TrainingStarted,
    ValidationLoss,
)
from harness.runs.record import Divergence, DivergenceKind, Outcome, Record, Reply, Score, passed

_SHOWN = (Quantity.DEVICE, Quantity.PROCESS, Quantity.HOST)
"""Which memory is shown: the first that a sensor tells."""
_TAIL_LINES = 8


class Display:
    """One plain line an event: for logs, pipes and schedulers. The live view extends it."""

    def __init__(self, total: int) -> None:
        """`total`: how many runs there are."""
        self._total = total
        self._label: RunLabel | None = None
        self._total_steps = 0
        self._sampler: Sampler | None = None
        self._memory = ""
        # A pipe gets whole lines, whatever width rich takes it for.
        self._console: Console = _Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self._errors: Console = _Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())

    def note(self, text: str) -> None:
        self._console.print(escape(text))

    def warn(self, text: str) -> None:
        self._errors.print(f"[yellow]warning:[/] {escape(text)}")

    def planned(self, label: RunLabel, file: Path) -> None:
        self._begin(label)
        self._line(f"planned: {file}")

    def skipped(self, label: RunLabel, why: str) -> None:
        self._begin(label)
        self._line(why)

    def run_started(self, run: RunStarted) -> None:
        self._begin(run.label)
        self._line(f"started on {run.product}, {run.precision}: {run.folder}")

    def watch(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def event(self, event: Event) -> None:
        match event:
            case PhaseStarted(phase=Phase.LOAD):
                self._line("loading")
            case PhaseStarted(phase=Phase.EVALUATE):
                self._line("scoring")
            case Evidence():
                self._line(
                    f"{event.quantized_modules} of {event.linear_modules} linear modules quantized, "
                    f"{event.trainable_parameters:,} of {event.total_parameters:,} parameters trainable"
                )
            case RowsTokenized() if event.at_cutoff:
                self._warn_of_run(
                    f"{event.at_cutoff} of {event.rows} rows reach training.cutoff_length={event.cutoff_tokens} "
                    "tokens and are cut there"
                )
            case TrainingStarted():
                self._total_steps = event.total_steps
            case TrainingLoss():
                self._line(f"step {event.step}/{self._total_steps} loss {event.loss:.4f}{self._memory_now()}")
            case ValidationLoss():
                self._line(f"step {event.step}/{self._total_steps} validation loss {event.loss:.4f}")

    def run_finished(self, record: Record) -> None:
        outcome = [_status(record), *_results(record.score, record.replies)]
        self._line(f"{', '.join(outcome)}, {record.wall_seconds:.0f} s{self._memory_now()}")
        self._sampler = None
        if record.divergence is not None:
            self._warn_of_run(f"diverged: {_why(record.divergence)}")
        if record.status is not Outcome.COMPLETED:
            self._warn_of_run(str(record.reason))
            if known := record.diagnosis:
                self._errors.print(f"  cause: {escape(known.cause)}\n  fix:   {escape(known.fix)}")
            for line in record.log_tail[-_TAIL_LINES:]:
                self._errors.print(f"  | {escape(line)}")

    def target_answered(self, who: str, score: Score | None, replies: Sequence[Reply]) -> None:
        self._line(f"{who}: {', '.join(_results(score, replies))}")

    def sweep_finished(self, records: Sequence[Record], verdict: Sequence[str], report: Path | None) -> None:
        self.close()
        self._console.print(_runs_table(records))
        for sentence in verdict:
            self._console.print(escape(sentence))
        if report is not None:
            self._console.print(f"report: {escape(str(report))}")

    def close(self) -> None:
        pass

    def _begin(self, label: RunLabel) -> None:
        self._label, self._total_steps, self._sampler, self._memory = label, 0, None, ""

    def _line(self, text: str) -> None:
        where = "" if self._label is None else f"[{self._label.number}/{self._total}] {self._label.name} "
        self._console.print(escape(where + text))

    def _warn_of_run(self, text: str) -> None:
        self.warn(text if self._label is None else f"{self._label.name}: {text}")

    def _memory_now(self) -> str:
        """`, host memory 512 MiB, peak 530 MiB`, of the sensor that counts most; nothing where none tells."""
        if self._sampler is not None:
            for quantity in _SHOWN:
                used = self._sampler.latest_mib(quantity)
                peak = self._sampler.peak_mib(quantity)
                if peak is not None:
                    current = "" if used is None else f" {used:,.0f} MiB,"
                    self._memory = f", {quantity.value} memory{current} peak {peak:,.0f} MiB"
                    break
        return self._memory


class _Console(Console):
    """Falls silent where nobody reads any more or the disk is full, which must cost no run."""

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        # Rich's own ends the process.
        self.quiet = True
        with suppress(OSError), Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), self.file.fileno())


def make_display(total: int) -> Observer:
    """Return what shows `total` runs: a live view where stdout is a terminal, else plain lines."""
    if not Console().is_terminal:
        return Display(total)
    from harness.cli.live_display import LiveDisplay

    return LiveDisplay(total)


def _status(record: Record) -> str:
    return f"{record.status}, diverged" if record.diverged else str(record.status)


def _why(divergence: Divergence) -> str:
    if divergence.kind is DivergenceKind.NOT_FINITE:
        return f"its loss was {divergence.last_loss:.4f} at step {divergence.step}"
    return (
        f"its training loss ended at {divergence.last_loss:.4f}, no lower than the {divergence.first_loss:.4f} that it "
        "began with"
    )


def _results(score: Score | None, replies: Sequence[Reply]) -> list[str]:
    results = [] if score is None else [f"{score.correct} of {score.questions} right"]
    return [*results, f"prompts: {_prompted(replies)}"] if replies else results


def _prompted(replies: Sequence[Reply]) -> str:
    if counted := passed(replies):
        return f"{counted[0]} of {counted[1]} passed"
    return f"{len(replies)} answered" if replies else ""


def _runs_table(records: Sequence[Record]) -> Table:
    table = Table(box=None, header_style="bold")
    merged = ["merged"] if any(record.merged_score for record in records) else []
    prompts = ["prompts"] if any(record.replies for record in records) else []
    for column in ("arm", "seed", "status", "right", *merged, *prompts, "training", "tokens/s"):
        table.add_column(column, justify="left" if column in ("arm", "status") else "right")
    for record in records:
        score, training = record.score, record.training
        table.add_row(
            record.arm,
            str(record.seed),
            _status(record),
            "" if score is None else f"{score.accuracy:.1%}",
            *("" if record.merged_score is None else f"{record.merged_score.accuracy:.1%}" for _ in merged),
            *(_prompted(record.replies) for _ in prompts),
            "" if training is None else f"{training.train_seconds:.1f} s",
            "" if training is None else f"{training.tokens_per_second:,.0f}",
        )
    return table
