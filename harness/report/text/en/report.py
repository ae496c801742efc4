"""What a report says around its figures, in English."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from harness.comparison.answers import Unpairable, UnpairableReason
from harness.comparison.arms import Summary
from harness.comparison.differences import Comparison
from harness.comparison.fairness import Fact, OtherCause
from harness.comparison.intervals import Interval
from harness.comparison.metrics import Metric
from harness.comparison.runs import Run, Superseded
from harness.report.numbers import difference_text, value_text
from harness.report.text.en.titles import DIFFERENCE_UNITS, FACTS, METRICS, NOT_RECORDED, UNITS
from harness.runs.record import Diagnosis, MemoryPeak


def seed_list(seeds: Iterable[int]) -> str:
    """`seed 1`, `seeds 0, 2`"""
    listed = [str(seed) for seed in seeds]
    return f"seed{'' if len(listed) == 1 else 's'} {', '.join(listed)}"


def title(sweeps: Sequence[str]) -> str:
    return f"Comparison: {', '.join(sweeps)}"


def share(count: int, total: int) -> str:
    return f"{count:,} of {total:,}"


def diverged(count: int, looked_at: int, runs: int) -> str:
    if not looked_at:
        return NOT_RECORDED
    return share(count, looked_at) + (f", {runs - looked_at} {NOT_RECORDED}" if looked_at < runs else "")


def status(run: Run) -> str:
    return f"{run.record.status.value}{', diverged' if run.diverged else ''}"


def cut_off(rows: int, cutoff_tokens: int) -> str:
    return f"{rows:,} at {cutoff_tokens:,} tokens"


def summary(metric: Metric, summary: Summary, runs: int) -> str:
    if summary.mean is None:
        return f"not finite (n={summary.not_finite})"
    # A count or a size that every seed shares has no spread worth a column's width.
    spread = f" ± {value_text(metric, summary.spread)}" if summary.spread else ""
    broken = f", {summary.not_finite} not finite" if summary.not_finite else ""
    fewer = f" (n={summary.n}{broken})" if summary.n != runs else ""
    return f"{value_text(metric, summary.mean)}{spread}{fewer}"


def named(metric: Metric, sensors: Collection[str]) -> str:
    details = [*sorted(sensors), *filter(None, [UNITS[metric.unit]])]
    return f"{METRICS[metric.key]} ({', '.join(details)})" if details else METRICS[metric.key]


def named_difference(metric: Metric) -> str:
    unit = DIFFERENCE_UNITS.get(metric.unit, UNITS[metric.unit])
    return f"{METRICS[metric.key]} ({unit})" if unit else METRICS[metric.key]


def interval(metric: Metric, interval: Interval) -> str:
    return " to ".join(difference_text(metric, bound) for bound in interval)


def against(arm: str, baseline: str) -> str:
    return f"{arm} against {baseline}"


def difference_headers(arm: str, baseline: str) -> Sequence[str]:
    return ["", baseline, arm, "Difference", "95% interval", "Relative", "Seeds", f"{arm} is"]


def unpairable(why: Unpairable) -> str:
    if why.reason is UnpairableReason.OTHER_QUESTIONS:
        return (
            f"{why.run.label} (seed {why.run.record.seed}) was asked other questions than {why.other.label} "
            f"(seed {why.other.record.seed}), so accuracy cannot be paired"
        )
    return f"{why.path} is {why.reason.value}, so its questions cannot be paired"


def left_out(metric: Metric, seeds: Sequence[int]) -> str:
    return f"{METRICS[metric.key]}: {seed_list(seeds)} left out, since it was not finite in one of the two"


def cause_name(cause: OtherCause) -> str:
    if cause.fact is Fact.VERSIONS:
        return f"version of {cause.key}"
    names = {"model": "files of the base", "hardware": "hardware", "stand_in": "stand-in", "chips": "number of chips"}
    if cause.key is None or "." not in cause.key:
        return names.get(cause.key or "", FACTS[cause.fact])
    return cause.key


def other_causes(confounded: bool) -> str:
    if confounded:
        return (
            "These arms differ in more than method and quantization, so a difference above is not that of the "
            "quantization alone."
        )
    return "The arms were not completed with the same seeds; a difference above is over those that both completed."


def other_causes_heading(arm: str, baseline: str) -> str:
    return f"{against(arm, baseline)}: other settings"


def compared(comparison: Comparison) -> str:
    pair, found = f"{comparison.arm.label} and {comparison.baseline.label}", comparison.fairness
    start = f"Compared between {pair}, and equal"
    if not found.causes:
        start = f"{pair} differ in method and quantization. Compared, and equal"
    equal = f"{start}: {', '.join(FACTS[fact] for fact in found.equal) or 'nothing'}."
    if not found.not_recorded:
        return equal
    absent = ", ".join(FACTS[fact] for fact in found.not_recorded)
    return f"{equal} Not recorded, so that only the settings which lead to them were compared: {absent}."


def sampled(fewest: int, most: int) -> str:
    return f"sampled, {fewest} to {most} readings a phase"


def sampling(readings: int, intervals: str, gaps: int) -> str:
    return f"{readings:,} readings in all, one every {intervals}; {gaps:,} failed or came late."


def unread(run: Run) -> str:
    lines = run.record.unread_lines
    return f"{run.folder.name}: damaged lines of its events and readings, which are in no figure: {lines:,}."


def energy_covered(run: Run) -> str:
    covered = run.record.energy.covered_seconds if run.record.energy else None
    seconds = f"{covered or 0:,.0f} of {run.record.wall_seconds:,.0f} s"
    return f"{run.folder.name}: its energy is that of {seconds}; in the others power was not read."


def run_name(label: str, seed: int) -> str:
    return f"{label}, seed {seed}"


def unscored(run: str, target: str, why: str) -> str:
    return f"{run}: {target} could not be scored: {why}"


def failure(reason: str | None, highest: MemoryPeak | None) -> str:
    reached = ""
    if highest is not None:
        sensor = f"{highest.quantity.value}, {highest.sensor}"
        reached = f"Its memory had reached {highest.peak_mib:,.0f} MiB ({sensor}) in the phase {highest.phase.value}."
    return f"{reason or 'No reason was recorded.'} {reached}".strip()


def diagnosis(diagnosis: Diagnosis) -> str:
    return f"Cause, as far as its log tells: {diagnosis.cause}. Fix: {diagnosis.fix}."


def damaged(problem: str) -> str:
    return f"A damaged record: {problem}"


def unfinished(folder: Path) -> str:
    return f"A run without a record, still running or stopped with its parent: {folder}"


def planned(folder: Path) -> str:
    return f"Planned by a dry run and never started: {folder}"


def superseded(superseded: Superseded) -> str:
    why = "and is newer" if superseded.is_older else "and is completed"
    return f"{superseded.folder} is left out: {superseded.by} has the same configuration and seed {why}"


def commands() -> str:
    return "These commands repeat the runs:"


def examples(seed: int) -> str:
    return f"Seed {seed}; where the arms disagree first, each way in turn, then where they agree; lowest numbers first."


def question(index: int, baseline: tuple[str, bool], arm: tuple[str, bool]) -> str:
    sides = (f"{'right' if is_right else 'wrong'} by {label}" for label, is_right in (baseline, arm))
    return f"Question {index}: {', '.join(sides)}"


def expected(answer: str) -> str:
    return f"Expected: {answer}"


def more_characters(count: int) -> str:
    return f"[... {count:,} more characters]"


def base_column(labels: Sequence[str]) -> str:
    return f"base of {', '.join(labels)}" if labels else "base"


def arm_column(label: str, seed: int, merged: bool) -> str:
    return f"{label}{' merged' if merged else ''}, seed {seed}"


def stopped(tokens: int) -> str:
    return f"[stopped after {tokens} tokens]"
