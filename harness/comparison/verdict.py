"""The outcome of a comparison in sentences for somebody who decides and reads no tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.comparison.arms import Arm
from harness.comparison.differences import Comparison, PairedDifference, Word, loss_by_merging
from harness.comparison.fairness import unproven_quantization
from harness.comparison.metrics import ACCURACY, LEADING_MEMORY, MERGED_ACCURACY, TRAIN_SECONDS, number, percent

TOO_HARD, TOO_EASY = 0.05, 0.98
"""Share of right answers, the mean over an arm's seeds. Where no arm exceeds the first, a benchmark is too hard to tell
arms apart, and what is right may be luck; where all reach the second it is too easy."""

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Verdict:
    sentences: list[str]
    """Two: memory and time, then accuracy. Fewer where less was measured."""
    others: list[str]
    """One for each further arm, and one for each that was scored merged too."""
    caveats: list[str]
    """What a reader of the sentences alone would get wrong."""


def _seeds(count: int) -> str:
    return f"{COUNTS[count] if count < len(COUNTS) else count} seed{'' if count == 1 else 's'}"


def _interval(one: PairedDifference) -> str:
    if one.relative_interval is None:
        return "one seed, so no interval" if one.seeds == 1 else "no interval"
    low, high = one.relative_interval
    return f"95% interval {percent(low)} to {percent(high)}"


def _noise(one: PairedDifference) -> str:
    return f", a difference that {_seeds(one.seeds)} cannot tell from noise" if one.word is Word.NOISE else ""


def _memory(comparison: Comparison) -> str:
    names = f"{comparison.arm.label} and {comparison.baseline.label}"
    one = next(filter(None, map(comparison.of, LEADING_MEMORY)), None)
    if one is None:
        return f"The memory of {names} was not measured by a sensor they share"
    sensors = comparison.arm.sensors(one.metric) | comparison.baseline.sensors(one.metric)
    relative = "" if one.relative_percent is None else f"{percent(one.relative_percent)}, "
    return (
        f"{one.arm} peaked at {one.metric.write(one.arm_mean)} of {one.metric.title.removeprefix('Peak ')} "
        f"({', '.join(sorted(sensors))}) against {one.metric.write(one.baseline_mean)} for {one.baseline} "
        f"({relative}{_interval(one)}){_noise(one)}"
    )


def _time(comparison: Comparison) -> str:
    one = comparison.of(TRAIN_SECONDS)
    if one is None or one.relative_percent is None:
        return ""
    size = number(abs(one.relative_percent), 1)
    took = f"took {size}% {'longer' if one.mean > 0 else 'less time'} to train ({_interval(one)})"
    return f"; {one.arm} {took}{_noise(one)}"


def _accuracy(one: PairedDifference) -> str:
    asked = f"of {one.questions} questions" if one.questions else "of its questions"
    said = (
        f"{one.arm} answered {ACCURACY.format(one.arm_mean)}% {asked} right against "
        f"{ACCURACY.format(one.baseline_mean)}% for {one.baseline}"
    )
    points = f"{ACCURACY.format_difference(one.mean)} points"
    if one.interval is None:
        return f"{said} ({points}); there is no interval: {one.problem or 'too few questions'}."
    low, high = (ACCURACY.format_difference(bound) for bound in one.interval)
    interval = f"{points}, 95% interval {low} to {high}"
    if one.seeds == 1:
        chance = "the choice of questions can explain" if one.word is Word.NOISE else "other seeds may not show"
        return f"{said}: a difference that {chance} ({interval} over questions alone, seeds were not varied)."
    if one.word is Word.NOISE:
        return f"{said}: a difference that {_seeds(one.seeds)} cannot tell from noise ({interval})."
    return f"{said}: a difference beyond the noise of seeds and questions ({interval})."


def _impossible(comparison: Comparison) -> str | None:
    arm, baseline = comparison.arm, comparison.baseline
    absent = [one for one in (arm, baseline) if not one.completed]
    if absent:
        why = " and ".join(f"{one.label} has no completed run ({one.outcomes()})" for one in absent)
    elif not comparison.differences:
        why = "no seed was completed by both"
    else:
        return None
    return f"{arm.label} cannot be compared with {baseline.label}: {why}."


def _sentences(comparison: Comparison, score_tells: bool) -> list[str]:
    impossible = _impossible(comparison)
    if impossible:
        return [impossible]
    accuracy = comparison.of(ACCURACY)
    said = [f"{_memory(comparison)}{_time(comparison)}."]
    return [*said, _accuracy(accuracy)] if accuracy and score_tells else said


def _score_tells_nothing(arms: Sequence[Arm]) -> str | None:
    bases = [run.record.base_score.accuracy for arm in arms for run in arm.completed if run.record.base_score]
    kinds = ACCURACY, MERGED_ACCURACY
    scores = [summary.mean for arm in arms for kind in kinds if (summary := arm.summary(kind))] + bases
    if scores and max(scores) <= TOO_HARD:
        bound = f"at most {100 * max(scores):.1f}%"
    elif scores and min(scores) >= TOO_EASY:
        bound = f"at least {100 * min(scores):.1f}%"
    else:
        return None
    who = "Every arm and the base" if bases else "Every arm"
    return f"{who} answered {bound} of the questions right: at this score the benchmark tells nothing about the arms."


def _caveats(arms: Sequence[Arm], comparisons: Sequence[Comparison]) -> list[str]:
    said = [fault for arm in arms if (fault := unproven_quantization(arm))]
    runs = [run.record for arm in arms for run in arm.runs]
    for words in dict.fromkeys(record.stand_in for record in runs if record.stand_in):
        said.append(
            f"No NPU was used. In its place: {words}. The training ran on the CPU, and what stands "
            "here as memory, power or utilization of a chip is the stand-in's."
        )
    completed = [run for arm in arms for run in arm.completed]
    if completed and all(run.record.device == "cpu" for run in completed):
        said.append("Measured on a CPU: this is the memory of processes on a host, and no statement on accelerators.")
    seeds = [one.seeds for comparison in comparisons for one in comparison.differences]
    if seeds and max(seeds) == 1:
        said.append("One seed an arm: how much of a difference comes from the seed is not known.")
    if seeds and max(seeds) == 2:
        # Simulated with strong seed effects on accuracy: two seeds held the truth in 88 of 100 intervals, three in 93.
        said.append("Two seeds an arm are few: where the seed matters much, a 95% interval over two is too narrow.")
    wanted = {run.record.baseline for arm in arms for run in arm.runs}
    if comparisons and not any(arm.is_baseline for arm in arms):
        said.append(
            f"The sweep's baseline, {' or '.join(sorted(wanted))}, is not among the runs: "
            f"the arms are compared with the first, {arms[0].label}."
        )
    return said


def verdict(arms: Sequence[Arm], comparisons: Sequence[Comparison]) -> Verdict:
    """Ranks nothing inside its noise, and names the sensor of the memory that it speaks of."""
    caveats = _caveats(arms, comparisons)
    if not arms:
        return Verdict(["No run has left a record, so there is nothing to compare."], [], caveats)
    tells_nothing = _score_tells_nothing(arms)
    merging = [] if tells_nothing else [_accuracy(one) for one in map(loss_by_merging, arms) if one is not None]
    if not comparisons:
        only = f"Only {arms[0].label} was run ({arms[0].outcomes()}), so there is nothing to compare it with."
        return Verdict([only], merging, caveats)
    first = next((one for one in comparisons if not _impossible(one)), comparisons[0])
    sentences = _sentences(first, score_tells=tells_nothing is None)
    if tells_nothing:
        sentences.append(tells_nothing)
    others = [" ".join(_sentences(one, tells_nothing is None)) for one in comparisons if one is not first]
    return Verdict(sentences, others + merging, caveats)
