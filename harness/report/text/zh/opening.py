"""The first screen, in Chinese: decisions, verdicts, what would decide the rest, what spoils the comparison."""

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
from harness.devices.reading import Quantity
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
from harness.report.text.en import opening as english
from harness.report.text.zh.names import spaced
from harness.report.text.zh.titles import Titles
from harness.runs.record import DivergenceKind

_MOST_LISTED = 4
_ON_THE_HOST = (Quantity.HOST, Quantity.RESIDENT)


def listed(names: Iterable[object], most: int = _MOST_LISTED, between: str = "、") -> str:
    """`a、b、c、d 等 7 项`"""
    every = [str(name) for name in names]
    if len(every) <= most + 1:
        return between.join(every)
    first = between.join(every[:most])
    return f"{first}{' ' if first[-1:].isascii() else ''}等 {len(every):,} 项"


def seed_list(seeds: Collection[int]) -> str:
    """`种子 0、2`, `25 个种子`"""
    return f"{len(seeds):,} 个种子" if len(seeds) > 10 else f"种子 {'、'.join(map(str, seeds))}"


def _range(low: int | None, high: int | None, most: int, unit: str) -> str:
    """`17 至 30 个`; `17 个至 60 个以上`"""
    if low is None:
        return f"{most:,} {unit}以上"
    if low == high:
        return f"{low:,} {unit}"
    return f"{low:,} {unit}至 {most:,} {unit}以上" if high is None else f"{low:,} 至 {high:,} {unit}"


class OpeningTexts(Titles, english.OpeningTexts):
    """Sentences of the first screen."""

    def _memory(self, metric: Metric) -> str:
        return "内存" if metric.quantity in _ON_THE_HOST else "显存"

    def _what(self, metric: Metric) -> str:
        """A primary metric as a sentence needs it."""
        return self._memory(metric) if metric.aspect is Aspect.MEMORY else self.PRIMARY[metric.aspect]

    # Decisions.

    def purpose(self, choice: Choice) -> str:
        limit = "" if choice.limit_mib is None else number(choice.limit_mib, 0)
        purpose = self.PURPOSES[choice.purpose].format(limit=limit)
        is_memory = choice.purpose in (Purpose.FITS, Purpose.LEAST_MEMORY)
        return f"{self._memory(choice.metric)}{purpose}" if is_memory else purpose

    def chosen(self, choice: Choice) -> Words:
        if choice.basis is Basis.UNDECIDED:
            return [Strong(self.WORDS[Word.UNDECIDED])]
        if choice.basis is Basis.EQUIVALENT:
            return [Strong("任选其一"), f"：{listed(choice.arms)}"]
        return [Strong(listed(choice.arms) if choice.arms else "没有")]

    def rule(self, choice: Choice, baseline: str | None) -> str:
        unit = self._unit(choice.metric)
        values = listed(f"{label} {value_text(choice.metric, value)}{unit}" for label, value in choice.values)
        numbers = f"{self.METRICS[choice.metric.key]}：{values}。"
        if choice.purpose is Purpose.FITS:
            failed = f"显存/内存不足的组：{listed(choice.failed)}。" if choice.failed else ""
            whose = "所选组每次运行的峰值都" if choice.arms else "没有哪一组能让每次运行的峰值都"
            return f"{whose}不超过 comparison.memory_limit_mib。{numbers}{failed}"
        if choice.basis is Basis.UNDECIDED:
            return f"检验既未表明某一组更优，也未表明各组等效。{numbers}"
        if choice.basis is Basis.EQUIVALENT:
            return f"检验表明各组之间的差异小于界值。{numbers}"
        if choice.basis is Basis.SEVERAL:
            return f"检验表明这几组都优于 {baseline}；它们彼此之间未作检验。{numbers}"
        if choice.arms == (baseline,):
            others = [label for label, _ in choice.values if label != baseline]
            return f"检验表明 {listed(others)} {'更差' if len(others) == 1 else '都更差'}。{numbers}"
        if len(choice.values) > 2:
            return f"经检验，只有这一组表现出优于 {baseline}。{numbers}"
        return f"检验表明它优于 {baseline}。{numbers}"

    # Verdicts.

    def compared_over(self, comparison: Comparison) -> str:
        arm, baseline = comparison.arm.label, comparison.baseline.label
        seeds = [run.record.seed for run, _ in comparison.pairs]
        if len(seeds) == 1:
            return (
                f"{arm} 对比 {baseline}，只有{seed_list(seeds)}：比较的仅是这两个适配器，不能推广为两种方法的优劣，因为"
                "无从得知差异中有多少来自随机种子。"
            )
        return f"{arm} 对比 {baseline}，{seed_list(seeds)}。"

    def verdict(
        self,
        paired: PairedDifference,
        judgement: Judgement,
        margin: Interval,
        sensors: Collection[str],
        flips: Sequence[Flips],
        tests: int,
    ) -> Words:
        lead = self.NO_VERDICT if judgement.word is None else self.WORDS[judgement.word]
        figures = [f"{self.METRICS[paired.metric.key]}{self.effect(paired)}"]
        if judgement.word is not None:
            figures.append(f"界值 {self.margin(paired.metric, margin)}")
        if paired.metric.aspect is Aspect.MEMORY and sensors:
            figures.append(f"由 {'、'.join(sorted(sensors))} 测得")
        said = [f"{'；'.join(figures)}。", *self._explained(paired, judgement, margin, flips, tests)]
        if judgement.at_least_as_good is not None and judgement.word in (Word.UNDECIDED, Word.NOT_WORSE):
            probability = chance(judgement.at_least_as_good)
            said.append(f"另一种解读：{paired.arm} 不差于 {paired.baseline} 的概率为 {probability}。")
        return [Strong(lead), f"：{''.join(said)}"]

    def _in_a_sentence(self, metric: Metric) -> str:
        return self.METRICS[metric.key]

    def effect(self, paired: PairedDifference) -> str:
        """What follows a metric's name: `为 lora 的 0.54 倍（lora 为 17,300 MiB），95% 置信区间 0.53 至 0.55`."""
        metric, baseline = paired.metric, paired.baseline
        value = f"{value_text(metric, paired.baseline_mean)}{self._unit(metric)}"
        if paired.is_none:
            how = "之差低于传感器的分辨力" if paired.mean else "相同"
            return f"与 {baseline} 的 {value} {how}"
        ratio, interval = paired.ratio, paired.interval
        if ratio is None:
            shown = self._apart(paired, value)
            bounds = interval and f"{self.interval(metric, interval)}{self._difference_unit(metric)}"
        else:
            text, *ends = ratios(ratio, *(paired.ratio_interval or ()))
            shown = f"为 {baseline} 的 {text} 倍（{baseline} 为 {value}）"
            bounds = self._from_to(*ends) if ends else None
        if bounds is not None:
            return f"{shown}，95% 置信区间 {bounds}"
        if paired.is_exact:
            return f"{shown}，为精确值：同组的各次运行得到同一数值"
        return f"{shown}，只有一个种子" if len(paired.seeds) == 1 else f"{shown}，没有置信区间"

    def _from_to(self, low: str, high: str) -> str:
        return self.SPAN.format(lowest=low, highest=high)

    def _apart(self, paired: PairedDifference, value: str) -> str:
        """A difference with its direction in words: `比 lora 的 80.1% 低 2.0 个百分点`."""
        metric = paired.metric
        difference = difference_text(metric, paired.mean)
        direction = {"+": "高", "-": "低"}.get(difference[0])
        size = f"{difference.lstrip('+-')}{self._difference_unit(metric)}"
        return (
            f"比 {paired.baseline} 的 {value} {direction} {size}"
            if direction
            else f"与 {paired.baseline} 的 {value} 相差 {size}"
        )

    def _difference_unit(self, metric: Metric) -> str:
        return " 个百分点" if metric.unit is Unit.SHARE else self._unit(metric)

    def interval(self, metric: Metric, interval: Interval) -> str:
        return self._from_to(*(difference_text(metric, bound) for bound in interval))

    def margin(self, metric: Metric, margin: Interval) -> str:
        bounds = [compact(round(bound, 6)) for bound in self._in_units(metric, margin)]
        if metric.is_ratio:
            return f"{self._from_to(*bounds)} 倍"
        return f"{bounds[1]}{self._difference_unit(metric)}"

    def _explained(
        self, paired: PairedDifference, judgement: Judgement, margin: Interval, flips: Sequence[Flips], tests: int
    ) -> list[str]:
        word = judgement.word
        if word is None:
            return [self.reason(reason, paired, judgement.causes) for reason in judgement.reasons]
        if word in (Word.BETTER, Word.WORSE):
            return ["但差异小于界值。"] if judgement.within_margin else []
        alpha = f"{100 * judgement.alpha:.2g}%"
        if word is Word.EQUIVALENT:
            return [] if paired.is_none else [f"差异小于界值（两侧检验的显著性水平各为 {alpha}）。"]
        if word is Word.NOT_WORSE:
            return [f"即使更差，差距也小于界值（显著性水平 {alpha}）。"]
        if Reason.ONE_SEED in judgement.reasons:
            return list(map(self.flipped, flips))
        return [] if paired.interval is None else [self._ruled_out(paired.metric, paired.interval, margin, tests)]

    def _ruled_out(self, metric: Metric, interval: Interval, margin: Interval, tests: int) -> str:
        is_beyond = interval.low > margin.low if metric.more_is_better else interval.high < margin.high
        if interval.excludes_zero() or is_beyond:
            return f"单看区间似可得出结论，但按 {tests:,} 个检验校正后证据不足。"
        (low, high), allowed = self._in_units(metric, interval), round(self._in_units(metric, margin).high, 6)
        if not metric.is_ratio:
            if low <= -100:
                return "无法排除任何幅度的下降。"
            loss = number(-low, 2 if round(-low, 1) == allowed else 1)
            return f"可以排除下降超过 {loss} 个百分点，但不能排除下降 {compact(allowed)} 个百分点。"
        worst = f"{high:.4f}" if round(high, 3) == allowed else ratios(low, high)[1]
        return f"可以排除超过 {worst} 倍，但不能排除 {compact(allowed)} 倍。"

    def flipped(self, flips: Flips) -> str:
        p = p_value(flips.p_value)
        return (
            f"就这两个适配器而言：{flips.only_arm} 道题仅前者答对，{flips.only_baseline} 道题仅后者答对"
            f"（McNemar 精确检验，p {p if p.startswith('<') else f'= {p}'}）。"
        )

    def not_measured(self, aspect: Aspect) -> Words:
        return [Strong(self.NOT_MEASURED), f"：在两组都完成的种子中，没有{self.PRIMARY[aspect]}数据可比。"]

    def reason(self, reason: Reason, paired: PairedDifference, causes: Sequence[OtherCause] = ()) -> str:
        if reason is Reason.UNPAIRABLE and paired.unpairable is not None:
            return f"{self.unpairable(paired.unpairable)}。"
        return {
            Reason.ONE_SEED: "只有一个种子，无从得知差异中有多少来自随机种子。",
            Reason.FEW_QUESTIONS: f"只有 {paired.questions} 道题，计算置信区间至少需要 {FEWEST_QUESTIONS} 道。",
            Reason.UNPAIRABLE: "两组的回答无法逐题配对。",
            Reason.NOT_POSITIVE: "有数值不大于零，无法计算比值。",
            Reason.SEPARATED: "一组的运行全部先于另一组，无法分辨差异出自两组本身，还是出自运行时段。",
            Reason.ORDER_UNKNOWN: "无从得知两组是否交替运行。",
            Reason.SHARED: "测量期间有其他程序在使用这台机器。",
            Reason.UNFAIR: f"两组在影响该指标的条件上不一致：{listed(self._names(causes))}。",
            Reason.TELLS_NOTHING: "得分处于这一水平时，该基准无法区分各组的好坏。",
            Reason.UNPROVEN: "基座本应量化，却没有找到任何量化层。",
        }[reason]

    def cause_name(self, cause: OtherCause) -> str:
        if cause.key is None:
            return self.FACTS[cause.fact]
        if "." in cause.key:
            return cause.key
        if cause.fact is Fact.VERSIONS:
            return f"{cause.key} 版本"
        names = {"model": "基座文件", "hardware": "硬件型号", "stand_in": "替身"}
        if cause.key in names:
            return names[cause.key]
        return self.FACTS[cause.fact] if cause.key == cause.fact.value else f"{self.FACTS[cause.fact]} {cause.key}"

    def unpairable(self, why: Unpairable) -> str:
        if why.reason is UnpairableReason.OTHER_QUESTIONS:
            return f"{self.run_name(why.run)}与 {self.run_name(why.other)}的题目不同，两者的回答无法配对"
        state = {UnpairableReason.MISSING: "缺失", UnpairableReason.DAMAGED: "已损坏"}[why.reason]
        return f"{why.path} {state}，其中的回答无法配对"

    def run_name(self, run: Run) -> str:
        return self.RUN.format(label=run.label, seed=run.record.seed)

    def impossible(self, comparison: Comparison) -> Words:
        arm, baseline = comparison.arm, comparison.baseline
        absent = [
            f"{side.label} 没有已完成的运行（{self._outcomes(side)}）" for side in (arm, baseline) if not side.seeds
        ]
        why = "，".join(absent) or "没有双方都完成的种子"
        return [Strong(self.NO_VERDICT), f"：{arm.label} 无法与 {baseline.label} 比较，因为{spaced(why)}。"]

    def _outcomes(self, arm: Arm) -> str:
        counts = Counter(run.record.status for run in arm.runs)
        return "，".join(f"{self.STATUS[status]} {count} 次" for status, count in sorted(counts.items()))

    def alone(self, arm: Arm) -> str:
        return f"只运行了 {arm.label} 一组（{self._outcomes(arm)}），没有可比较的对象。"

    def useless_score(self, score: UselessScore) -> str:
        bound = f"{'不超过' if score.is_upper else '不低于'} {100 * score.bound:.1f}%"
        kind = "难" if score.is_upper else "容易"
        return f"各组的准确率都{bound}：该基准太{kind}，无法区分各组的好坏。"

    def arms_left_out(self, count: int, file: str) -> str:
        return f"其余 {count:,} 组的结论见 {file}。"

    # What would decide the rest.

    def needs(self, paired: PairedDifference, needs: Needs, smallest: float) -> str:
        seeds = f"种子增加到 {_range(needs.seeds_low, needs.seeds_high, MOST_SEEDS, '个')}"
        if paired.questions is None:
            ways = f"需将{seeds}。"
        else:
            questions = (
                f"在现有 {len(paired.seeds):,} 个种子下将题目增加到 "
                f"{_range(needs.questions_low, needs.questions_high, MOST_QUESTIONS, '道')}"
            )
            if needs.seeds_alone_cannot and needs.questions_alone_cannot:
                ways = "单独增加种子或题目都不足以得出结论，同时增加则有可能。"
            elif needs.seeds_alone_cannot:
                ways = f"需{questions}；只增加种子得不出结论。"
            elif needs.questions_alone_cannot:
                ways = f"题目仍为这 {paired.questions:,} 道时，需将{seeds}；只增加题目得不出结论。"
            else:
                ways = f"题目仍为这 {paired.questions:,} 道时，需将{seeds}；或{questions}。"
        return f"{self.metric_of(paired)}：{ways}{self._smallest(paired.metric, smallest)}"

    def _smallest(self, metric: Metric, smallest: float) -> str:
        if metric.is_ratio:
            size = f"{ratios(math.exp(smallest))[0]} 倍（或其倒数）"
        else:
            size = f"{number(100 * smallest, 1)} 个百分点"
        return f"以现有的运行，每重复 100 次约有 80 次能检出的最小差异为 {size}。"

    def repair(self, reason: Reason, metrics: Sequence[str], causes: Sequence[OtherCause] = ()) -> str | None:
        ways = {
            Reason.ONE_SEED: f"需增加种子；达到 {FOR_A_VERDICT} 个时，置信区间才可靠。",
            Reason.FEW_QUESTIONS: f"需增加题目，evaluation.limit 至少设为 {FEWEST_QUESTIONS}，或不设上限。",
            Reason.UNPAIRABLE: "用同样的题目评测各组，并保留它们的回答。",
            Reason.SEPARATED: "换一个名字重新执行这次扫描，各组就会交替运行。",
            Reason.ORDER_UNKNOWN: "用 harness 执行这次扫描，各组就会交替运行。",
            Reason.SHARED: "换一个名字重新执行这次扫描，期间不要让其他程序使用这台机器。",
            Reason.UNFAIR: (
                f"使各组的{spaced(listed(self._names(causes)))}保持一致；若比较的正是它，则在 comparison.axes 中声明。"
                "然后换一个名字重新执行这次扫描。"
            ),
            Reason.TELLS_NOTHING: "换一个基准，或换成有的组答对、有的组答错的题目。",
            Reason.UNPROVEN: "执行 `harness doctor`，查明量化为何没有生效。",
        }
        return f"{listed(metrics)}：{ways[reason]}" if reason in ways else None

    def metric_of(self, paired: PairedDifference) -> str:
        return f"{paired.arm} 的{self._what(paired.metric)}"

    def further_look(self, look: int, alpha: float) -> str:
        return (
            f"增加种子时会沿用已有的运行。下一份报告将是第 {look} 次查看结果，显著性水平不再是 5%，而是 "
            f"{100 * alpha:.2g}%；查看次数可用 comparison.looks 事先声明。"
        )

    # What spoils the comparison.

    CPU_ONLY = "在 CPU 上测得：这里是进程占用的主机内存，不能说明加速卡上的情况。"
    OTHER_MARGINS = "各次运行使用了不同的 comparison 配置，以最新一次运行的为准。"
    STAND_IN = "没有使用真实的 NPU，而是由替身代替：{}。训练在 CPU 上进行，文中芯片的显存、功率和利用率都出自替身。"

    def few_seeds(self, seeds: int) -> str:
        if seeds == 1:
            return f"每组只有 1 个种子：比较的仅是两个适配器。要对方法下结论，需要 {FOR_A_VERDICT} 个种子。"
        return (
            f"每组只有 {seeds:,} 个种子，属于预实验：置信区间较宽，还需多少数据也只能粗略估计。要下结论需要 "
            f"{FOR_A_VERDICT} 个种子。"
        )

    def unproven(self, found: UnprovenQuantization) -> str:
        return (
            f"{found.arm} 要求使用 {found.bits} 比特权重，但加载后的模型中没有找到任何量化层"
            f"（{seed_list(found.seeds)}）：它的数值并非来自量化基座。"
        )

    def diverged_run(self, run: Run) -> str:
        kept = "它的有限值仍计入该组均值" if run.completed else "它不计入任何均值"
        divergence = run.record.divergence
        if divergence is None:
            why = f"原因{self.NOT_RECORDED}"
        elif divergence.kind is DivergenceKind.NOT_FINITE:
            why = f"损失在第 {divergence.step} 步不再是有限值"
        else:
            why = (
                f"训练结束时的损失不低于开始时（开始时 {divergence.first_loss:.4f} nat/token，第 {divergence.step} 步时"
                f" {divergence.last_loss:.4f}）"
            )
        return f"{self.run_name(run)}发散：{why}。{kept}。"

    def not_finite(self, arm: Arm, metric: Metric) -> str:
        seeds, n = arm.not_finite(metric), len(arm.values(metric))
        mean = f"均值只取 {n + len(seeds)} 次运行中的 {n} 次" if n else "因此没有均值"
        return f"{arm.label} 的{self.METRICS[metric.key]}在{spaced(seed_list(seeds))}下不是有限值，{mean}。"

    def seeds_missing(self, missing: SeedsMissing) -> str:
        lost = [f"种子 {run.record.seed}（{self.STATUS[run.record.status]}）" for run in missing.uncompleted]
        lost += [f"种子 {seed}（未运行）" for seed in missing.not_run]
        kept = seed_list(sorted(missing.arm.seeds))
        return (
            f"{missing.arm.label} 缺少{listed(lost)}：它的均值只取{kept}，差异只取两组都完成的种子。运行失败并非偶然，"
            "缺失可能使结果产生偏差。"
        )

    def confounded(self, comparison: Comparison) -> str:
        causes = [f"{self.cause_name(cause)}（影响{self.touches(cause)}）" for cause in comparison.fairness.confounding]
        return f"{comparison.arm.label} 与 {comparison.baseline.label} 的差别不止于方法和量化，还有：{listed(causes)}。"

    def separated(self, comparison: Comparison) -> str:
        return (
            f"{comparison.arm.label} 与 {comparison.baseline.label} 中，一组的运行全部先于另一组：其间机器状态的变化会"
            "混入耗时、能耗和温度。"
        )

    def touches(self, cause: OtherCause) -> str:
        named = "、".join(self.TOUCHES[aspect] for aspect in Aspect if aspect in cause.aspects) or self.TOUCHES_NOTHING
        if cause.declared:
            return self.DECLARED.format(touches=named)
        return self.ONE_SIDED.format(touches=named) if cause.one_sided else named

    def shared(self, runs: Sequence[Run]) -> str:
        named = listed(map(self.run_name, runs), between="；")
        return f"以下运行期间有其他程序在使用这台机器，耗时和能耗不能全部算在该组头上：{named}。"

    def lacking(self, comparison: Comparison, metrics: Sequence[Metric], arm: Arm) -> str:
        names = listed(map(self._in_a_sentence, metrics))
        other = comparison.baseline if arm is comparison.arm else comparison.arm
        return f"以下指标在 {other.label} 中有测量，在 {arm.label} 中没有，因此未作比较：{names}。"

    def cut_off(self, arm: Arm, cut_off: int, answers: int) -> str:
        return (
            f"{arm.label}：{answers:,} 个回答中有 {cut_off:,} 个在达到 evaluation.max_new_tokens 时被截断，按截断后的"
            "内容评分。"
        )

    def marked_otherwise(self, found: MarkedOtherwise) -> str:
        return (
            f"{found.arm.label}：{found.answers:,} 个回答中有 {found.otherwise:,} 个与 evalscope 自带的提取判分不同。"
            f"evalscope 判对 {found.evalscope_correct:,} 个；本报告按回答给出的数字判分，判对 {found.correct:,} 个。"
        )

    def looked_before(self, comparison: Comparison, look: int, announced: int, alpha: float) -> str:
        said = f"事先声明 {announced} 次" if look <= announced else f"超出事先声明的 {announced} 次"
        return (
            f"这是第 {look} 次查看 {comparison.arm.label} 对比 {comparison.baseline.label} 的结果（{said}）：显著性水平"
            f"不再是 5%，而是 {100 * alpha:.2g}%。"
        )

    def adopted(self, runs: Sequence[Run]) -> str:
        told = [run.record.adopted for run in runs if run.record.adopted is not None]
        unknown = dict.fromkeys(what for adopted in told for what in adopted.unknown)
        what = f"从这些文件中无法得知：{'、'.join(self.UNKNOWN[each] for each in unknown)}。" if unknown else ""
        names = listed(map(self.run_name, runs), between="；")
        return f"以下运行由 LLaMA-Factory 的输出目录导入，不是由 harness 测量的：{names}。{what}"

    def baseline_absent(self, wanted: Sequence[str], instead: str) -> str:
        return f"运行中没有扫描指定的基线 {'、'.join(wanted)}，各组改与第一组 {instead} 比较。"

    def further(self, count: int) -> str:
        return f"同类问题另有 {count:,} 项（runs.csv 列有全部运行）。"

    MEASURE_ADOPTED = "导入的运行没有经过测量。以下命令可重做并测量："
