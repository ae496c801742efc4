"""What a report says in words, by language: `en` is a package whose `TEXT` is a Text; another language is another such
module or package beside it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from harness.base.errors import UserError
from harness.comparison.answers import Unpairable
from harness.comparison.arms import Arm, Summary
from harness.comparison.differences import Comparison, Direction, PairedDifference
from harness.comparison.fairness import Fact, OtherCause
from harness.comparison.findings import Caveat, Limit, UselessScore
from harness.comparison.intervals import Interval
from harness.comparison.metrics import Metric, Unit
from harness.comparison.runs import Run, Superseded
from harness.devices.reading import Quantity
from harness.runs.record import Diagnosis, MemoryPeak


class Section(StrEnum):
    ARMS = "arms"
    EVIDENCE = "evidence"
    DIFFERENCES = "differences"
    OTHER_CAUSES = "other_causes"
    MERGING = "merging"
    FIGURES = "figures"
    PROMPTS = "prompts"
    EXAMPLES = "examples"
    RUNS = "runs"
    LEFT_OUT = "left_out"
    MEMORY = "memory"
    ENVIRONMENT = "environment"
    LIMITS = "limits"


class Row(StrEnum):
    """Rows of the tables of arms and of the environment that no metric names."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    TRAINING_ROWS = "training_rows"
    CUT_OFF = "cut_off"
    BASE_ACCURACY = "base_accuracy"
    DEVICE = "device"
    PLATFORM = "platform"
    CPUS = "cpus"
    HOST_MEMORY = "host_memory"
    COMMIT = "commit"
    PASSED_PROMPTS = "passed_prompts"


class Table(StrEnum):
    """Tables whose headers name no arm."""

    EVIDENCE = "evidence"
    MERGING = "merging"
    RUNS = "runs"
    MEMORY = "memory"
    EXAMPLE = "example"
    PROMPTS = "prompts"


class Picture(StrEnum):
    """Figures, by the names of their files."""

    LOSS = "loss"
    MEMORY = "memory"
    DIFFERENCES = "differences"


class Titles(Protocol):
    """Fixed texts: headings, headers, names of what is measured and compared."""

    HEADINGS: Mapping[Section, str]
    EXPLANATIONS: Mapping[Section, str]
    """What stands below a heading, where anything does."""
    ROWS: Mapping[Row, str]
    HEADERS: Mapping[Table, Sequence[str]]
    METRICS: Mapping[str, str]
    """Titles by a metric's key."""
    UNITS: Mapping[Unit, str]
    DIFFERENCE_UNITS: Mapping[Unit, str]
    """Where a difference has another unit than its values."""
    DIRECTIONS: Mapping[Direction, str]
    FACTS: Mapping[Fact, str]
    LIMITS: Mapping[Limit, str]
    MEMORY_MEANS: Mapping[Quantity, str]
    PICTURES: Mapping[Picture, str]
    """What a figure shows, for whoever cannot see it."""
    YES_NO: Mapping[bool, str]
    """Whether something was on."""
    PASSED: Mapping[bool, str]
    """Of a prompt's answer."""
    NOT_RECORDED: str
    NO_TEXT: str
    """A model answered with nothing."""
    HIGH_WATER_MARK: str
    """How a peak was measured that no sampling can miss."""
    NO_RECORD: str


class VerdictText(Protocol):
    """The sentences of the verdict."""

    def cost(self, comparison: Comparison) -> str:
        """Memory and training time of an arm against its baseline."""

    def accuracy(self, difference: PairedDifference) -> str: ...
    def merging(self, difference: PairedDifference) -> str: ...
    def impossible(self, comparison: Comparison) -> str:
        """Why two arms cannot be compared."""

    def alone(self, arm: Arm) -> str:
        """There is one arm, and nothing to compare it with."""

    def useless_score(self, score: UselessScore) -> str: ...
    def caveat(self, caveat: Caveat) -> str: ...


class ReportText(Protocol):
    """What the tables, lists and headings of a report say."""

    def title(self, sweeps: Sequence[str]) -> str: ...
    def share(self, count: int, total: int) -> str:
        """`count` of `total`."""

    def diverged(self, count: int, looked_at: int, runs: int) -> str:
        """How many of `runs` diverged, as far as they were looked at."""

    def status(self, run: Run) -> str: ...
    def cut_off(self, rows: int, cutoff_tokens: int) -> str: ...
    def summary(self, metric: Metric, summary: Summary, runs: int) -> str:
        """Mean and spread over an arm's `runs`, and over how many of them where not over all."""

    def named(self, metric: Metric, sensors: Collection[str]) -> str:
        """A metric's title with sensors and unit."""

    def named_difference(self, metric: Metric) -> str: ...
    def interval(self, metric: Metric, interval: Interval) -> str: ...
    def against(self, arm: str, baseline: str) -> str:
        """The heading of a comparison."""

    def difference_headers(self, arm: str, baseline: str) -> Sequence[str]: ...
    def unpairable(self, why: Unpairable) -> str:
        """Why accuracy has no interval."""

    def left_out(self, metric: Metric, seeds: Sequence[int]) -> str:
        """Which seeds are in no difference of `metric`, since it was not finite."""

    def cause_name(self, cause: OtherCause) -> str: ...
    def other_causes(self, confounded: bool) -> str:
        """What it means that something else differs: for the differences (`confounded`), or for the means alone."""

    def other_causes_heading(self, arm: str, baseline: str) -> str: ...
    def compared(self, comparison: Comparison) -> str:
        """What two arms share, and what was not recorded."""

    def sampled(self, fewest: int, most: int) -> str:
        """How a peak was measured: by `fewest` to `most` readings a phase."""

    def sampling(self, readings: int, intervals: str, gaps: int) -> str: ...
    def unread(self, run: Run) -> str:
        """How many lines of events and readings could not be read."""

    def energy_covered(self, run: Run) -> str:
        """How much of a run its energy leaves out."""

    def run_name(self, label: str, seed: int) -> str: ...
    def unscored(self, run: str, target: str, why: str) -> str: ...
    def failure(self, reason: str | None, highest: MemoryPeak | None) -> str: ...
    def diagnosis(self, diagnosis: Diagnosis) -> str: ...
    def damaged(self, problem: str) -> str: ...
    def unfinished(self, folder: Path) -> str: ...
    def planned(self, folder: Path) -> str: ...
    def superseded(self, superseded: Superseded) -> str: ...
    def commands(self) -> str:
        """What stands above the commands that repeat the runs."""

    def examples(self, seed: int) -> str: ...
    def question(self, index: int, baseline: tuple[str, bool], arm: tuple[str, bool]) -> str:
        """The heading of a question, with the labels of two arms and whether each was right."""

    def expected(self, answer: str) -> str: ...
    def more_characters(self, count: int) -> str: ...
    def base_column(self, labels: Sequence[str]) -> str:
        """Of a base without adapter; `labels`: the arms trained on it, where there are several bases."""

    def arm_column(self, label: str, seed: int, merged: bool) -> str: ...
    def stopped(self, tokens: int) -> str: ...


class FigureText(Protocol):
    """Titles and axes of figures."""

    def losses_title(self, training: bool, validation: bool, several: bool, broken: int, without_finite: int) -> str:
        """`several`: seeds have a mean; `broken`: how many curves end where the loss was no longer finite;
        `without_finite`: how many have no finite loss at all, and so are not drawn."""

    def loss_axis(self, validation: bool) -> str: ...
    def step_axis(self) -> str: ...
    def memory_title(self, on_device: bool, sensors: str) -> str: ...
    def memory_panel(self, label: str, run: Run, peak_mib: float) -> str: ...
    def no_readings(self) -> str: ...
    def time_axis(self, unit: str) -> str: ...
    def differences_title(self, baselines: Sequence[str]) -> str: ...
    def difference_axis(self, relative: bool) -> str: ...


@dataclass(frozen=True)
class Text:
    """Every sentence and title of a report and of its verdict, in one language. None of it is Markdown."""

    language: str
    """As HTML names it: `en`."""
    titles: Titles
    verdict: VerdictText
    report: ReportText
    figures: FigureText


def languages() -> list[str]:
    """Return the languages that a report can be written in."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def text_in(language: str) -> Text:
    """Return what a report says in `language`. Raises UserError."""
    if language not in languages():
        raise UserError(f"language {language}: a report can be written in {', '.join(languages())}")
    text = importlib.import_module(f"{__name__}.{language}").TEXT
    assert isinstance(text, Text)
    return text
