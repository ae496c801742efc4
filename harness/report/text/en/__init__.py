"""What a report and its verdict say, in English: the sentences that take more than filling a hole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from harness.comparison.answers import Unpairable, UnpairableReason
from harness.comparison.arms import Arm
from harness.comparison.differences import Comparison, Direction, PairedDifference
from harness.comparison.fairness import Fact, OtherCause, UnprovenQuantization
from harness.comparison.findings import SeedsMissing, UselessScore
from harness.comparison.intervals import Interval
from harness.comparison.metrics import ACCURACY, TRAIN_SECONDS, Metric
from harness.comparison.runs import Run, Superseded
from harness.report.numbers import difference_text, number, percent, value_text
from harness.report.text.en.titles import Titles
from harness.runs.record import DivergenceKind

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _seeds(count: int) -> str:
    return f"{_COUNTS[count] if count < len(_COUNTS) else count} seed{'' if count == 1 else 's'}"


def _seed_list(seeds: Iterable[int]) -> str:
    """`seed 1`, `seeds 0, 2`"""
    listed = [str(seed) for seed in seeds]
    return f"seed{'' if len(listed) == 1 else 's'} {', '.join(listed)}"


def _outcomes(arm: Arm) -> str:
    counts = Counter(run.record.status.value for run in arm.runs)
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def _relative_interval(paired: PairedDifference) -> str:
    if paired.relative_interval is None:
        return "one seed, so no interval" if paired.seeds == 1 else "no interval"
    low, high = paired.relative_interval
    return f"95% interval {percent(low)} to {percent(high)}"


def _noise(paired: PairedDifference) -> str:
    is_noise = paired.direction is Direction.NOISE
    return f", a difference that {_seeds(paired.seeds)} cannot tell from noise" if is_noise else ""


class English(Titles):
    """Every sentence and title of a report and of its verdict. None of it is Markdown."""

    language = "en"
    """As HTML names it."""

    # The verdict.

    def cost(self, comparison: Comparison) -> str:
        """Memory and training time of an arm against its baseline."""
        return f"{self._memory(comparison)}{self._time(comparison)}."

    def _memory(self, comparison: Comparison) -> str:
        arm, baseline, paired = comparison.arm.label, comparison.baseline.label, comparison.leading_memory
        if paired is None:
            return f"The memory of {arm} and {baseline} was not measured by a sensor they share"
        metric = paired.metric
        unit = self.UNITS[metric.unit]
        sensors = comparison.arm.sensors(metric) | comparison.baseline.sensors(metric)
        relative = "" if paired.relative_percent is None else f"{percent(paired.relative_percent)}, "
        return (
            f"{arm} peaked at {value_text(metric, paired.arm_mean)} {unit} of "
            f"{self.METRICS[metric.key].removeprefix('Peak ')} ({', '.join(sorted(sensors))}) against "
            f"{value_text(metric, paired.baseline_mean)} {unit} for {baseline} "
            f"({relative}{_relative_interval(paired)}){_noise(paired)}"
        )

    def _time(self, comparison: Comparison) -> str:
        paired = comparison.of(TRAIN_SECONDS)
        if paired is None or paired.relative_percent is None:
            return ""
        size = number(abs(paired.relative_percent), 1)
        took = f"took {size}% {'longer' if paired.mean > 0 else 'less time'} to train ({_relative_interval(paired)})"
        return f"; {paired.arm} {took}{_noise(paired)}"

    def accuracy(self, difference: PairedDifference) -> str:
        return self._accuracy(difference, difference.arm)

    def merging(self, difference: PairedDifference) -> str:
        return self._accuracy(difference, f"{difference.arm} merged into the unquantized base")

    def _accuracy(self, paired: PairedDifference, arm: str) -> str:
        asked = f"of {paired.questions} questions" if paired.questions else "of its questions"
        answered = (
            f"{arm} answered {value_text(ACCURACY, paired.arm_mean)}% {asked} right against "
            f"{value_text(ACCURACY, paired.baseline_mean)}% for {paired.baseline}"
        )
        points = f"{difference_text(ACCURACY, paired.mean)} points"
        if paired.interval is None:
            why = self.unpairable(paired.unpairable) if paired.unpairable else "too few questions"
            return f"{answered} ({points}); there is no interval: {why}."
        bounds = f"{points}, 95% interval {self.interval(ACCURACY, paired.interval)}"
        is_noise = paired.direction is Direction.NOISE
        if paired.seeds == 1:
            chance = "the choice of questions can explain" if is_noise else "other seeds may not show"
            return f"{answered}: a difference that {chance} ({bounds} over questions alone, seeds were not varied)."
        if is_noise:
            return f"{answered}: a difference that {_seeds(paired.seeds)} cannot tell from noise ({bounds})."
        return f"{answered}: a difference beyond the noise of seeds and questions ({bounds})."

    def impossible(self, comparison: Comparison) -> str:
        """Why two arms cannot be compared."""
        arm, baseline = comparison.arm, comparison.baseline
        absent = [
            f"{side.label} has no completed run ({_outcomes(side)})" for side in (arm, baseline) if not side.seeds
        ]
        why = " and ".join(absent) or "no seed was completed by both"
        return f"{arm.label} cannot be compared with {baseline.label}: {why}."

    def alone(self, arm: Arm) -> str:
        """There is one arm, and nothing to compare it with."""
        return f"Only {arm.label} was run ({_outcomes(arm)}), so there is nothing to compare it with."

    def useless_score(self, score: UselessScore) -> str:
        who = "Every arm and the base" if score.with_base else "Every arm"
        bound = f"at {'most' if score.is_upper else 'least'} {100 * score.bound:.1f}%"
        return (
            f"{who} answered {bound} of the questions right: at this score the benchmark tells nothing about the arms."
        )

    # Its caveats.

    CPU_ONLY = "Measured on a CPU: this is the memory of processes on a host, and no statement on accelerators."
    # Simulated with strong seed effects on accuracy: two seeds held the truth in 88 of 100 intervals, three in 93.
    FEW_SEEDS: Mapping[int, str] = {
        1: "One seed an arm: how much of a difference comes from the seed is not known.",
        2: "Two seeds an arm are few: where the seed matters much, a 95% interval over two is too narrow.",
    }
    STAND_IN = (
        "No NPU was used. In its place: {}. The training ran on the CPU, and what stands here as "
        "memory, power or utilization of a chip is the stand-in's."
    )

    def unproven(self, found: UnprovenQuantization) -> str:
        return (
            f"{found.arm} asked for {found.bits}-bit weights, but no quantized layer was found in its loaded model "
            f"(seed {', '.join(map(str, found.seeds))}): its figures are not those of a quantized base."
        )

    def diverged_run(self, run: Run) -> str:
        kept = "Its finite values stand in the means of its arm" if run.completed else "It is in no mean"
        divergence = run.record.divergence
        if divergence is None:
            why = f"why is {self.NOT_RECORDED}"
        elif divergence.kind is DivergenceKind.NOT_FINITE:
            why = f"its loss was not finite at step {divergence.step}"
        else:
            why = (
                f"its training loss ended no lower than it began ({divergence.first_loss:.4f} nats a token at first, "
                f"{divergence.last_loss:.4f} at step {divergence.step})"
            )
        return f"{self.run_name(run)} diverged: {why}. {kept}."

    def not_finite(self, arm: Arm, metric: Metric) -> str:
        seeds, n = arm.not_finite(metric), len(arm.values(metric))
        mean = f"its mean is over {n} of {n + len(seeds)} runs" if n else "it has no mean"
        return f"{self.METRICS[metric.key]}, of {arm.label}, was not finite in {_seed_list(seeds)}: {mean}."

    def seeds_missing(self, missing: SeedsMissing) -> str:
        lost = [f"seed {run.record.seed} ({run.record.status.value})" for run in missing.uncompleted]
        lost += [f"seed {seed} (not run)" for seed in missing.not_run]
        kept = _seed_list(sorted(missing.arm.seeds))
        return f"{missing.arm.label} lacks {', '.join(lost)}: its means are over {kept}."

    def confounded(self, comparison: Comparison) -> str:
        names = list(dict.fromkeys(map(self.cause_name, comparison.fairness.confounding)))
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        return (
            f"{comparison.arm.label} and {comparison.baseline.label} differ in more than method and quantization "
            f"({', '.join(names[:4])}{more}): their difference is not that of the quantization alone."
        )

    def baseline_absent(self, wanted: Sequence[str], instead: str) -> str:
        return (
            f"The sweep's baseline, {' or '.join(wanted)}, is not among the runs: "
            f"the arms are compared with the first, {instead}."
        )

    # Tables and lists.

    def title(self, sweeps: Sequence[str]) -> str:
        return f"Comparison: {', '.join(sweeps)}"

    def run_name(self, run: Run) -> str:
        return self.RUN.format(label=run.label, seed=run.record.seed)

    def status(self, run: Run) -> str:
        return f"{run.record.status.value}{', diverged' if run.diverged else ''}"

    def diverged(self, count: int, looked_at: int, runs: int) -> str:
        """How many of `runs` diverged, as far as they were looked at."""
        if not looked_at:
            return self.NOT_RECORDED
        unknown = f", {runs - looked_at} {self.NOT_RECORDED}" if looked_at < runs else ""
        return f"{self.SHARE.format(count, looked_at)}{unknown}"

    def summary(self, metric: Metric, arm: Arm) -> str | None:
        """Mean and standard deviation over an arm's runs, and over how many where not over all; None: not measured."""
        values, not_finite = arm.values(metric), len(arm.not_finite(metric))
        if values.empty:
            return f"not finite (n={not_finite})" if not_finite else None
        # A count or a size that every seed shares has no spread worth a column's width.
        deviation = float(values.std()) if len(values) > 1 else 0
        spread = f" ± {value_text(metric, deviation)}" if deviation else ""
        broken = f", {not_finite} not finite" if not_finite else ""
        fewer = f" (n={len(values)}{broken})" if len(values) != len(arm.seeds) else ""
        return f"{value_text(metric, float(values.mean()))}{spread}{fewer}"

    def named(self, metric: Metric, sensors: Collection[str]) -> str:
        """A metric's title with sensors and unit."""
        details = [*sorted(sensors), *filter(None, [self.UNITS[metric.unit]])]
        return f"{self.METRICS[metric.key]} ({', '.join(details)})" if details else self.METRICS[metric.key]

    def named_difference(self, metric: Metric) -> str:
        unit = self.DIFFERENCE_UNITS.get(metric.unit, self.UNITS[metric.unit])
        return f"{self.METRICS[metric.key]} ({unit})" if unit else self.METRICS[metric.key]

    def interval(self, metric: Metric, interval: Interval) -> str:
        return " to ".join(difference_text(metric, bound) for bound in interval)

    def difference_headers(self, arm: str, baseline: str) -> Sequence[str]:
        return ["", baseline, arm, "Difference", "95% interval", "Relative", "Seeds", f"{arm} is"]

    def unpairable(self, why: Unpairable) -> str:
        """Why accuracy has no interval."""
        if why.reason is UnpairableReason.OTHER_QUESTIONS:
            return (
                f"{why.run.label} (seed {why.run.record.seed}) was asked other questions than {why.other.label} "
                f"(seed {why.other.record.seed}), so accuracy cannot be paired"
            )
        return f"{why.path} is {why.reason.value}, so its questions cannot be paired"

    def left_out(self, metric: Metric, seeds: Sequence[int]) -> str:
        """Which seeds are in no difference of `metric`."""
        return f"{self.METRICS[metric.key]}: {_seed_list(seeds)} left out, since it was not finite in one of the two"

    def cause_name(self, cause: OtherCause) -> str:
        if cause.fact is Fact.VERSIONS:
            return f"version of {cause.key}"
        if cause.key is not None and "." in cause.key:
            return cause.key
        names = {
            "model": "files of the base",
            "hardware": "hardware",
            "stand_in": "stand-in",
            "chips": "number of chips",
        }
        return names.get(cause.key or "", self.FACTS[cause.fact])

    def compared(self, comparison: Comparison) -> str:
        """What two arms share, and what was not recorded."""
        pair, found = f"{comparison.arm.label} and {comparison.baseline.label}", comparison.fairness
        start = f"Compared between {pair}, and equal"
        if not found.causes:
            start = f"{pair} differ in method and quantization. Compared, and equal"
        equal = f"{start}: {', '.join(self.FACTS[fact] for fact in found.equal) or 'nothing'}."
        if not found.not_recorded:
            return equal
        absent = ", ".join(self.FACTS[fact] for fact in found.not_recorded)
        return f"{equal} Not recorded, so that only the settings which lead to them were compared: {absent}."

    def superseded(self, superseded: Superseded) -> str:
        why = "and is newer" if superseded.is_older else "and is completed"
        return f"{superseded.folder} is left out: {superseded.by} has the same configuration and seed {why}"

    def question(self, index: int, baseline: tuple[str, bool], arm: tuple[str, bool]) -> str:
        """The heading of a question, with the labels of two arms and whether each was right."""
        sides = (f"{'right' if is_right else 'wrong'} by {label}" for label, is_right in (baseline, arm))
        return f"Question {index}: {', '.join(sides)}"

    def base_column(self, labels: Sequence[str]) -> str:
        """Of a base without adapter; `labels`: the arms trained on it, where there are several bases."""
        return f"base of {', '.join(labels)}" if labels else "base"

    # Figures.

    def losses_title(self, training: bool, validation: bool, several: bool, broken: int, without_finite: int) -> str:
        """`several`: seeds have a mean; `broken`: how many curves end where the loss was no longer finite;
        `without_finite`: how many have no finite loss at all, and so are not drawn."""
        kinds = " and ".join([*["training"] * training, *["validation"] * validation])
        seeds = "; thin lines are seeds, thick lines their mean" if several else ""
        notes = ["a cross ends a curve that is not finite from there on"] if broken else []
        notes += [f"not drawn, since no loss in it is finite: {without_finite}"] if without_finite else []
        below = "\n" + "; ".join(notes) if notes else ""
        return f"{kinds.capitalize()} loss over the optimizer steps{seeds}{below}"

    def memory_panel(self, label: str, run: Run, peak_mib: float) -> str:
        outcome = "" if run.completed else f", {run.record.status.value}"
        return f"{label}, seed {run.record.seed}{outcome}: peak {peak_mib:,.0f} MiB"

    def differences_title(self, baselines: Sequence[str]) -> str:
        return (
            f"Paired difference to {' or '.join(baselines)} with its 95% interval\n"
            "filled: the interval excludes zero; hollow: it does not, or there is none"
        )


TEXT = English()
