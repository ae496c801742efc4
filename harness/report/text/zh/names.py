"""What things are called, in Chinese: metrics, units, facts, parts, limits."""

from __future__ import annotations

from collections.abc import Mapping

from harness.comparison.facts import Fact
from harness.comparison.metrics import Unit
from harness.comparison.parts import MeasuredPart, TimePart
from harness.devices.reading import Quantity
from harness.report.text.en import names as english
from harness.runs.record import Unknown


def spaced(text: str) -> str:
    """Put a blank where Chinese would meet the Latin letters or digits at the ends of `text`."""
    return f"{' ' if text[:1].isascii() else ''}{text}{' ' if text[-1:].isascii() else ''}"


def bracketed(name: str, *details: str) -> str:
    """`显存峰值（nvml，MiB）`, `单步耗时（不含预热；s）`"""
    if not details:
        return name
    inside = "，".join(details)
    return f"{name[:-1]}；{inside}）" if name.endswith("）") else f"{name}（{inside}）"


class Names(english.Names):
    """Names and what they mean. Memory of a chip is 显存, that of the host 内存."""

    METRICS: Mapping[str, str] = {
        "accuracy": "准确率",
        "merged_accuracy": "合并到未量化基座后的准确率",
        "peak_device_above_baseline_mib": "显存峰值（扣除运行前占用）",
        "peak_device_mib": "显存峰值",
        "peak_process_mib": "运行进程的显存峰值",
        "peak_allocator_reserved_mib": "分配器预留显存的峰值",
        "peak_allocator_allocated_mib": "张量占用显存的峰值",
        "peak_host_mib": "主机私有内存峰值",
        "peak_resident_mib": "主机常驻内存峰值",
        "weights_mib": "基座权重的占用",
        "step_seconds": "单步耗时（不含预热）",
        "train_seconds": "训练实际耗时",
        "tokens_per_second": "训练实际吞吐",
        "train_loss": "最终训练损失",
        "validation_loss": "最终验证损失",
        "above_idle_watt_hours": "空闲功耗以上的能耗",
        "watt_hours": "整次运行的能耗",
        "trainable_parameters": "可训练参数量",
        "adapter_mib": "适配器文件大小",
    }
    UNITS: Mapping[Unit, str] = {
        Unit.SHARE: "%",
        Unit.MIB: "MiB",
        Unit.SECONDS: "s",
        Unit.TOKENS_PER_SECOND: "token/s",
        Unit.NATS_PER_TOKEN: "nat/token",
        Unit.WATT_HOURS: "Wh",
        Unit.COUNT: "",
    }
    QUANTITIES: Mapping[Quantity, str] = {
        Quantity.DEVICE: "芯片显存",
        Quantity.PROCESS: "运行进程的显存",
        Quantity.ALLOCATOR_RESERVED: "分配器预留的显存",
        Quantity.ALLOCATOR_ALLOCATED: "张量占用的显存",
        Quantity.HOST: "主机私有内存",
        Quantity.RESIDENT: "主机常驻内存",
    }
    MEMORY_MEANS: Mapping[Quantity, str] = {
        Quantity.DEVICE: "驱动统计的芯片显存总占用，包括其他使用者",
        Quantity.PROCESS: "驱动记在本次运行各进程名下的显存",
        Quantity.ALLOCATOR_RESERVED: "torch 缓存分配器向芯片申请的显存，不论是否在用",
        Quantity.ALLOCATOR_ALLOCATED: "其中由张量实际占用的部分",
        Quantity.HOST: "本次运行各进程在主机上的私有内存",
        Quantity.RESIDENT: "内核记录的训练进程最高水位，包括共享页",
    }
    MEMORY_PARTS: Mapping[MeasuredPart, str] = {
        MeasuredPart.WEIGHTS: "权重",
        MeasuredPart.ADAPTER: "适配器",
        MeasuredPart.GRADIENTS: "梯度",
        MeasuredPart.OPTIMIZER: "优化器状态",
        MeasuredPart.ACTIVATIONS: "激活值与 logits",
        MeasuredPart.SLACK: "分配器余量",
        MeasuredPart.CONTEXT: "驱动与库",
        MeasuredPart.UNEXPLAINED: "未能归因",
    }
    TIME_PARTS: Mapping[TimePart, str] = {
        TimePart.LOAD: "加载",
        TimePart.WARMUP: "预热步",
        TimePart.STEPS: "其余训练步",
        TimePart.VALIDATE: "验证",
        TimePart.SAVE: "保存",
        TimePart.EVALUATE: "评测",
        TimePart.REST: "启动、收尾及未上报",
    }
    FACTS: Mapping[Fact, str] = {
        Fact.WEIGHTS: "基座权重",
        Fact.ROWS: "样本",
        Fact.QUESTIONS: "评测题目",
        Fact.EVALUATION: "评测设置",
        Fact.TEMPLATE: "对话模板",
        Fact.METHOD: "方法设置",
        Fact.TRAINING: "训练设置",
        Fact.ARGUMENTS: "其他 LLaMA-Factory 参数",
        Fact.PRECISION: "训练精度",
        Fact.COMPUTE_DTYPE: "计算数据类型（实测）",
        Fact.ATTENTION: "注意力算子",
        Fact.NORM_DTYPE: "归一化层的数据类型",
        Fact.UNQUANTIZED_WEIGHTS: "未量化的权重",
        Fact.ADAPTER_DTYPE: "适配器的数据类型",
        Fact.OPTIMIZER_DTYPE: "优化器状态的数据类型",
        Fact.GRADIENT_CHECKPOINTING: "梯度检查点（模型中的设置）",
        Fact.RECOMPUTED: "梯度检查点（实际是否重计算）",
        Fact.LINEAR_MODULES: "线性层数（实测）",
        Fact.QUANTIZED_MODULES: "量化层数（实测）",
        Fact.TRAINABLE_PARAMETERS: "可训练参数量（实测）",
        Fact.TRAINING_ROWS: "训练样本数（实测）",
        Fact.ROWS_CUT_OFF: "被截断的样本",
        Fact.ROW_ORDER: "样本的训练顺序（哈希）",
        Fact.PADDING: "填充 token 数",
        Fact.STEPS: "优化器更新步数（实测）",
        Fact.TOKENS: "训练 token 数（实测）",
        Fact.BENCHMARK: "评测基准",
        Fact.QUESTIONS_SCORED: "评分题数",
        Fact.ADAPTER_CHECK: "适配器加载校验",
        Fact.CUT_OFF_ANSWERS: "被截断回答的占比",
        Fact.DEVICE: "设备",
        Fact.CHIP_IDS: "芯片编号",
        Fact.PROCESSES: "进程数",
        Fact.HOST: "主机",
        Fact.PLATFORM: "操作系统平台",
        Fact.CPUS: "CPU 核数",
        Fact.HOST_MEMORY: "主机内存",
        Fact.CGROUP: "cgroup 限制",
        Fact.VARIABLES: "环境变量",
        Fact.DRIVER: "驱动",
        Fact.RUNTIMES: "CUDA 或 CANN 及固件",
        Fact.VERSIONS: "依赖库版本",
        Fact.COMMIT: "harness 的提交",
        Fact.POWER_LIMIT: "功率上限",
        Fact.MAX_CLOCK: "最高频率",
        Fact.CLOCK: "运行前的频率",
        Fact.ECC: "ECC",
        Fact.STARTED: "运行日期",
        Fact.TEMPERATURE_BEFORE: "运行前的温度",
        Fact.HEAT: "运行中的温度",
        Fact.CHIP_MEMORY_BEFORE: "运行前芯片的显存占用",
        Fact.CHIP_LOAD_BEFORE: "运行前芯片的利用率",
        Fact.CHIP_PROCESSES_BEFORE: "运行前芯片上的其他进程",
        Fact.CPU_BUSY_BEFORE: "运行前的 CPU 利用率",
        Fact.BUSY_PROCESSES_BEFORE: "运行前其他繁忙的进程",
        Fact.LOAD_AVERAGE_BEFORE: "运行前的平均负载",
        Fact.AVAILABLE_MEMORY: "运行前可用的主机内存",
        Fact.OTHERS_CPU: "训练期间其他进程占用的 CPU 时间",
        Fact.OTHERS_ON_CHIPS: "训练期间芯片上的其他进程",
        Fact.SENSORS: "传感器",
        Fact.SAMPLING_INTERVAL: "采样间隔",
        Fact.READINGS: "每分钟读数",
        Fact.ENERGY: "是否读取能耗",
        Fact.TRACKING: "实验跟踪",
        Fact.LOGGING: "日志与断点",
        Fact.SEEDS: "已完成的种子",
    }
    LIMITS: Mapping[str, str] = {
        "no_result": "没有一次运行完成，本报告不含任何结果。",
        "no_accelerator": "没有使用加速卡，因此本报告不能说明 GPU 或 NPU 上需要多少显存、速度如何。",
        "npu_untried": (
            "读取 NPU 的方式依据厂商文档和已录下的输出写成，本版本发布时尚未在真实 NPU 上运行过。请用 `npu-smi info` "
            "核对这里的数值（docs/ascend.zh.md）。"
        ),
        "card_power": "一卡双芯（A3）的功率是整张卡的功率，不论另一颗芯片由谁使用。",
        "sampled": "采样得到的峰值可能漏掉持续时间短于采样间隔的峰；读数越多，最大值也越大。最高水位则是精确值。",
        "other_users": "芯片显存也包括其他使用者的占用；凡注明之处，已扣除运行前的占用。",
        "no_memory": "没有测量显存和内存。",
        "no_accuracy": "没有测量准确率，因此本报告不能说明哪一组答得更好。",
        "no_validation_loss": "没有测量验证损失。",
        "no_energy": "没有测量能耗。",
        "one_setting": "结论只针对文中的一个模型、一份数据和一台机器；换一套设置，差异的方向可能反转。",
    }
    UNKNOWN: Mapping[Unknown, str] = {
        Unknown.MEMORY: "显存与内存",
        Unknown.ACCURACY: "准确率",
        Unknown.QUANTIZATION: "各层是否被量化",
        Unknown.SEED: "随机种子（按 LLaMA-Factory 的默认值处理）",
        Unknown.TRAIN_SECONDS: "训练耗时",
        Unknown.TOKENS: "训练 token 数",
        Unknown.DEVICE: "设备类型",
        Unknown.HARDWARE: "机器",
        Unknown.ROWS: "样本内容",
        Unknown.VERSIONS: "依赖库版本",
        Unknown.STARTED_AT: "开始时间（由最后一个文件的时间推算）",
    }
