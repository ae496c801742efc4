"""The first screen, in English: decisions, verdicts, what would decide the rest, what spoils the comparison.

A verdict's word leads its sentence, so that nobody remembers a number that the same sentence takes back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from harness.comparison.answers import Flips, Unpairable, UnpairableReason
from harness.comparison.arms import Arm
from harness.comparison.decision import Basis, Choice, Purpose
from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.estimates import FEWEST_QUESTIONS
from harness.comparison.fairness import Fact, OtherCause, UnprovenQuantization
from harness.comparison.findings import FOR_A_VERDICT, MarkedOtherwise, SeedsMissing, UselessScore
from harness.comparison.intervals import Interval
from harness.comparison.judging import Judgement, Reason, Word
from harness.comparison.metrics import Aspect, Metric, Unit
from harness.comparison.needs import MOST_QUESTIONS, MOST_SEEDS, Needs
from harness.comparison.runs import Run
from harness.report.document import Strong, Words
from harness.report.numbers import (
    chance,
    compact,
    difference_text,
    number,
    p_value,
    ratios,
    value_text,
)
from harness.report.text.en.titles import Titles
from harness.runs.record import DivergenceKind

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MOST_LISTED = 4


def counted(count: int, noun: str) -> str:
    """`one seed`, `five seeds`, `1,000 seeds`"""
    name = _COUNTS[count] if count < len(_COUNTS) else f"{count:,}"
    return f"{name} {noun}{'' if count == 1 else 's'}"


def listed(names: Iterable[object], most: int = _MOST_LISTED, between: str = ", ") -> str:
    """`a, b, c, d and 3 more`"""
    every = [str(name) for name in names]
    if len(every) <= most + 1:
        return between.join(every)
    return f"{between.join(every[:most])} and {len(every) - most:,} more"


def seed_list(seeds: Collection[int]) -> str:
    """`seed 1`, `seeds 0, 2`, `25 seeds`"""
    if len(seeds) > 10:
        return f"{len(seeds):,} seeds"
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"


def _range(low: int | None, high: int | None, most: int) -> str:
    """`17 to 30`; `17 to more than 60`"""
    if low is None:
        return f"more than {most:,}"
    if low == high:
        return f"{low:,}"
    return f"{low:,} to {f'more than {most:,}' if high is None else f'{high:,}'}"


class OpeningTexts(Titles):
    """Sentences of the first screen."""

    # Decisions.

    def purpose(self, choice: Choice) -> str:
        limit = "" if choice.limit_mib is None else number(choice.limit_mib, 0)
        return self.PURPOSES[choice.purpose].format(limit=limit)

    def chosen(self, choice: Choice) -> Words:
        """The arm, or that there is none."""
        if choice.basis is Basis.UNDECIDED:
            return [Strong("Undecided")]
        if choice.basis is Basis.EQUIVALENT:
            return [Strong("Any"), f" of {listed(choice.arms)}"]
        return [Strong(listed(choice.arms) if choice.arms else "None")]

    def rule(self, choice: Choice, baseline: str | None) -> str:
        """By what rule the arm was chosen, and its numbers. `baseline`: what the arms are compared with."""
        unit = self._unit(choice.metric)
        values = listed(f"{label} {value_text(choice.metric, value)}{unit}" for label, value in choice.values)
        numbers = f"{self.METRICS[choice.metric.key]}: {values}."
        if choice.purpose is Purpose.FITS:
            failed = f" Out of memory: {listed(choice.failed)}." if choice.failed else ""
            who = "Every run keeps" if choice.arms else "Of no arm every run keeps"
            return f"{who} to comparison.memory_limit_mib, by its highest memory. {numbers}{failed}"
        if choice.basis is Basis.UNDECIDED:
            return f"No arm is shown to be better than another, nor all to be equivalent. {numbers}"
        if choice.basis is Basis.EQUIVALENT:
            return f"They are shown to be apart by less than the margin. {numbers}"
        if choice.basis is Basis.SEVERAL:
            return f"Each is shown to be better than {baseline}; they were not tested against each other. {numbers}"
        if choice.arms == (baseline,):
            others = [label for label, _ in choice.values if label != baseline]
            return f"{listed(others)} {'is' if len(others) == 1 else 'are'} shown to be worse. {numbers}"
        if len(choice.values) > 2:
            return f"The only arm that is shown to be better than {baseline}. {numbers}"
        return f"Shown to be better than {baseline}. {numbers}"

    # Verdicts.

    def compared_over(self, comparison: Comparison) -> str:
        """Which arm is held against which, over what."""
        arm, baseline = comparison.arm.label, comparison.baseline.label
        seeds = [run.record.seed for run, _ in comparison.pairs]
        if len(seeds) == 1:
            return (
                f"{arm} against {baseline}, {seed_list(seeds)} alone: this speaks of two adapters and never of two "
                "methods, since nobody knows how much of a difference comes from the seed."
            )
        return f"{arm} against {baseline}, over {seed_list(seeds)}."

    def verdict(
        self,
        paired: PairedDifference,
        judgement: Judgement,
        margin: Interval,
        sensors: Collection[str],
        flips: Sequence[Flips],
        tests: int,
    ) -> Words:
        """One primary metric: its word first, then the figures. `margin` and `paired.interval` are on one scale;
        `flips`: of one seed's answers; `tests`: for how many the p-values are corrected."""
        lead = self.NO_VERDICT if judgement.word is None else self.WORDS[judgement.word]
        figures = [self.effect(paired)]
        if judgement.word is not None:
            figures.append(f"margin {self.margin(paired.metric, margin)}")
        if paired.metric.aspect is Aspect.MEMORY:
            figures.append(", ".join([self._in_a_sentence(paired.metric), *sorted(sensors)]))
        if paired.metric.aspect is Aspect.TIME:
            figures.append("seconds a step, warm-up left out")
        said = [f"{self.PRIMARY[paired.metric.aspect]} ({'; '.join(figures)})."]
        said += self._explained(paired, judgement, margin, flips, tests)
        if judgement.at_least_as_good is not None and judgement.word in (Word.UNDECIDED, Word.NOT_WORSE):
            probability = chance(judgement.at_least_as_good)
            said.append(f"As a second reading: {paired.arm} is at least as good with a probability of {probability}.")
        return [Strong(lead), f": {' '.join(said)}"]

    def _in_a_sentence(self, metric: Metric) -> str:
        name = self.METRICS[metric.key]
        return f"{name[0].lower()}{name[1:]}"

    def effect(self, paired: PairedDifference) -> str:
        """A difference with its interval."""
        metric, baseline = paired.metric, paired.baseline
        own = f"{baseline}'s {value_text(metric, paired.baseline_mean)}{self._unit(metric)}"
        if paired.is_none:
            return f"no difference to {own} that the sensor could tell" if paired.mean else f"the same as {own}"
        ratio, interval = paired.ratio, paired.interval
        if ratio is None:
            shown = f"{difference_text(metric, paired.mean)}{self._difference_unit(metric)} on {own}"
            bounds = interval and self.interval(metric, interval)
        elif paired.ratio_interval is None:
            shown, bounds = f"{ratios(ratio)[0]} times {own}", None
        else:
            text, low, high = ratios(ratio, *paired.ratio_interval)
            shown, bounds = f"{text} times {own}", f"{low} to {high}"
        if bounds is not None:
            return f"{shown}, 95% interval {bounds}"
        if paired.is_exact:
            return f"{shown}, exact: every run of an arm came to the same"
        return f"{shown}, one seed" if len(paired.seeds) == 1 else f"{shown}, without an interval"

    def _unit(self, metric: Metric) -> str:
        unit = self.UNITS[metric.unit]
        return unit if metric.unit is Unit.SHARE or not unit else f" {unit}"

    def _difference_unit(self, metric: Metric) -> str:
        return " points" if metric.unit is Unit.SHARE else self._unit(metric)

    def interval(self, metric: Metric, interval: Interval) -> str:
        """The bounds of a difference."""
        return " to ".join(difference_text(metric, bound) for bound in interval)

    def margin(self, metric: Metric, margin: Interval) -> str:
        """A margin, given on the metric's scale, in a reader's unit."""
        bounds = [compact(round(bound, 6)) for bound in self._in_units(metric, margin)]
        if metric.is_ratio:
            return f"{bounds[0]} to {bounds[1]} times"
        return f"{bounds[1]}{self._difference_unit(metric)}"

    def _in_units(self, metric: Metric, interval: Interval) -> Interval:
        if metric.is_ratio:
            return Interval(math.exp(interval.low), math.exp(interval.high))
        scale = 100 if metric.unit is Unit.SHARE else 1
        return Interval(scale * interval.low, scale * interval.high)

    def _explained(
        self, paired: PairedDifference, judgement: Judgement, margin: Interval, flips: Sequence[Flips], tests: int
    ) -> list[str]:
        word = judgement.word
        if word is None:
            return [self.reason(reason, paired, judgement.causes) for reason in judgement.reasons]
        if word in (Word.BETTER, Word.WORSE):
            return ["The difference is smaller than the margin."] if judgement.within_margin else []
        if word is Word.EQUIVALENT:
            side = f"at {100 * judgement.alpha:.2g}% for each side"
            return [] if paired.is_none else [f"They are apart by less than the margin, {side}."]
        if word is Word.NOT_WORSE:
            return [f"If it is worse, then by less than the margin, at {100 * judgement.alpha:.2g}%."]
        if Reason.ONE_SEED in judgement.reasons:
            return list(map(self.flipped, flips))
        return [] if paired.interval is None else [self._ruled_out(paired.metric, paired.interval, margin, tests)]

    def _ruled_out(self, metric: Metric, interval: Interval, margin: Interval, tests: int) -> str:
        """What the interval of an undecided metric tells all the same."""
        is_beyond = interval.low > margin.low if metric.more_is_better else interval.high < margin.high
        if interval.excludes_zero() or is_beyond:
            return f"The interval alone would say more; corrected for {counted(tests, 'test')} it is not enough."
        (low, high), allowed = self._in_units(metric, interval), round(self._in_units(metric, margin).high, 6)
        if not metric.is_ratio:
            if low <= -100:
                return "No loss is ruled out."
            loss = number(-low, 2 if round(-low, 1) == allowed else 1)
            return f"A loss of more than {loss} points is ruled out, one of {compact(allowed)} is not."
        worst = f"{high:.4f}" if round(high, 3) == allowed else ratios(low, high)[1]
        return f"More than {worst} times is ruled out, {compact(allowed)} times is not."

    def flipped(self, flips: Flips) -> str:
        """How the answers of two adapters differ, in one seed."""
        p = p_value(flips.p_value)
        return (
            f"Of these two adapters: {flips.only_arm} questions were answered right by the first alone, "
            f"{flips.only_baseline} by the other alone (exact McNemar test, p {p if p.startswith('<') else f'= {p}'})."
        )

    def not_measured(self, aspect: Aspect) -> Words:
        """A primary metric that the two arms do not both have."""
        return [Strong(self.NOT_MEASURED), f": {self.PRIMARY[aspect]}, in any seed that both arms completed."]

    def reason(self, reason: Reason, paired: PairedDifference, causes: Sequence[OtherCause] = ()) -> str:
        """Why a metric has no verdict, or none but `undecided`."""
        if reason is Reason.UNPAIRABLE and paired.unpairable is not None:
            return f"{self.unpairable(paired.unpairable)}."
        return {
            Reason.ONE_SEED: "With one seed, nobody knows how much of it comes from the seed.",
            Reason.FEW_QUESTIONS: (
                f"{paired.questions} questions are fewer than the {FEWEST_QUESTIONS} that an interval needs."
            ),
            Reason.UNPAIRABLE: "The answers cannot be paired.",
            Reason.NOT_POSITIVE: "A value is not above zero, so that there is no ratio.",
            Reason.SEPARATED: (
                "All runs of one arm came before all of the other, so that the arm cannot be told from the hour."
            ),
            Reason.ORDER_UNKNOWN: "Nobody knows whether the arms took turns.",
            Reason.SHARED: "Others used the machine while it was measured.",
            Reason.UNFAIR: f"The arms differ in what this depends on: {listed(self._names(causes))}.",
            Reason.TELLS_NOTHING: "At this score the benchmark tells nothing about the arms.",
            Reason.UNPROVEN: "No quantized layer was found in a base that was to be quantized.",
        }[reason]

    def _names(self, causes: Iterable[OtherCause]) -> list[str]:
        return list(dict.fromkeys(map(self.cause_name, causes)))

    def cause_name(self, cause: OtherCause) -> str:
        """What two arms differ in."""
        if cause.key is None:
            return self.FACTS[cause.fact]
        if "." in cause.key:
            return cause.key
        if cause.fact is Fact.VERSIONS:
            return f"version of {cause.key}"
        names = {"model": "files of the base", "hardware": "hardware", "stand_in": "stand-in"}
        if cause.key in names:
            return names[cause.key]
        return self.FACTS[cause.fact] if cause.key == cause.fact.value else f"{self.FACTS[cause.fact]}: {cause.key}"

    def unpairable(self, why: Unpairable) -> str:
        """Why answers cannot be joined question by question; a clause without a full stop."""
        if why.reason is UnpairableReason.OTHER_QUESTIONS:
            return (
                f"{self.run_name(why.run)} was asked other questions than {self.run_name(why.other)}, so that their "
                "answers cannot be paired"
            )
        state = {UnpairableReason.MISSING: "missing", UnpairableReason.DAMAGED: "damaged"}[why.reason]
        return f"{why.path} is {state}, so that its answers cannot be paired"

    def run_name(self, run: Run) -> str:
        return self.RUN.format(label=run.label, seed=run.record.seed)

    def impossible(self, comparison: Comparison) -> Words:
        """Why two arms cannot be compared."""
        arm, baseline = comparison.arm, comparison.baseline
        absent = [
            f"{side.label} has no completed run ({self._outcomes(side)})" for side in (arm, baseline) if not side.seeds
        ]
        why = " and ".join(absent) or "no seed was completed by both"
        return [Strong(self.NO_VERDICT), f": {arm.label} cannot be compared with {baseline.label}: {why}."]

    def _outcomes(self, arm: Arm) -> str:
        counts = Counter(run.record.status for run in arm.runs)
        return ", ".join(f"{count} {self.STATUS[status]}" for status, count in sorted(counts.items()))

    def alone(self, arm: Arm) -> str:
        """There is one arm, and nothing to compare it with."""
        return f"Only {arm.label} was run ({self._outcomes(arm)}), so there is nothing to compare it with."

    def useless_score(self, score: UselessScore) -> str:
        bound = f"at {'most' if score.is_upper else 'least'} {100 * score.bound:.1f}%"
        kind = "hard" if score.is_upper else "easy"
        return (
            f"Every arm answered {bound} of the questions right: the benchmark is too {kind} to tell anything about "
            "the arms."
        )

    def arms_left_out(self, count: int, file: str) -> str:
        """Not every arm has its verdicts on the first screen."""
        return f"The verdicts of {count:,} further arms are in {file}."

    # What would decide the rest.

    def needs(self, paired: PairedDifference, needs: Needs, smallest: float) -> str:
        """What would decide a metric. `smallest`: the difference, on the metric's scale, that these runs would have
        shown with a probability of 80%."""
        seeds = f"{_range(needs.seeds_low, needs.seeds_high, MOST_SEEDS)} seeds in all"
        if paired.questions is None:
            ways = f"{seeds}."
        else:
            own = counted(len(paired.seeds), "seed")
            questions = f"{_range(needs.questions_low, needs.questions_high, MOST_QUESTIONS)} questions with {own}"
            if needs.seeds_alone_cannot and needs.questions_alone_cannot:
                ways = "neither more seeds nor more questions alone decide it; more of both may."
            elif needs.seeds_alone_cannot:
                ways = f"{questions}; more seeds alone cannot decide it."
            elif needs.questions_alone_cannot:
                ways = f"{seeds} with these {paired.questions:,} questions; more questions alone cannot decide it."
            else:
                ways = f"{seeds} with these {paired.questions:,} questions, or {questions}."
        what = self.PRIMARY[paired.metric.aspect].capitalize()
        return f"{what} of {paired.arm}: {ways} {self._smallest(paired.metric, smallest)}"

    def _smallest(self, metric: Metric, smallest: float) -> str:
        if metric.is_ratio:
            size = f"{ratios(math.exp(smallest))[0]} times, or its inverse"
        else:
            size = f"{number(100 * smallest, 1)} points"
        return f"The smallest difference that these runs would show in 80 of 100 repetitions: {size}."

    def repair(self, reason: Reason, metrics: Sequence[str], causes: Sequence[OtherCause] = ()) -> str | None:
        """What gives `metrics` their verdicts, where they were withheld for `reason`; None: nobody can say."""
        what = listed(metrics)
        ways = {
            Reason.ONE_SEED: f"more seeds; with {FOR_A_VERDICT} an interval keeps what it promises.",
            Reason.FEW_QUESTIONS: f"more questions: evaluation.limit={FEWEST_QUESTIONS} at least, or none.",
            Reason.UNPAIRABLE: "score the arms on the same questions, and keep their answers.",
            Reason.SEPARATED: "run the sweep again under another name: its arms then take turns.",
            Reason.ORDER_UNKNOWN: "run the sweep: its arms take turns.",
            Reason.SHARED: "run the sweep again under another name, while nothing else uses the machine.",
            Reason.UNFAIR: (
                f"give the arms the same {listed(self._names(causes))}, or declare in comparison.axes what is "
                "compared; then run the sweep again under another name."
            ),
            Reason.TELLS_NOTHING: "another benchmark, or questions that some arms answer right and others wrong.",
            Reason.UNPROVEN: "`harness doctor` tells what keeps quantization from working.",
        }
        return f"{what[:1].upper()}{what[1:]}: {ways[reason]}" if reason in ways else None

    def metric_of(self, paired: PairedDifference) -> str:
        """A primary metric with its arm."""
        return f"{self.PRIMARY[paired.metric.aspect]} of {paired.arm}"

    def further_look(self, look: int, alpha: float) -> str:
        """What it costs to add seeds until a verdict shows. `look`: the next one's number; `alpha`: its own."""
        return (
            f"More seeds go on from what is there. The next report is look {look}, and held against "
            f"{100 * alpha:.2g}% in place of 5%; comparison.looks announces looks beforehand."
        )

    # What spoils the comparison.

    CPU_ONLY = "Measured on a CPU: this is the memory of processes on a host, and no statement on accelerators."
    OTHER_MARGINS = "The runs were made under several sets of comparison keys; those of the newest run count."
    STAND_IN = (
        "No NPU was used. In its place: {}. The training ran on the CPU, and what stands here as memory, power or "
        "utilization of a chip is the stand-in's."
    )

    def few_seeds(self, seeds: int) -> str:
        """There are fewer than a verdict takes."""
        if seeds == 1:
            return f"One seed an arm: it speaks of two adapters. A verdict on methods takes {FOR_A_VERDICT} seeds."
        return (
            f"{counted(seeds, 'seed').capitalize()} an arm are a pilot: intervals are wide, and what would decide is "
            f"known only roughly. A verdict takes {FOR_A_VERDICT} seeds."
        )

    def unproven(self, found: UnprovenQuantization) -> str:
        return (
            f"{found.arm} asked for {found.bits}-bit weights, but no quantized layer was found in its loaded model "
            f"({seed_list(found.seeds)}): its figures are not those of a quantized base."
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
        return f"{self.METRICS[metric.key]}, of {arm.label}, was not finite in {seed_list(seeds)}: {mean}."

    def seeds_missing(self, missing: SeedsMissing) -> str:
        lost = [f"seed {run.record.seed} ({self.STATUS[run.record.status]})" for run in missing.uncompleted]
        lost += [f"seed {seed} (not run)" for seed in missing.not_run]
        kept = seed_list(sorted(missing.arm.seeds))
        return (
            f"{missing.arm.label} lacks {listed(lost)}: its means are over {kept}, and differences over the seeds that "
            "both arms completed. Runs that fail are no random choice."
        )

    def confounded(self, comparison: Comparison) -> str:
        """In what two arms differ beside what they are meant to, by what it touches."""
        causes = [f"{self.cause_name(cause)} ({self.touches(cause)})" for cause in comparison.fairness.confounding]
        return (
            f"{comparison.arm.label} and {comparison.baseline.label} differ in more than method and quantization, and "
            f"in brackets what that touches: {listed(causes)}."
        )

    def touches(self, cause: OtherCause) -> str:
        """What a difference bears on, and why it may take no verdict all the same."""
        named = ", ".join(self.TOUCHES[aspect] for aspect in Aspect if aspect in cause.aspects) or self.TOUCHES_NOTHING
        if cause.declared:
            return self.DECLARED.format(touches=named)
        return self.ONE_SIDED.format(touches=named) if cause.one_sided else named

    def separated(self, comparison: Comparison) -> str:
        return (
            f"All runs of one of {comparison.arm.label} and {comparison.baseline.label} came before all of the other: "
            "what changed on the machine meanwhile stands in their times, energy and temperatures."
        )

    def shared(self, runs: Sequence[Run]) -> str:
        named = listed(map(self.run_name, runs), between="; ")
        return f"Others used the machine during {named}: times and energy are not the arms' own."

    def lacking(self, comparison: Comparison, metrics: Sequence[Metric], arm: Arm) -> str:
        names = listed(map(self._in_a_sentence, metrics))
        other = comparison.baseline if arm is comparison.arm else comparison.arm
        return f"Measured in {other.label} and not in {arm.label}, so not compared: {names}."

    def cut_off(self, arm: Arm, cut_off: int, answers: int) -> str:
        return (
            f"{arm.label}: {cut_off:,} of {answers:,} answers were cut off at evaluation.max_new_tokens, and count as "
            "what they were then."
        )

    def marked_otherwise(self, found: MarkedOtherwise) -> str:
        return (
            f"{found.arm.label}: evalscope's own extraction marks {found.otherwise:,} of {found.answers:,} answers "
            f"otherwise. It counts {found.evalscope_correct:,} right; by the number that an answer gives, as here, "
            f"{found.correct:,} are."
        )

    def looked_before(self, comparison: Comparison, look: int, announced: int, alpha: float) -> str:
        """The results were looked at before with other runs."""
        said = "as announced" if look <= announced else f"of {announced} announced"
        return (
            f"This is look {look} ({said}) at {comparison.arm.label} against {comparison.baseline.label}: p-values are "
            f"held against {100 * alpha:.2g}% in place of 5%."
        )

    def adopted(self, runs: Sequence[Run]) -> str:
        """Runs that the harness did not make."""
        told = [run.record.adopted for run in runs if run.record.adopted is not None]
        unknown = dict.fromkeys(what for adopted in told for what in adopted.unknown)
        what = f" Their files do not tell: {', '.join(self.UNKNOWN[each] for each in unknown)}." if unknown else ""
        names = listed(map(self.run_name, runs), between="; ")
        return f"Adopted from LLaMA-Factory's output folders, not measured by the harness: {names}.{what}"

    def baseline_absent(self, wanted: Sequence[str], instead: str) -> str:
        return (
            f"The sweep's baseline, {' or '.join(wanted)}, is not among the runs: the arms are compared with the "
            f"first, {instead}."
        )

    def further(self, count: int) -> str:
        return f"Of the same kind: {count:,} more (runs.csv has every run)."

    MEASURE_ADOPTED = "What was adopted is not measured. These commands repeat it and measure:"
