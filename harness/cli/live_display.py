"""The view on a terminal: the plain lines, and below them how far the run is, drawn anew as it goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from harness.cli.display import Display
from harness.execution.observer import RunStarted
from harness.runs.events import EvaluationProgress, Event, Phase, PhaseStarted, TrainingStarted, TrainingStep
from harness.runs.record import Outcome, Record

_RATE_SECONDS = 600.0
"""The time left is reckoned by the steps of these last seconds: a step of a large model may take a minute."""


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
        if record.status is Outcome.COMPLETED:
            self._durations.append(record.wall_seconds)

    def close(self) -> None:
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
                head.append(f"  about {_hours(left)} left in the sweep")
        return head


class _View(Progress):
    """A bar for the steps of the training, and one for the questions of each target that is scored."""

    def __init__(self, console: Console, clock: Callable[[], float], head: Callable[[], Text]) -> None:
        self.phase: Phase | None = None
        self._head = head
        self._clock = clock
        self._started = clock()
        self._bars: dict[str, TaskID] = {}
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(32),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
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
        """Return how long the run is under way."""
        return self._clock() - self._started

    def show(self, event: Event) -> None:
        """Draw what a worker has reported."""
        match event:
            case PhaseStarted():
                self.phase = event.phase
                if event.phase is Phase.EVALUATE and "question" in self._bars:
                    # Of another target, at another rate.
                    self.remove_task(self._bars.pop("question"))
            case TrainingStarted():
                self._reached("step", 0, event.total_steps)
            case TrainingStep():
                self._reached("step", event.step)
            case EvaluationProgress():
                self._reached("question", event.done, event.total)

    def _reached(self, what: str, done: int, total: int | None = None) -> None:
        if what not in self._bars:
            self._bars[what] = self.add_task(what, total=total)
        bar = self._bars[what]
        # The first step is worth seeing at once: a wrong batch size shows by how long it took.
        is_first = next(task.completed == 0 for task in self.tasks if task.id == bar)
        self.update(bar, completed=done, total=total, refresh=is_first)


def _hours(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
