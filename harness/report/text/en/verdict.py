"""The verdict in English."""

from __future__ import annotations

from harness.comparison.arms import Arm
from harness.comparison.differences import Comparison, Direction, PairedDifference
from harness.comparison.fairness import UnprovenQuantization
from harness.comparison.findings import (
    BaselineAbsent,
    Caveat,
    Confounded,
    CpuOnly,
    Diverged,
    FewSeeds,
    NotFinite,
    SeedsMissing,
    StandIn,
    UselessScore,
)
from harness.comparison.metrics import ACCURACY, TRAIN_SECONDS, Metric
from harness.comparison.runs import Run
from harness.report.numbers import difference_text, number, percent, value_text
from harness.report.text.en.report import cause_name, interval, run_name, seed_list, unpairable
from harness.report.text.en.titles import METRICS, NOT_RECORDED, UNITS
from harness.runs.record import DivergenceKind

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _seeds(count: int) -> str:
    return f"{_COUNTS[count] if count < len(_COUNTS) else count} seed{'' if count == 1 else 's'}"


def _relative_interval(paired: PairedDifference) -> str:
    if paired.relative_interval is None:
        return "one seed, so no interval" if paired.seeds == 1 else "no interval"
    low, high = paired.relative_interval
    return f"95% interval {percent(low)} to {percent(high)}"


def _noise(paired: PairedDifference) -> str:
    is_noise = paired.direction is Direction.NOISE
    return f", a difference that {_seeds(paired.seeds)} cannot tell from noise" if is_noise else ""


def _with_unit(metric: Metric, value: float) -> str:
    unit = UNITS[metric.unit]
    return f"{value_text(metric, value)}{unit}" if unit == "%" else f"{value_text(metric, value)} {unit}".rstrip()


def cost(comparison: Comparison) -> str:
    return f"{_memory(comparison)}{_time(comparison)}."


def _memory(comparison: Comparison) -> str:
    arm, baseline, paired = comparison.arm.label, comparison.baseline.label, comparison.leading_memory
    if paired is None:
        return f"The memory of {arm} and {baseline} was not measured by a sensor they share"
    metric = paired.metric
    sensors = comparison.arm.sensors(metric) | comparison.baseline.sensors(metric)
    relative = "" if paired.relative_percent is None else f"{percent(paired.relative_percent)}, "
    return (
        f"{arm} peaked at {_with_unit(metric, paired.arm_mean)} of {METRICS[metric.key].removeprefix('Peak ')} "
        f"({', '.join(sorted(sensors))}) against {_with_unit(metric, paired.baseline_mean)} for {baseline} "
        f"({relative}{_relative_interval(paired)}){_noise(paired)}"
    )


def _time(comparison: Comparison) -> str:
    paired = comparison.of(TRAIN_SECONDS)
    if paired is None or paired.relative_percent is None:
        return ""
    size = number(abs(paired.relative_percent), 1)
    took = f"took {size}% {'longer' if paired.mean > 0 else 'less time'} to train ({_relative_interval(paired)})"
    return f"; {paired.arm} {took}{_noise(paired)}"


def accuracy(difference: PairedDifference) -> str:
    return _accuracy(difference, difference.arm)


def merging(difference: PairedDifference) -> str:
    return _accuracy(difference, f"{difference.arm} merged into the unquantized base")


def _accuracy(paired: PairedDifference, arm: str) -> str:
    asked = f"of {paired.questions} questions" if paired.questions else "of its questions"
    answered = (
        f"{arm} answered {value_text(ACCURACY, paired.arm_mean)}% {asked} right against "
        f"{value_text(ACCURACY, paired.baseline_mean)}% for {paired.baseline}"
    )
    points = f"{difference_text(ACCURACY, paired.mean)} points"
    if paired.interval is None:
        why = unpairable(paired.unpairable) if paired.unpairable else "too few questions"
        return f"{answered} ({points}); there is no interval: {why}."
    bounds = f"{points}, 95% interval {interval(ACCURACY, paired.interval)}"
    is_noise = paired.direction is Direction.NOISE
    if paired.seeds == 1:
        chance = "the choice of questions can explain" if is_noise else "other seeds may not show"
        return f"{answered}: a difference that {chance} ({bounds} over questions alone, seeds were not varied)."
    if is_noise:
        return f"{answered}: a difference that {_seeds(paired.seeds)} cannot tell from noise ({bounds})."
    return f"{answered}: a difference beyond the noise of seeds and questions ({bounds})."


def impossible(comparison: Comparison) -> str:
    arm, baseline = comparison.arm, comparison.baseline
    absent = [f"{side.label} has no completed run ({_outcomes(side)})" for side in (arm, baseline) if not side.seeds]
    why = " and ".join(absent) or "no seed was completed by both"
    return f"{arm.label} cannot be compared with {baseline.label}: {why}."


def alone(arm: Arm) -> str:
    return f"Only {arm.label} was run ({_outcomes(arm)}), so there is nothing to compare it with."


def _outcomes(arm: Arm) -> str:
    return ", ".join(f"{count} {status.value}" for status, count in sorted(arm.outcomes().items()))


def useless_score(score: UselessScore) -> str:
    who = "Every arm and the base" if score.with_base else "Every arm"
    bound = f"at {'most' if score.is_upper else 'least'} {100 * score.bound:.1f}%"
    return f"{who} answered {bound} of the questions right: at this score the benchmark tells nothing about the arms."


def caveat(caveat: Caveat) -> str:
    match caveat:
        case UnprovenQuantization(arm, bits, seeds):
            return (
                f"{arm} asked for {bits}-bit weights, but no quantized layer was found in its loaded model "
                f"(seed {', '.join(map(str, seeds))}): its figures are not those of a quantized base."
            )
        case StandIn(description):
            return (
                f"No NPU was used. In its place: {description}. The training ran on the CPU, and what stands here as "
                "memory, power or utilization of a chip is the stand-in's."
            )
        case Diverged(run):
            kept = "Its finite values stand in the means of its arm" if run.completed else "It is in no mean"
            return f"{run_name(run.label, run.record.seed)} diverged: {_divergence(run)}. {kept}."
        case NotFinite(arm, metric, seeds, n):
            mean = f"its mean is over {n} of {n + len(seeds)} runs" if n else "it has no mean"
            return f"{METRICS[metric.key]}, of {arm}, was not finite in {seed_list(seeds)}: {mean}."
        case SeedsMissing(arm, uncompleted, not_run):
            lost = [f"seed {run.record.seed} ({run.record.status.value})" for run in uncompleted]
            lost += [f"seed {seed} (not run)" for seed in not_run]
            return f"{arm.label} lacks {', '.join(lost)}: its means are over {seed_list(sorted(arm.seeds))}."
        case Confounded(comparison):
            names = list(dict.fromkeys(map(cause_name, comparison.fairness.confounding)))
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""
            return (
                f"{comparison.arm.label} and {comparison.baseline.label} differ in more than method and quantization "
                f"({', '.join(names[:4])}{more}): their difference is not that of the quantization alone."
            )
        case CpuOnly():
            return "Measured on a CPU: this is the memory of processes on a host, and no statement on accelerators."
        case FewSeeds(1):
            return "One seed an arm: how much of a difference comes from the seed is not known."
        case FewSeeds():
            # Simulated with strong seed effects on accuracy: two seeds held the truth in 88 of 100 intervals, three 93.
            return "Two seeds an arm are few: where the seed matters much, a 95% interval over two is too narrow."
        case BaselineAbsent(wanted, instead):
            return (
                f"The sweep's baseline, {' or '.join(wanted)}, is not among the runs: "
                f"the arms are compared with the first, {instead}."
            )


def _divergence(run: Run) -> str:
    divergence = run.record.divergence
    if divergence is None:
        return f"why is {NOT_RECORDED}"
    if divergence.kind is DivergenceKind.NOT_FINITE:
        return f"its loss was not finite at step {divergence.step}"
    return (
        f"its training loss ended no lower than it began ({divergence.first_loss:.4f} nats a token at first, "
        f"{divergence.last_loss:.4f} at step {divergence.step})"
    )
