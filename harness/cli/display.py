"""What the user sees while runs go on: a live view on a terminal, else one plain line an event."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.devices.reading import Quantity
from harness.devices.sampler import Sampler
from harness.plan.spec import Plan
from harness.runs.events import (
    EvaluationProgress,
    Event,
    Evidence,
    Phase,
    PhaseStarted,
    RowsTokenized,
    TrainingLoss,
    TrainingStarted,
    TrainingStep,
    ValidationLoss,
)
from harness.runs.record import Outcome, Record, Reply, Score, passed

_SHOWN = (Quantity.DEVICE, Quantity.PROCESS, Quantity.HOST)
"""Which memory is shown: the first that a sensor tells."""
_TAIL_LINES = 8


class Display:
    """One plain line an event: for logs, pipes and schedulers. The live view extends it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.number = 0
        self.durations: list[float] = []
        self.view = _View()
        # A pipe gets whole lines, whatever width rich takes it for.
        self.console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self._errors = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())

    def note(self, text: str) -> None:
        self.console.print(escape(text))

    def warn(self, text: str) -> None:
        self._errors.print(f"[yellow]warning:[/] {escape(text)}")

    def planned(self, plan: Plan) -> None:
        self.number += 1
        self._line(f"planned: {plan.folder / 'train.yaml'}")

    def skipped(self, plan: Plan, why: str) -> None:
        self.number += 1
        self.view = _View(name=plan.name)
        self._line(why)

    def run_started(self, plan: Plan) -> None:
        self.number += 1
        self.view = _View(name=plan.name, started=time.monotonic())
        self._line(f"started on {plan.device.product}, {plan.precision}: {plan.folder}")

    def watch(self, sampler: Sampler) -> None:
        self.view.sampler = sampler

    def event(self, event: Event) -> None:
        self.view.take(event)
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
                self.warn(
                    f"{self.view.name}: {event.at_cutoff} of {event.rows} rows reach training.cutoff_length="
                    f"{event.cutoff_tokens} tokens and are cut there"
                )
            case TrainingLoss():
                self._line(f"step {event.step}/{self.view.total_steps} loss {event.loss:.4f}{self.view.memory()}")
            case ValidationLoss():
                self._line(f"step {event.step}/{self.view.total_steps} validation loss {event.loss:.4f}")

    def run_finished(self, record: Record) -> None:
        self.durations.append(record.wall_seconds)
        self.view.sampler = None
        said = [record.status.value, *_told(record.score, record.replies)]
        said.append(f"{record.wall_seconds:.0f} s{self.view.memory()}")
        self._line(", ".join(said))
        if record.status is not Outcome.COMPLETED:
            self.warn(f"{self.view.name}: {record.reason}")
            if found := record.diagnosis:
                self._errors.print(f"  cause: {escape(found.cause)}\n  fix:   {escape(found.fix)}")
            for line in record.log_tail[-_TAIL_LINES:]:
                self._errors.print(f"  | {escape(line)}")

    def told(self, who: str, score: Score | None, replies: Sequence[Reply]) -> None:
        self._line(f"{who}: {', '.join(_told(score, replies))}")

    def finished(self, records: Sequence[Record], verdict: Sequence[str], report: Path | None) -> None:
        self.close()
        self.console.print(_runs_table(records))
        for sentence in verdict:
            self.console.print(escape(sentence))
        if report is not None:
            self.console.print(f"report: {escape(str(report))}")

    def close(self) -> None:
        """Give the terminal back."""

    def _line(self, text: str) -> None:
        where = f"[{self.number}/{self.total}] {self.view.name} " if self.view.name else ""
        self.console.print(escape(where + text))


class LiveDisplay(Display):
    """The plain lines of each run's start and end, and below them a view that is drawn anew."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._live: Live | None = None

    def run_started(self, plan: Plan) -> None:
        super().run_started(plan)
        # A new one for each run: one that is started again erases the lines that were printed in between.
        self._live = Live(get_renderable=self._render, console=self.console, refresh_per_second=4, transient=True)
        self._live.start()

    def event(self, event: Event) -> None:
        self.view.take(event)

    def run_finished(self, record: Record) -> None:
        self.close()
        super().run_finished(record)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _render(self) -> RenderableType:
        view = self.view
        head = Text.assemble(
            (f"run {self.number} of {self.total}  ", "bold"), (view.name, "bold cyan"), f"  {view.phase or 'starting'}"
        )
        if view.loss is not None:
            head.append(f"  loss {view.loss:.4f}")
        grid = Table.grid(padding=(0, 2))
        grid.add_row(
            ProgressBar(total=view.total_steps or 1, completed=view.step, width=32),
            f"{view.doing} {view.step}/{view.total_steps}",
            f"{_clock(self._run_left())} left in this run, {_clock(self._sweep_left())} in the sweep",
        )
        return Group(head, grid, Text((view.memory() or ", no memory read yet").removeprefix(", ")))

    def _run_left(self) -> float | None:
        elapsed = time.monotonic() - self.view.started
        if self.durations:
            return max(0.0, sum(self.durations) / len(self.durations) - elapsed)
        return self.view.steps_left_seconds()

    def _sweep_left(self) -> float | None:
        """From the mean of the runs that are over; unknown before the first is."""
        left = self._run_left()
        if not self.durations or left is None:
            return None
        return left + sum(self.durations) / len(self.durations) * (self.total - self.number)


class _View:
    """The state of the run that is under way."""

    def __init__(self, name: str = "", started: float = 0.0) -> None:
        self.name = name
        self.started = started
        self.phase: Phase | None = None
        self.doing = "step"
        self.step = 0
        self.total_steps = 0
        self.loss: float | None = None
        self.sampler: Sampler | None = None
        self._steps_started: float | None = None
        self._memory = ""

    def take(self, event: Event) -> None:
        match event:
            case PhaseStarted():
                self.phase = event.phase
            case TrainingStarted():
                self.total_steps, self._steps_started = event.total_steps, time.monotonic()
            case TrainingStep():
                self.step = event.step
            case TrainingLoss():
                self.loss = event.loss
            case EvaluationProgress():
                self.doing, self.step, self.total_steps = "question", event.done, event.total

    def steps_left_seconds(self) -> float | None:
        if self._steps_started is None or not self.step:
            return None
        return (time.monotonic() - self._steps_started) / self.step * (self.total_steps - self.step)

    def memory(self) -> str:
        """`, host memory 512 MiB, peak 530 MiB`, of the sensor that counts most; nothing where none tells."""
        if self.sampler is not None:
            for quantity in _SHOWN:
                now = self.sampler.latest_mib(quantity)
                peak = self.sampler.peak_mib(quantity)
                if peak is not None:
                    current = "" if now is None else f" {now:,.0f} MiB,"
                    self._memory = f", {quantity.value} memory{current} peak {peak:,.0f} MiB"
                    break
        return self._memory


def make_display(total: int) -> Display:
    return LiveDisplay(total) if Console().is_terminal else Display(total)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _told(score: Score | None, replies: Sequence[Reply]) -> list[str]:
    said = [] if score is None else [f"{score.correct} of {score.questions} right"]
    return [*said, f"prompts: {_prompted(replies)}"] if replies else said


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
            record.status.value,
            "" if score is None else f"{score.accuracy:.1%}",
            *("" if record.merged_score is None else f"{record.merged_score.accuracy:.1%}" for _ in merged),
            *(_prompted(record.replies) for _ in prompts),
            "" if training is None else f"{training.train_seconds:.1f} s",
            "" if training is None else f"{training.tokens_per_second:,.0f}",
        )
    return table
