"""What the user sees while runs go on: one plain line an event, and on a terminal a live view below them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from harness.cli.elsewhere import Elsewhere
from harness.cli.status import clock
from harness.cli.terminal import Terminal
from harness.devices.sampler import Sampler
from harness.execution.observer import Observer, RunLabel, RunStarted
from harness.runs import events
from harness.runs.events import Event, Phase, PhaseStarted, TrainingStarted
from harness.runs.folder import SweepFolder
from harness.runs.record import Divergence, DivergenceKind, Outcome, Record, Reply, Score, passed
from harness.runs.status import SHOWN

if TYPE_CHECKING:
    from harness.execution.outlook import Outlook
    from harness.memory.forecast import ArmForecast

_TAIL_LINES = 8
_RATE_SECONDS = 600.0
"""The time left is reckoned by the steps of these last seconds: a step of a large model may take a minute."""


class Display:
    """One plain line an event: for logs, pipes and schedulers. The live view extends it."""

    def __init__(self, total: int, lines: Path | None = None) -> None:
        """`total`: how many runs there are. `lines`: the file to write to, in place of the terminal."""
        self._total = total
        self._label: RunLabel | None = None
        self._total_steps = 0
        self._previous: Event | None = None
        self._sampler: Sampler | None = None
        self._memory = ""
        # A pipe gets whole lines, whatever width rich takes it for.
        file = None if lines is None else _appending(lines)
        self._console = Terminal(file=file, highlight=False, soft_wrap=file is not None or not sys.stdout.isatty())
        self._errors = self._console
        if file is None:
            self._errors = Terminal(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
        self._elsewhere: Elsewhere | None = None

    def note(self, text: str) -> None:
        self._console.print(escape(text))

    def warn(self, text: str) -> None:
        self._errors.print(f"[yellow]warning:[/] {escape(text)}")

    def announced(self, outlook: Outlook) -> None:
        from harness.cli.announcement import announcement  # It brings scipy along, which a run by itself needs not.

        for line in announcement(outlook):
            self.note(line)

    def foreseen(self, arms: Sequence[ArmForecast], is_dry: bool) -> None:
        from harness.cli.forecast_table import line, show
        from harness.memory.reasons import reasons

        if is_dry:
            show(self._console, arms, reasons(arms))
        else:
            self.note(line(arms))

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
            case PhaseStarted(phase=Phase.EVALUATE) if not isinstance(self._previous, events.AdapterChecked):
                self._line("scoring")
            case events.Evidence():
                self._line(
                    f"{event.quantized_modules} of {event.linear_modules} linear modules quantized, "
                    f"{event.trainable_parameters:,} of {event.total_parameters:,} parameters trainable"
                )
            case events.RowsTokenized() if event.at_cutoff:
                self._warn_of_run(
                    f"{event.at_cutoff} of {event.rows} rows reach training.cutoff_length={event.cutoff_tokens} "
                    "tokens and are cut there"
                )
            case TrainingStarted():
                self._total_steps = event.total_steps
            case events.TrainingLoss():
                self._line(f"step {event.step}/{self._total_steps} loss {event.loss:.4f}{self._memory_now()}")
            case events.ValidationLoss():
                self._line(f"step {event.step}/{self._total_steps} validation loss {event.loss:.4f}")
        self._previous = event

    def run_finished(self, record: Record) -> None:
        outcome = [_status(record), *_results(record.score, record.replies)]
        took = "" if record.wall_seconds is None else f", {record.wall_seconds:.0f} s"
        self._line(f"{', '.join(outcome)}{took}{self._memory_now()}")
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

    def launched(self, sweeps: Sequence[SweepFolder], free_chips: Callable[[], tuple[int, int] | None]) -> None:
        if self._elsewhere is None:
            self._elsewhere = Elsewhere(sweeps, free_chips, self._console)

    def close(self) -> None:
        if self._elsewhere is not None:
            self._elsewhere.stop()
            self._elsewhere = None

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
            for quantity in SHOWN:
                used = self._sampler.latest_mib(quantity)
                peak = self._sampler.peak_mib(quantity)
                if peak is not None:
                    current = "" if used is None else f" {used:,.0f} MiB,"
                    self._memory = f", {quantity.value} memory{current} peak {peak:,.0f} MiB"
                    break
        return self._memory


class LiveDisplay(Display):
    """The plain lines, and below them a view of the run that is under way."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        super().__init__(total)
        if sys.stderr.isatty():
            # By the same console, or the view would be drawn over the warnings.
            self._errors = self._console
        self._clock = clock
        self._view: _View | None = None
        self._durations: list[float] = []

    def run_started(self, run: RunStarted) -> None:
        super().run_started(run)
        # A new one for each run: one that is started again erases the lines that were printed in between.
        self._view = _View(self._console, self._clock, lambda: self._head(run.label.number, run.label.name))
        self._view.start()

    def event(self, event: Event) -> None:
        super().event(event)
        if self._view is not None:
            self._view.show(event)

    def run_finished(self, record: Record) -> None:
        self.close()
        super().run_finished(record)
        if record.status is Outcome.COMPLETED and record.wall_seconds is not None:
            self._durations.append(record.wall_seconds)

    def close(self) -> None:
        super().close()
        if self._view is not None:
            self._view.stop()
            self._view = None

    def _head(self, number: int, name: str) -> Text:
        head = Text.assemble((f"run {number} of {self._total}  ", "bold"), (name, "bold cyan"))
        if self._view is not None:
            head.append(f"  {self._view.phase or 'starting'}{self._memory_now()}")
            if self._durations:
                mean = sum(self._durations) / len(self._durations)
                left = max(0.0, mean - self._view.elapsed_seconds()) + mean * (self._total - number)
                head.append(f"  about {clock(left)} left in the sweep")
        return head


class _View(Progress):
    """A bar for the steps of the training, and one for the questions of each target that is scored."""

    def __init__(self, console: Console, clock: Callable[[], float], head: Callable[[], Text]) -> None:
        self.phase: Phase | None = None
        self._head = head
        self._clock = clock
        self._started = clock()
        self._bars: dict[str, TaskID] = {}
        columns = (TextColumn("{task.description}"), BarColumn(32), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(
            *columns,
            TextColumn("left"),
            console=console,
            get_time=clock,
            refresh_per_second=4,
            speed_estimate_period=_RATE_SECONDS,
            transient=True,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self._head()
        yield self.make_tasks_table(self.tasks)

    def elapsed_seconds(self) -> float:
        return self._clock() - self._started

    def show(self, event: Event) -> None:
        match event:
            case PhaseStarted():
                self.phase = event.phase
                if event.phase is Phase.EVALUATE and "question" in self._bars:
                    # Of another target, at another rate.
                    self.remove_task(self._bars.pop("question"))
            case TrainingStarted():
                self._reached("step", 0, event.total_steps)
            case events.TrainingStep():
                self._reached("step", event.step)
            case events.EvaluationProgress():
                self._reached("question", event.done, event.total)

    def _reached(self, what: str, done: int, total: int | None = None) -> None:
        if what not in self._bars:
            self._bars[what] = self.add_task(what, total=total)
        bar = self._bars[what]
        # The first step is worth seeing at once: a wrong batch size shows by how long it took.
        is_first = next(task.completed == 0 for task in self.tasks if task.id == bar)
        self.update(bar, completed=done, total=total, refresh=is_first)


def make_display(total: int, lines: Path | None = None) -> Observer:
    """Return what shows `total` runs: a live view where stdout is a terminal, else plain lines, in the file if any."""
    return LiveDisplay(total) if lines is None and Console().is_terminal else Display(total, lines)


def _appending(file: Path) -> TextIO | None:
    """None: the file cannot be written to, and lines go to the terminal."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("a", encoding="utf-8", buffering=1)
    except OSError:
        return None


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
