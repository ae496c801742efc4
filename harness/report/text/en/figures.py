"""What figures say, in English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.comparison.metrics import Metric, Unit
from harness.comparison.runs import Run
from harness.devices.reading import Quantity
from harness.runs.events import Phase
from harness.runs.record import Outcome


class FigureTexts:
    """Titles, axes and legends of the figures."""

    METRICS: Mapping[str, str]
    UNITS: Mapping[Unit, str]
    STATUS: Mapping[Outcome, str]

    PICTURES: Mapping[str, str] = {
        "tradeoff": "Accuracy of each arm over its memory and over its time",
        "intervals": "Differences to the baseline with their intervals, the margins shaded",
        "loss": "Training and validation loss by optimizer step, a band over seeds",
        "memory": "Memory over time with the phases of a run",
    }
    """What a figure shows, for whoever cannot see it, by the name of its file."""
    PHASES: Mapping[Phase, str] = {
        Phase.LOAD: "load",
        Phase.TRAIN: "train",
        Phase.VALIDATE: "validate",
        Phase.SAVE: "save",
        Phase.EVALUATE: "evaluate",
    }
    STEP_AXIS = "optimizer step"
    TRAINING_LOSS_AXIS = "training loss (nats/token)"
    VALIDATION_LOSS_AXIS = "validation loss (nats/token)"
    NO_READINGS = "no readings"
    TIME_AXIS = "time since the run's start ({unit})"
    RATIO_AXIS = "ratio to the baseline (log scale)"
    POINTS_AXIS = "difference (points)"
    NATS_AXIS = "difference (nats/token)"
    MEMORY_TITLE: Mapping[Quantity, str] = {
        Quantity.DEVICE: "Memory used on the chips ({sensors}); the peak named is that up to the end of training",
        Quantity.HOST: (
            "Memory private to the run's processes on the host ({sensors}); "
            "the peak named is that up to the end of training"
        ),
    }
    MISSING_LETTERS = (
        "No font on this machine has these letters, and boxes stand for them in the figures: {letters}. A font brings "
        "them: fonts-noto-cjk (Debian, Ubuntu), google-noto-sans-cjk-ttc-fonts (Fedora, openEuler); then "
        "`harness report` draws the figures again."
    )
    FIGURES_IN_ENGLISH = (
        "The figures are in English, since no font on this machine has the letters of the report. A font brings them: "
        "fonts-noto-cjk (Debian, Ubuntu), google-noto-sans-cjk-ttc-fonts (Fedora, openEuler); then `harness report` "
        "draws the figures again."
    )

    def axis(self, metric: Metric) -> str:
        """A metric with its unit."""
        unit = self.UNITS[metric.unit]
        return f"{self.METRICS[metric.key]} ({unit})" if unit else self.METRICS[metric.key]

    def _left_out(self, arms: int) -> str:
        return f"\nnot drawn: {arms:,} further arms" if arms else ""

    def _runs_left_out(self, runs: int) -> str:
        return f"\nnot drawn: {runs:,} further runs of these arms" if runs else ""

    def losses_title(
        self,
        training: bool,
        validation: bool,
        several: bool,
        broken: int,
        without_finite: int,
        arms_left_out: int,
        runs_left_out: int,
    ) -> str:
        """`several`: there is a band over seeds; `broken`: how many curves end where the loss was no longer finite;
        `without_finite`: how many have no finite loss at all, and so are not drawn."""
        kinds = " and ".join([*["training"] * training, *["validation"] * validation])
        seeds = "; mean over seeds, the band reaches from the lowest to the highest" if several else ""
        notes = ["a cross ends a curve that is not finite from there on"] if broken else []
        notes += [f"not drawn, since no loss in it is finite: {without_finite}"] if without_finite else []
        below = "\n" + "; ".join(notes) if notes else ""
        left_out = f"{self._left_out(arms_left_out)}{self._runs_left_out(runs_left_out)}"
        return f"{kinds.capitalize()} loss{seeds}{below}{left_out}"

    def memory_title(self, quantity: Quantity, sensors: str, arms_left_out: int) -> str:
        return self.MEMORY_TITLE[quantity].format(sensors=sensors) + self._left_out(arms_left_out)

    def memory_panel(self, label: str, run: Run, peak_mib: float) -> str:
        outcome = "" if run.completed else f", {self.STATUS[run.record.status]}"
        return f"{label}, seed {run.record.seed}{outcome}: peak {peak_mib:,.0f} MiB"

    def tradeoff_title(self, with_front: bool, several: bool) -> str:
        """`with_front`: arms are told apart by whether another beats them in all that is drawn."""
        seeds = "; lines reach from the lowest to the highest seed" if several else ""
        front = "\nhollow: another arm's means are at least as good in all; dotted: the front" if with_front else ""
        return f"What an arm needs, and what it answers{seeds}{front}"

    def intervals_title(self, baselines: Sequence[str], arms_left_out: int) -> str:
        return (
            f"Against {' or '.join(baselines)}, with 95% intervals; shaded: the margin, within which arms serve alike\n"
            f"filled: a verdict (better, worse, equivalent); hollow: none{self._left_out(arms_left_out)}"
        )
