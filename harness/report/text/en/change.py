"""What `harness compare` says, in English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.comparison.arms import Arm
from harness.comparison.change import ArmChange, MetricChange, Move
from harness.comparison.differences import PairedDifference
from harness.comparison.fairness import OtherCause
from harness.report.numbers import difference_text, number, value_text
from harness.runs.record import Outcome


class ChangeTexts:
    """One sweep made twice: what moved."""

    METRICS: Mapping[str, str]
    STATUS: Mapping[Outcome, str]

    MOVES: Mapping[Move, str] = {
        Move.BETTER: "better",
        Move.WORSE: "worse",
        Move.MOVED: "moved",
        Move.WITHIN_NOISE: "within its noise",
        Move.UNKNOWN: "not told: one seed, or too few questions",
    }
    NOTHING_IN_COMMON = "The two have no arm with the same settings in common."

    def arm_change(self, arm: ArmChange) -> str:
        """One arm in one line."""
        moved = sum(metric.move in (Move.BETTER, Move.WORSE, Move.MOVED) for metric in arm.metrics)
        return (
            f"{arm.new.label}: {moved} of {len(arm.metrics)} metrics moved by more than their noise "
            f"(completed runs: {len(arm.old.completed)} then, {len(arm.new.completed)} now)"
        )

    def metric_change(self, change: MetricChange) -> str:
        """One metric, then and now."""
        paired, metric = change.paired, change.paired.metric
        then, now = (value_text(metric, mean) for mean in (paired.baseline_mean, paired.arm_mean))
        moved = f"{self.MOVES[change.move]}: {self.METRICS[metric.key]} {then} -> {now}"
        if paired.ratio is not None:
            ratios = paired.ratio_interval
            bounds = f"95% interval {ratios.low:.3f} to {ratios.high:.3f}" if ratios else self._no_interval(paired)
            return f"{moved} ({paired.ratio:.3f} times, {bounds})"
        shares = paired.interval and " to ".join(difference_text(metric, bound) for bound in paired.interval)
        bounds = f"95% interval {shares}" if shares else self._no_interval(paired)
        return f"{moved} ({difference_text(metric, paired.mean)}, {bounds})"

    def _no_interval(self, paired: PairedDifference) -> str:
        return "exact" if paired.is_exact else "no interval"

    def failing(self, arm: ArmChange) -> list[str]:
        """Runs that completed then and do not now."""
        return [
            f"worse: seed {run.record.seed} was completed then, and now is {self.STATUS[run.record.status]}"
            f"{f': {run.record.reason}' if run.record.reason else ''}"
            for run in arm.failing
        ]

    def changed_around(self, names: Sequence[str], causes: Sequence[OtherCause]) -> list[str]:
        """What else changed, each with both values."""
        return [
            f"changed: {name} {' / '.join(cause.baseline_values) or '-'} -> {' / '.join(cause.arm_values) or '-'}"
            for name, cause in zip(names, causes, strict=True)
        ]

    def without_counterpart(self, arm: Arm, is_old: bool) -> str:
        """An arm that only one of the two has."""
        return f"{arm.label}: only in the {'old' if is_old else 'new'} sweep ({number(len(arm.runs), 0)} runs)"
