"""What figures say, in Chinese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.comparison.metrics import Metric
from harness.comparison.runs import Run
from harness.devices.reading import Quantity
from harness.report.text.en import figures as english
from harness.report.text.zh.names import bracketed
from harness.runs.events import Phase
from harness.runs.record import Outcome


class FigureTexts(english.FigureTexts):
    """Titles, axes and legends of the figures."""

    STATUS: Mapping[Outcome, str]

    PICTURES: Mapping[str, str] = {
        "tradeoff": "各组的准确率与显存（或内存）、耗时的关系",
        "intervals": "各项指标与基线的差异及置信区间，阴影为界值范围",
        "loss": "训练损失和验证损失随优化器步数的变化，色带为各种子的范围",
        "memory": "一次运行中显存（或内存）随时间的变化，底色区分各阶段",
    }
    PHASES: Mapping[Phase, str] = {
        Phase.LOAD: "加载",
        Phase.TRAIN: "训练",
        Phase.VALIDATE: "验证",
        Phase.SAVE: "保存",
        Phase.EVALUATE: "评测",
    }
    STEP_AXIS = "优化器步数"
    TRAINING_LOSS_AXIS = "训练损失（nat/token）"
    VALIDATION_LOSS_AXIS = "验证损失（nat/token）"
    NO_READINGS = "无读数"
    TIME_AXIS = "自运行开始的时间（{unit}）"
    RATIO_AXIS = "与基线之比（对数刻度）"
    POINTS_AXIS = "与基线之差（百分点）"
    NATS_AXIS = "与基线之差（nat/token）"
    MEMORY_TITLE: Mapping[Quantity, str] = {
        Quantity.DEVICE: "芯片显存占用（{sensors}）；所标峰值截至训练结束",
        Quantity.HOST: "运行进程的主机私有内存（{sensors}）；所标峰值截至训练结束",
    }
    MISSING_LETTERS = (
        "本机没有字体能显示以下字符，图中以方框代替：{letters}。请安装字体软件包 fonts-noto-cjk（Debian、Ubuntu）或 "
        "google-noto-sans-cjk-ttc-fonts（Fedora、openEuler），再执行 `harness report` 重新绘图。"
    )
    FIGURES_IN_ENGLISH = (
        "本机没有中文字体，因此图中文字为英文。请安装字体软件包 fonts-noto-cjk（Debian、Ubuntu）或 "
        "google-noto-sans-cjk-ttc-fonts（Fedora、openEuler），再执行 `harness report` 重新绘图。"
    )

    def axis(self, metric: Metric) -> str:
        return bracketed(self.METRICS[metric.key], *filter(None, [self.UNITS[metric.unit]]))

    def _left_out(self, arms: int) -> str:
        return f"\n另有 {arms:,} 组未画出" if arms else ""

    def _runs_left_out(self, runs: int) -> str:
        return f"\n这些组中另有 {runs:,} 次运行未画出" if runs else ""

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
        kinds = "和".join([*["训练损失"] * training, *["验证损失"] * validation])
        seeds = "；线为各种子的均值，色带为最低值至最高值" if several else ""
        notes = ["叉号表示曲线此后不再是有限值"] if broken else []
        notes += [f"有 {without_finite} 条曲线没有任何有限值，未画出"] if without_finite else []
        below = "\n" + "；".join(notes) if notes else ""
        return f"{kinds}{seeds}{below}{self._left_out(arms_left_out)}{self._runs_left_out(runs_left_out)}"

    def memory_title(self, quantity: Quantity, sensors: str, arms_left_out: int) -> str:
        return self.MEMORY_TITLE[quantity].format(sensors=sensors) + self._left_out(arms_left_out)

    def memory_panel(self, label: str, run: Run, peak_mib: float) -> str:
        outcome = "" if run.completed else f"，{self.STATUS[run.record.status]}"
        return f"{label}（种子 {run.record.seed}{outcome}）：峰值 {peak_mib:,.0f} MiB"

    def tradeoff_title(self, with_front: bool, several: bool) -> str:
        seeds = "；线段为各种子的最低值至最高值" if several else ""
        front = "\n空心：另有一组的各项均值都不比它差；点线：帕累托前沿" if with_front else ""
        return f"各组的开销与答题效果{seeds}{front}"

    def intervals_title(self, baselines: Sequence[str], arms_left_out: int) -> str:
        return (
            f"对比 {'、'.join(baselines)}，附 95% 置信区间；阴影：界值范围，在此范围内两组同样好用\n"
            f"实心：已有结论（更优、更差、等效）；空心：无结论{self._left_out(arms_left_out)}"
        )
