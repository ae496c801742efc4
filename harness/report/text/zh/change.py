"""What `harness compare` says, in Chinese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.comparison.arms import Arm
from harness.comparison.change import ArmChange, MetricChange, Move
from harness.comparison.differences import PairedDifference
from harness.comparison.fairness import OtherCause
from harness.report.numbers import difference_text, number, value_text
from harness.report.text.en import change as english
from harness.runs.record import Outcome


class ChangeTexts(english.ChangeTexts):
    """One sweep made twice: what moved."""

    STATUS: Mapping[Outcome, str]

    MOVES: Mapping[Move, str] = {
        Move.BETTER: "变好",
        Move.WORSE: "变差",
        Move.MOVED: "有变化",
        Move.WITHIN_NOISE: "在噪声范围内",
        Move.UNKNOWN: "无从判断（只有一个种子，或题目太少）",
    }
    NOTHING_IN_COMMON = "两次扫描没有设置相同的组。"

    def arm_change(self, arm: ArmChange) -> str:
        moved = sum(metric.move in (Move.BETTER, Move.WORSE, Move.MOVED) for metric in arm.metrics)
        return (
            f"{arm.new.label}：{len(arm.metrics)} 项指标中有 {moved} 项的变化超出噪声"
            f"（已完成的运行：旧 {len(arm.old.completed)} 次，新 {len(arm.new.completed)} 次）"
        )

    def metric_change(self, change: MetricChange) -> str:
        paired, metric = change.paired, change.paired.metric
        then, now = (value_text(metric, mean) for mean in (paired.baseline_mean, paired.arm_mean))
        moved = f"{self.MOVES[change.move]}：{self.METRICS[metric.key]} {then} -> {now}"
        if paired.ratio is not None:
            interval = paired.ratio_interval
            bounds = (
                f"95% 置信区间 {interval.low:.3f} 至 {interval.high:.3f}" if interval else self._no_interval(paired)
            )
            return f"{moved}（{paired.ratio:.3f} 倍，{bounds}）"
        difference = paired.interval
        bounds = (
            self._no_interval(paired)
            if difference is None
            else "95% 置信区间 " + " 至 ".join(difference_text(metric, bound) for bound in difference)
        )
        return f"{moved}（{difference_text(metric, paired.mean)}，{bounds}）"

    def _no_interval(self, paired: PairedDifference) -> str:
        return "精确值" if paired.is_exact else "无置信区间"

    def failing(self, arm: ArmChange) -> list[str]:
        return [
            f"变差：种子 {run.record.seed} 以前能完成，现在{self.STATUS[run.record.status]}"
            f"{f'：{run.record.reason}' if run.record.reason else ''}"
            for run in arm.failing
        ]

    def changed_around(self, names: Sequence[str], causes: Sequence[OtherCause]) -> list[str]:
        return [
            f"环境变化：{name} {' / '.join(cause.baseline_values) or '-'} -> {' / '.join(cause.arm_values) or '-'}"
            for name, cause in zip(names, causes, strict=True)
        ]

    def without_counterpart(self, arm: Arm, is_old: bool) -> str:
        return f"{arm.label}：只出现在{'旧' if is_old else '新'}扫描中（{number(len(arm.runs), 0)} 次运行）"
