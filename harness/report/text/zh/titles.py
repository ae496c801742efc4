"""What a report and its verdict say, in Chinese: fixed texts, and texts with holes that `str.format` fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.comparison.decision import Purpose
from harness.comparison.judging import Word
from harness.comparison.metrics import Aspect
from harness.comparison.order import Order
from harness.report.text.en import titles as english
from harness.report.text.zh.change import ChangeTexts
from harness.report.text.zh.figures import FigureTexts
from harness.report.text.zh.names import Names
from harness.report.text.zh.page import PageTexts
from harness.runs.record import Outcome


class Titles(FigureTexts, ChangeTexts, PageTexts, Names, english.Titles):
    """Headings, headers, words of tables and lists."""

    HEADINGS: Mapping[str, str] = {
        "summary": "概要",
        "decision": "按用途选哪一组",
        "verdict": "结论",
        "needs": "如何得出其余结论",
        "spoils": "影响可比性的问题",
        "figures": "图表",
        "accuracy": "准确率",
        "flips": "逐种子的答题异同",
        "merging": "合并适配器的代价",
        "prompts": "自定义提示词",
        "examples": "题目示例",
        "memory": "显存与内存",
        "memory_phases": "各阶段的峰值",
        "memory_parts": "峰值的构成",
        "forecast": "预测与实测",
        "sensors": "测量方式",
        "time": "耗时",
        "time_parts": "一次运行的时间构成",
        "energy": "能耗",
        "evidence": "量化生效的证据",
        "fairness": "比对了哪些条件，有何不同",
        "arms": "各组在每个种子下的数值",
        "runs": "运行记录（按先后顺序）",
        "left_out": "未纳入的运行",
        "method": "统计方法",
        "environment": "硬件与版本",
        "limits": "适用范围",
    }
    EXPLANATIONS: Mapping[str, str] = {
        "accuracy": (
            "“数值”一列按种子顺序列出。差异等于该组减去基线，只计双方都已完成的种子；准确率之差以百分点计，损失之差以 "
            "nat/token 计。只有准确率给出结论，其余指标仅作描述：每二十个这样的区间，大约有一个会因偶然而落空。"
        ),
        "flips": (
            "每个种子下，两组都答对、仅一组答对、都答错的题数。p 为 McNemar 精确检验的 p 值；它只说明这两个适配器在"
            "这类题目上的差异，不能推广为两种方法的优劣。"
        ),
        "merging": (
            "按断点保存的样子把每个适配器合并进基座，用同样的题目评分，再减去适配器挂在训练时所用基座上的得分；"
            "QLoRA 训练时所用的是量化基座。这里只作描述，不给结论。"
        ),
        "prompts": "使用训练时的对话模板，以贪心解码逐条作答。回答中包含期望文字即为通过。",
        "examples": "先从各种子中轮流选取两组对错不同的题目，两种情形交替列出；再列对错一致的题目。题号小的优先。",
        "memory": (
            "训练进程的峰值，不含评测阶段。各组按几何均值之比来比较。只有首要的显存（或内存）指标给出结论，其余指标"
            "仅作描述：每二十个这样的区间，大约有一个会因偶然而落空。"
        ),
        "memory_phases": "每个阶段取该组所有已完成运行中的最高值。",
        "memory_parts": (
            "训练阶段的峰值及其构成，取该组已完成运行的均值，单位 MiB。已测得但无法归入任何部分的，列为“未能归因”；"
            "各部分不在同一时刻达到峰值时，该值可为负。"
        ),
        "forecast": (
            "训练阶段峰值在开始前的预测与实测，取该组已完成运行的均值，单位 MiB；误差为负，说明预测偏低。"
            "在 CPU 上，两者都不含加载之前进程已占用的内存，且不预测 C 库与 oneDNN 自行保留的部分。"
        ),
        "time": (
            "单步耗时取优化器各步耗时的中位数，不计最初用于预热的几步。旁边列出训练和整次运行的实际耗时，其中包含预热。"
            "各组按比值比较。只有单步耗时给出结论，其余指标仅作描述：每二十个这样的区间，大约有一个会因偶然而落空。"
        ),
        "time_parts": "单位为 s，取该组已完成运行的均值。",
        "energy": "涵盖整次运行，包括加载和评测；“空闲功耗以上”指扣除芯片空闲时本就消耗的部分。仅作描述，不给结论。",
        "evidence": "取自加载后的模型和第一个优化器步的实际统计，而非配置文件。同组各次运行取值不同时，以斜线分隔。",
        "rows": (
            "样本的去向：文件中的样本，减去留作验证的、未抽取的（只要求了较少的样本）和 LLaMA-Factory 未读取的"
            "（max_samples；负数表示混合时有样本被多次抽取），即为用于训练的样本。若有样本被遗漏，该次运行即失败。"
        ),
        "trained": (
            "训练器实际收到的数据。哈希按训练顺序涵盖每一条样本，每个种子一个。适配器校验比较同一批数据上的损失："
            "一个来自训练结束时的模型，一个来自为评测而重新加载的适配器。"
        ),
        "fairness": (
            "逐个种子比对两组的运行，检查会影响答案、显存/内存或耗时的每一项条件。凡有差异，受影响的指标不给结论，"
            "除非该差异已在 comparison.axes 中声明。"
        ),
        "arms": "种子不超过十个时，按种子顺序列出每个数值；超过十个时，只列最低值和最高值。",
        "runs": "按开始时间排列。“次序”是该运行在扫描执行顺序中的位置。",
        "tests": (
            "仅限主要指标。p 值已按检验个数校正（Holm 1979），对应的零假设依次为：两组无差异；差异超出界值（不论方"
            "向）；该组比基线差，且差距达到界值。"
        ),
    }

    # Headers of tables.
    CHOICE_HEADERS: Sequence[str] = ("用途", "选择", "依据")
    VALUES_HEADERS: Sequence[str] = ("指标", "组", "种子", "数值", "均值")
    DIFFERENCE_HEADERS: Sequence[str] = (
        *("指标", "组", "基线", "该组均值", "基线均值", "差异", "95% 置信区间", "种子", "结论"),
    )
    RATIO_HEADERS: Sequence[str] = (
        *("指标", "组", "基线", "该组均值", "基线均值", "比值", "95% 置信区间", "种子", "结论"),
    )
    CORRELATION = "跨种子相关系数"
    FLIP_HEADERS: Sequence[str] = ("组", "基线", "种子", "都答对", "仅该组答对", "仅基线答对", "都答错", "p")
    MERGING_HEADERS: Sequence[str] = (
        *("组", "挂载适配器（%）", "合并后（%）", "差异（百分点）", "95% 置信区间", "题数", "种子"),
    )
    PHASE_HEADERS: Sequence[str] = ("组", "指标（MiB）", "传感器")
    PARTS_HEADERS: Sequence[str] = ("组", "峰值所指", "峰值")
    FORECAST_HEADERS: Sequence[str] = ("组", "", "峰值")
    TIME_PARTS_HEADERS: Sequence[str] = ("组", "整次运行")
    ENERGY_HEADERS: Sequence[str] = ("组", "平均功率（W）", "空闲功率（W）", "最高温度（°C）", "覆盖时长（s）")
    EVIDENCE_HEADERS: Sequence[str] = (
        *("组", "已量化的线性层", "基座权重", "计算类型", "注意力", "归一化层类型", "适配器类型", "优化器状态类型"),
        *("梯度检查点设置", "实际重计算", "可训练参数"),
    )
    ROWS_HEADERS: Sequence[str] = (
        *("组", "文件中", "留作验证", "未抽取", "未读取", "用于训练", "打包为", "被截断", "遍数", "用于验证"),
    )
    TRAINED_HEADERS: Sequence[str] = (
        *("组", "步数", "token 数", "填充占比", "样本顺序哈希", "适配器校验", "每题生成 token"),
        *("被截断的回答", "发散"),
    )
    CAUSE_HEADERS: Sequence[str] = ("组", "基线", "不同之处", "该组", "基线的值", "影响", "种子")
    VARIATION_HEADERS: Sequence[str] = ("组", "各种子之间的变化", "取值")
    RUNS_HEADERS: Sequence[str] = (
        *("次序", "开始时间（UTC）", "组", "种子", "状态", "整次运行（s）", "单步（s）", "准确率（%）"),
        *("运行前温度（°C）", "运行前 CPU 占用（%）", "其他进程 CPU 占用（%）", "文件夹"),
    )
    SENSOR_HEADERS: Sequence[str] = ("指标", "含义", "传感器", "方式")
    TEST_HEADERS: Sequence[str] = (
        *(
            "组",
            "基线",
            "指标",
            "结论",
            "p（无差异）",
            "p（超出界值）",
            "p（劣于界值）",
            "显著性水平",
            "不差于基线的概率",
        ),
    )
    MARGIN_HEADERS: Sequence[str] = ("指标", "界值", "配置键")
    ENVIRONMENT_HEADERS: Sequence[str] = ("", "")
    EXAMPLE_HEADERS: Sequence[str] = ("组", "生成内容", "提取的答案")
    PROMPT_HEADERS: Sequence[str] = ("提示词", "期望")
    BOUNDS: tuple[str, str] = ("下限", "上限")

    # Rows of tables that no metric names.
    COMPLETED_RUNS = "已完成的运行"
    BASE_ACCURACY = "训练前的基座准确率（%）"
    WALL_SECONDS = "整次运行实际耗时（s）"
    EVALUATION_SECONDS = "生成并评分耗时（s）"
    ALL_SEEDS = "合计"
    DEVICE = "设备"
    PLATFORM = "操作系统平台"
    CPUS = "CPU 核数"
    HOST_MEMORY = "主机内存（MiB）"
    HOST = "主机（主机名哈希）"
    DRIVER = "驱动"
    CGROUP_CPUS = "cgroup 分配的 CPU 核数"
    CGROUP_MEMORY = "cgroup 分配的内存（MiB）"
    COMMIT = "harness 的提交"
    PASSED_PROMPTS = "通过数（所有种子合计）"
    MARGIN_METRICS: Mapping[str, str] = {
        "margin_points": "准确率",
        "margin_memory_ratios": "显存、内存",
        "margin_time_ratios": "耗时、吞吐、能耗",
        "margin_nats": "损失",
    }

    # Words in tables and lists.
    WORDS: Mapping[Word, str] = {
        Word.BETTER: "更优",
        Word.WORSE: "更差",
        Word.EQUIVALENT: "等效",
        Word.NOT_WORSE: "不劣于基线",
        Word.UNDECIDED: "无法判定",
    }
    NO_VERDICT = "不作结论"
    NOT_MEASURED = "未测量"
    PRIMARY: Mapping[Aspect, str] = {Aspect.ANSWERS: "准确率", Aspect.MEMORY: "显存/内存", Aspect.TIME: "耗时"}
    PURPOSES: Mapping[Purpose, str] = {
        Purpose.FITS: "不超过 {limit} MiB",
        Purpose.LEAST_MEMORY: "占用最低",
        Purpose.FASTEST: "速度最快",
        Purpose.MOST_ACCURATE: "准确率最高",
    }
    ON_OFF: Mapping[bool, str] = {True: "开", False: "关"}
    YES_NO: Mapping[bool, str] = {True: "是", False: "否"}
    PASSED: Mapping[bool, str] = {True: "通过", False: "未通过"}
    STATUS: Mapping[Outcome, str] = {
        Outcome.COMPLETED: "完成",
        Outcome.OUT_OF_MEMORY: "显存/内存不足",
        Outcome.FAILED: "失败",
        Outcome.INTERRUPTED: "中断",
        Outcome.UNSUPPORTED: "不支持",
    }
    DIVERGED = "{status}，发散"
    ADOPTED = "{status}，导入"
    ORDERS: Mapping[Order, str] = {
        Order.SEPARATED: "{arm} 与 {baseline}：一组的运行全部先于另一组。",
        Order.INTERLEAVED: "{arm} 与 {baseline}：两组的运行交替进行，但没有逐个种子成对。",
        Order.BLOCKS: "{arm} 与 {baseline}：两组的运行逐个种子交替进行。",
        Order.UNKNOWN: "{arm} 与 {baseline}：两组运行的先后顺序不明。",
    }
    EXACT = "精确值"
    NO_DIFFERENCE = "无（低于传感器的分辨力）"
    THE_SAME = "无"
    NOT_RECORDED = "未记录"
    NOT_SET = "未设置或未记录"
    DECLARED = "{touches}（已声明）"
    ONE_SIDED = "{touches}（仅一方有记录）"
    TOUCHES_NOTHING = "无影响"
    TOUCHES: Mapping[Aspect, str] = {Aspect.ANSWERS: "答案", Aspect.MEMORY: "显存/内存", Aspect.TIME: "耗时"}
    NO_TEXT = "（无内容）"
    NO_RECORD = "没有任何运行留下记录，无从比较。"
    HIGH_WATER_MARK = "最高水位，精确值"
    SAMPLED = "采样，每个阶段 {fewest} 至 {most} 次读数"
    SHARE = "{:,}/{:,}"
    RUN = "{label}（种子 {seed}）"
    MERGED_RUN = "{label} 合并后（种子 {seed}）"
    KEPT_STEP = "{steps:,}，保留第 {kept:,} 步"
    NOT_PACKED = "未打包"
    CUT_OFF = "{rows:,} 条，上限 {cutoff_tokens:,} token"
    LOSSES = "训练结束时 {trained:.4f}，重新加载后 {loaded:.4f}"
    SPAN = "{lowest} 至 {highest}"
    COUNTED_SEEDS = "{count:,} 个种子"
    AGAINST = "{arm} 对比 {baseline}"
    FORECAST = "预测"
    FORECAST_ERROR = "误差"
    NEEDED = "{arm} 内存不足；按预测，{rows} 条、每条 {tokens:,} 个 token 的一批需要 {mib} MiB。"
    FITTING = "按预测，批大小 {rows} 可以容纳。"
    UNSCORED = "{run}：{target} 无法评分：{why}"
    SAMPLING = "共 {readings:,} 次读数，间隔 {intervals}；其中 {gaps:,} 次失败或延迟。"
    UNREAD = "{folder}：事件和读数中有 {lines:,} 行已损坏，未计入任何数值。"
    ENERGY_COVERED = "{folder}：能耗只覆盖 {whole:,.0f} s 中的 {covered:,.0f} s，其余时间没有读到功率。"
    WARM_UP = "单步耗时不计每次运行最初的 {steps} 个预热步，它们历时 {seconds} s。"
    REASON = "运行记录原文：{why}"
    NO_REASON = "没有记录原因。"
    REACHED = "{why}（此前占用已达 {mib:,.0f} MiB：{quantity}，{sensor}；{phase}阶段）"
    FAILED_RUN = "{status}：{run}"
    DAMAGED = "记录已损坏：{}"
    UNFINISHED = "没有记录，可能仍在运行，或已随父进程中止：{}"
    PLANNED = "仅由 dry_run 规划，从未启动：{}"
    COMMANDS = "以下命令可重复这些运行："
    FURTHER = "另有 {count:,} 项"
    ROWS_LEFT_OUT = "这里省略了 {count:,} 行，完整内容见 {file}。"
    LINES_LEFT_OUT = "这里省略了 {count:,} 项；runs.csv 列有全部运行。"
    EXPECTED = "参考答案：{}"
    MORE_CHARACTERS = "[……还有 {:,} 个字符]"
    STOPPED = "[生成 {} 个 token 后被截断]"
    CHOICE = "{purpose}：{arm}。{rule}"
