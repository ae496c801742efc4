"""What stands below the first screen, in Chinese: the sentences that take more than filling a hole."""

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
from harness.report.text.en import sections as english
from harness.report.text.zh.diagnoses import cause_and_fix
from harness.report.text.zh.names import bracketed
from harness.report.text.zh.opening import OpeningTexts, listed, seed_list
from harness.report.text.zh.tracking_diagnoses import CAUSES as TRACKING_CAUSES
from harness.runs.record import Diagnosis, Tracking


class SectionTexts(OpeningTexts, english.SectionTexts):
    """Sentences of the sections."""

    METHOD: Mapping[str, str] = {
        "accuracy": (
            "准确率：回答按种子和题目配对，置信区间同时涵盖这两个来源的波动，视为交叉随机效应：方差为“种子均值的方差/种"
            "子数 + 题目均值的方差/题目数”，分位数取各部分对应的 t 分布分位数，按各部分加权（Cochran 与 Cox 1950）。题"
            "目中另加两道虚拟题，一胜一负（借鉴 Bonett 与 Price 2012，见 docs/statistics.md），这样即使两组处处一"
            f"致，区间宽度也不会为零。在真值已知的模拟中，有三个种子、{FEWEST_QUESTIONS} 道题以上时，它达到所声称的覆"
            "盖率（docs/statistics.md）。"
        ),
        "ratios": (
            "显存、内存、耗时、吞吐和能耗：取几何均值之比，对其对数使用 t 分布。显存和内存按种子配对；耗时和能耗不配"
            "对，因为种子相同并不会使它们相关：每次运行单独计入，并估计随运行次序的线性漂移，将其从比值中剔除。"
        ),
        "losses": "损失：按种子配对取差，使用 t 分布。",
        "exact": "两组的所有运行各自得到同一数值时，差异是精确值，没有置信区间。低于传感器分辨力的差异视为没有差异。",
        "words": (
            "更优或更差：两组有差异（p 小于显著性水平）。等效：差异落在界值以内（双单侧检验）。不劣于基线：即使比基线"
            "差，差距也小于界值（单侧检验）。无法判定：以上都不成立。主要指标之外的指标只作描述，不给结论：每二十个这样"
            "的 95% 置信区间，大约有一个会因偶然而落空。"
        ),
        "one_seed": (
            "只有一个种子时不对方法下结论，因为无从得知差异中有多少来自随机种子。"
            f"下结论需要 {FOR_A_VERDICT} 个种子；两三个种子只算预实验。"
        ),
        "second_reading": (
            "“不差于基线的概率”由同一个区间读出，事先不偏向任何一方（平坦先验），只针对单项指标，不作多重检验校正。"
        ),
        "needs": (
            "还需多少数据由方差的各部分推算，要求无论两组相同还是相差一个界值，检验功效都达到 80%。结果给出一个范围，因"
            "为种子较少时，难以准确估计种子间的波动（取其方差的 80% 置信区间）。"
        ),
        "order": "在每个种子内，各组的运行顺序由扫描名称和种子随机决定，使机器状态的漂移对各组的影响相当。",
    }

    def title(self, sweeps: Sequence[str]) -> str:
        return f"对比报告：{listed(sweeps, most=10)}"

    def status(self, run: Run) -> str:
        status = self.STATUS[run.record.status]
        if run.diverged:
            status = self.DIVERGED.format(status=status)
        return self.ADOPTED.format(status=status) if run.record.adopted else status

    def named(self, metric: Metric, sensors: Collection[str]) -> str:
        return bracketed(self.METRICS[metric.key], *sorted(sensors), *filter(None, [self.UNITS[metric.unit]]))

    def span(self, lowest: str, highest: str) -> str:
        return self.SPAN.format(lowest=lowest, highest=highest)

    def counted_seeds(self, seeds: Collection[int]) -> str:
        return "、".join(map(str, seeds)) if len(seeds) <= 10 else self.COUNTED_SEEDS.format(count=len(seeds))

    def seeds_of(self, seeds: Collection[int], diverged: Collection[int], lost: Collection[int]) -> str:
        notes = [f"发散：{'、'.join(map(str, diverged))}"] if diverged else []
        notes += [f"未完成：{'、'.join(map(str, lost))}"] if lost else []
        return self.counted_seeds(seeds) + (f"（{'；'.join(notes)}）" if notes else "")

    def not_finite_values(self, seeds: Collection[int]) -> str:
        return f"非有限值：{seed_list(seeds)}"

    def varies(self, paired: PairedDifference, parts: Variances) -> str:
        seeds, questions, rest = (
            number(100 * variance**0.5, 1) for variance in (parts.seeds, parts.questions, parts.residual)
        )
        return (
            f"{paired.arm} 与 {paired.baseline} 之差的波动（标准差）：由种子引起 {seeds} 个百分点，由题目引起 "
            f"{questions} 个百分点，其余 {rest} 个百分点。"
        )

    def merged(self, paired: PairedDifference) -> str:
        return f"{paired.arm} 合并到未量化基座后，准确率{self.effect(paired)}。"

    def left_out(self, comparison: Comparison, metric: Metric, seeds: Sequence[int]) -> str:
        return (
            f"{comparison.arm.label} 对比 {comparison.baseline.label} 的{self.METRICS[metric.key]}：未计入"
            f"{seed_list(seeds)}，因为有一方不是有限值。"
        )

    def cannot_pair(self, paired: PairedDifference) -> str:
        assert paired.unpairable is not None
        return f"{self.METRICS[paired.metric.key]}没有置信区间：{self.unpairable(paired.unpairable)}。"

    def variation_name(self, variation: Variation) -> str:
        fact = self.FACTS[variation.fact]
        return fact if variation.key is None else f"{fact} {variation.key}"

    def compared(self, comparison: Comparison) -> list[str]:
        pair, found = f"{comparison.arm.label} 与 {comparison.baseline.label}", comparison.fairness
        said = [f"{pair} 之间比对后相同的条件：{'、'.join(self.FACTS[fact] for fact in found.equal) or '无'}。"]
        if found.not_recorded:
            absent = "、".join(self.FACTS[fact] for fact in found.not_recorded)
            said.append(f"以下条件并非双方都有记录，因此未作比对，或只比对了与之相关的设置：{absent}。")
        return said

    def tests(self, tests: int, alpha: float) -> str:
        if not tests:
            return "没有进行任何检验：各主要指标或为精确值，或没有差异，或不作结论。"
        return (
            f"对主要指标共作 {tests:,} 个检验（组数乘以准确率、首要的显存或内存指标、单步耗时），经 Holm 校正，显著性水"
            f"平 {100 * alpha:.2g}%。"
        )

    def superseded(self, superseded: Superseded) -> str:
        why = {"older": "而且时间更近", "copy": "而且开始于同一时刻：其中一个是副本", "not_completed": "而且已完成"}
        return f"{superseded.folder} 未纳入：{superseded.by} 的配置和种子与它相同，{why[superseded.why]}。"

    def diagnosis(self, diagnosis: Diagnosis) -> str:
        cause, fix = cause_and_fix(diagnosis)
        return f"日志显示的原因：{cause}。解决办法：{fix}。"

    def untracked(self, runs: Sequence[Run], tracking: Sequence[Tracking]) -> str:
        found, problem = tracking[0].diagnosis, tracking[0].problem
        cause, fix = (problem, None) if found is None else TRACKING_CAUSES.get(found.cause, (found.cause, found.fix))
        reason = cause if found is None else f"{cause}（{problem}）"
        said = [f"SwanLab 没有完整跟踪 {listed(map(self.run_name, runs), 20)}：{reason}。"]
        if missing := sum(each.missing_losses or 0 for each in tracking):
            said.append(f"其中至少缺少 {missing:,} 个损失值；运行自身的文件是完整的。")
        if fix is not None:
            said.append(f"解决办法：{fix}。")
        if kept := [each.kept_in for each in tracking if each.kept_in is not None]:
            said.append(f"已保存的部分可这样上传：swanlab sync {listed(kept, 20, ' ')}")
        return "".join(said)

    def question(self, index: int, seed: int, baseline: tuple[str, bool], arm: tuple[str, bool]) -> str:
        outcomes = "，".join(f"{label} 答{'对' if correct else '错'}" for label, correct in (baseline, arm))
        return f"第 {index} 题，种子 {seed}：{outcomes}"

    def base_column(self, labels: Sequence[str]) -> str:
        return f"{'、'.join(labels)} 的基座" if labels else "基座"
