"""What stands below the first screen, in English: the sentences that take more than filling a hole."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.estimates import FEWEST_QUESTIONS
from harness.comparison.fairness import Variation
from harness.comparison.findings import FOR_A_VERDICT
from harness.comparison.metrics import Metric
from harness.comparison.needs import Variances
from harness.comparison.runs import Run, Superseded
from harness.report.numbers import number
from harness.report.text.en.opening import OpeningTexts, counted, listed, seed_list
from harness.runs.record import Diagnosis, Tracking


class SectionTexts(OpeningTexts):
    """Sentences of the sections."""

    METHOD: Mapping[str, str] = {
        "accuracy": (
            "Accuracy: answers are paired by seed and question, and the interval covers both, as crossed random "
            "effects: the variance is var(seed means)/seeds + var(question means)/questions, and the quantile is that "
            "of Student's t for each part, weighted by the parts (Cochran and Cox 1950). Among the questions are two "
            "that nobody asked, one won and one lost (after Bonett and Price 2012; docs/statistics.md), so that arms "
            "which agree everywhere do not get an interval of no width. Simulated with known truth it holds what it "
            f"promises from three seeds and {FEWEST_QUESTIONS} questions on (docs/statistics.md)."
        ),
        "ratios": (
            "Memory, time, speed and energy: ratios of geometric means, with Student's t over the logs. Memory is "
            "paired by seed. Time and energy are not, since seeds do not pair them: each run counts for itself, beside "
            "a linear drift over the order of the runs, which is taken out of the ratio."
        ),
        "losses": "Losses: differences paired by seed, with Student's t.",
        "exact": (
            "Where every run of both arms came to one value, the difference is exact and has no interval. A difference "
            "below the resolution of the sensor is none."
        ),
        "words": (
            "Better or worse: the arms differ (p below alpha). Equivalent: their difference lies inside the margin "
            "(two one-sided tests). Not worse by the margin: if the arm is worse, then by less than the margin (one "
            "one-sided test). Undecided: none of these. Other metrics than the primary ones are described without a "
            "word: of twenty such 95% intervals, about one misses by chance."
        ),
        "one_seed": (
            "With one seed there is no verdict on methods: how much of a difference comes from the seed is not known. "
            f"{FOR_A_VERDICT} seeds are what a verdict takes; two and three are a pilot."
        ),
        "second_reading": (
            "The probability that an arm is at least as good is read from the same interval with no preference "
            "beforehand (a flat prior), for one metric by itself and without correction."
        ),
        "needs": (
            "What would decide is computed from the parts of the variance, for 80% power whether the arms are the same "
            "or apart by the margin; as a range, since few seeds tell little of how much seeds vary (80% interval of "
            "their variance)."
        ),
        "order": (
            "Within each seed the arms run in an order drawn from the sweep's name and the seed, so that a machine "
            "that drifts slows both."
        ),
    }
    """How figures and words are made, in this order."""

    def title(self, sweeps: Sequence[str]) -> str:
        return f"Comparison: {listed(sweeps, most=10)}"

    def status(self, run: Run) -> str:
        status = self.STATUS[run.record.status]
        if run.diverged:
            status = self.DIVERGED.format(status=status)
        return self.ADOPTED.format(status=status) if run.record.adopted else status

    def named(self, metric: Metric, sensors: Collection[str]) -> str:
        """A metric's title with sensors and unit."""
        details = [*sorted(sensors), *filter(None, [self.UNITS[metric.unit]])]
        return f"{self.METRICS[metric.key]} ({', '.join(details)})" if details else self.METRICS[metric.key]

    def span(self, lowest: str, highest: str) -> str:
        return self.SPAN.format(lowest=lowest, highest=highest)

    def counted_seeds(self, seeds: Collection[int]) -> str:
        """The seeds themselves, or how many."""
        return ", ".join(map(str, seeds)) if len(seeds) <= 10 else self.COUNTED_SEEDS.format(count=len(seeds))

    def seeds_of(self, seeds: Collection[int], diverged: Collection[int], lost: Collection[int]) -> str:
        """The seeds of an arm's values, with those of runs that diverged, and those of runs that were not completed."""
        notes = [f"diverged: {', '.join(map(str, diverged))}"] if diverged else []
        notes += [f"not completed: {', '.join(map(str, lost))}"] if lost else []
        return " ".join([self.counted_seeds(seeds), *([f"({'; '.join(notes)})"] if notes else [])])

    def not_finite_values(self, seeds: Collection[int]) -> str:
        return f"not finite: {seed_list(seeds)}"

    def varies(self, paired: PairedDifference, parts: Variances) -> str:
        """Of accuracy: how much its difference varies with what."""
        seeds, questions, rest = (
            number(100 * variance**0.5, 1) for variance in (parts.seeds, parts.questions, parts.residual)
        )
        return (
            f"The difference of {paired.arm} and {paired.baseline} varies by {seeds} points with the seed, by "
            f"{questions} with the question, and by {rest} in what neither explains (standard deviations)."
        )

    def merged(self, paired: PairedDifference) -> str:
        """What merging did to one arm's accuracy."""
        return f"{paired.arm}, merged into the unquantized base: {self.effect(paired)}."

    def left_out(self, comparison: Comparison, metric: Metric, seeds: Sequence[int]) -> str:
        """Which seeds are in no difference of `metric`."""
        return (
            f"{self.METRICS[metric.key]}, {comparison.arm.label} against {comparison.baseline.label}: "
            f"{seed_list(seeds)} left out, since it was not finite in one of the two."
        )

    def cannot_pair(self, paired: PairedDifference) -> str:
        assert paired.unpairable is not None
        return f"{self.METRICS[paired.metric.key]} has no interval: {self.unpairable(paired.unpairable)}."

    def variation_name(self, variation: Variation) -> str:
        fact = self.FACTS[variation.fact]
        return fact if variation.key is None else f"{fact}: {variation.key}"

    def compared(self, comparison: Comparison) -> list[str]:
        """What two arms share, and what was not recorded."""
        pair, found = f"{comparison.arm.label} and {comparison.baseline.label}", comparison.fairness
        said = [
            f"Compared between {pair}, and equal: {', '.join(self.FACTS[fact] for fact in found.equal) or 'nothing'}."
        ]
        if found.not_recorded:
            absent = ", ".join(self.FACTS[fact] for fact in found.not_recorded)
            said.append(f"Not recorded by both, so not compared, or by the settings that lead to it alone: {absent}.")
        return said

    def tests(self, tests: int, alpha: float) -> str:
        """How many tests the words rest on. `alpha`: the smallest that any is held against."""
        if not tests:
            return "No test was made: every primary metric is exact, none, or has no verdict."
        return (
            f"{counted(tests, 'test').capitalize()} of primary metrics were made (arms times accuracy, leading memory "
            f"and seconds a step), corrected by Holm, and held against {100 * alpha:.2g}%."
        )

    def superseded(self, superseded: Superseded) -> str:
        why = {
            "older": "and is newer",
            "copy": "and started at the same moment: one is a copy",
            "not_completed": "and is completed",
        }
        same = f"{superseded.by} has the same configuration and seed"
        return f"{superseded.folder} is left out: {same} {why[superseded.why]}."

    def diagnosis(self, diagnosis: Diagnosis) -> str:
        return f"Cause, as far as its log tells: {diagnosis.cause}. Fix: {diagnosis.fix}."

    def untracked(self, runs: Sequence[Run], tracking: Sequence[Tracking]) -> str:
        """Which runs SwanLab did not follow to the end, all for one reason. `tracking`: of each."""
        found, problem = tracking[0].diagnosis, tracking[0].problem
        reason = problem if found is None else f"{found.cause} ({problem})"
        said = [f"SwanLab did not follow {listed(map(self.run_name, runs), 20, '; ')} to the end: {reason}."]
        if missing := sum(each.missing_losses or 0 for each in tracking):
            said.append(f"At least {missing:,} of their losses are missing there; the runs' own files have them all.")
        if found is not None:
            said.append(f"Fix: {found.fix}.")
        if kept := [each.kept_in for each in tracking if each.kept_in is not None]:
            said.append(f"What it kept is sent by: swanlab sync {listed(kept, 20, ' ')}")
        return " ".join(said)

    def question(self, index: int, seed: int, baseline: tuple[str, bool], arm: tuple[str, bool]) -> str:
        """A heading: which arm answered a question right."""
        outcomes = ", ".join(f"{'right' if correct else 'wrong'} by {label}" for label, correct in (baseline, arm))
        return f"Question {index}, seed {seed}: {outcomes}"

    def base_column(self, labels: Sequence[str]) -> str:
        """Of a base before training; `labels`: the arms trained on it, where there are several bases."""
        return f"base of {', '.join(labels)}" if labels else "base"
