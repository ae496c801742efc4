"""The schema of conf/: what a run can be told, typed. Units stand in the names.

Hydra merges the YAML files of conf/ into these dataclasses, so a misspelt key or a value of the wrong type is
refused while composing. Which values are right, and which go together, is checked in harness/compose/checks.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class Shape:
    """The sizes of a decoder-only transformer, from its published config.json (source beside each in conf/)."""

    model_type: str = MISSING
    hidden_size: int = MISSING
    intermediate_size: int = MISSING
    num_hidden_layers: int = MISSING
    num_attention_heads: int = MISSING
    num_key_value_heads: int = MISSING
    vocab_size: int = MISSING
    tie_word_embeddings: bool = MISSING
    head_dim: int | None = None
    """None: hidden_size / num_attention_heads."""


@dataclass
class ModelConfig:
    """The base: which weights, in which prompt format."""

    path: str | None = MISSING
    """A folder with config.json and weights, or an id on `hub`. None: random weights of `shape`."""
    hub: str = "huggingface"
    """Where a model or a dataset that is not here is fetched from: huggingface or modelscope; local: nowhere."""
    template: str = MISSING
    """LLaMA-Factory's name for the prompt format."""
    trust_remote_code: bool = False
    shape: str | None = None
    shapes: dict[str, Shape] = field(default_factory=dict)


@dataclass
class MethodConfig:
    """How the base is fine-tuned."""

    name: str = MISSING
    finetuning_type: str = MISSING
    """lora or full."""
    rank: int = 8
    alpha: int | None = None
    """None: twice the rank, as LLaMA-Factory does."""
    dropout: float = 0.0
    target: str = "all"
    """Comma-separated module names, or `all` linear layers."""
    quantization: str = "none"
    """The quantization that the method brings along; any other in its place shows in the arm's name."""


@dataclass
class QuantizationConfig:
    """How the base's weights are held while it is trained."""

    name: str = MISSING
    bits: int | None = None
    """4 or 8; None: not quantized."""
    type: str = "nf4"
    """Data type of 4-bit weights: nf4 or fp4."""
    double: bool = False
    """Quantize the quantization constants too (0.373 bits a parameter, arXiv 2305.14314)."""


@dataclass
class SourceConfig:
    """A file of rows, and how LLaMA-Factory is to read it (data/README.md there)."""

    path: str | None = None
    """JSON, JSONL, CSV, parquet or arrow."""
    repository: str | None = None
    """Where `path` is not given: owner/name of a dataset on model.hub, whose `file` is fetched once."""
    file: str | None = None
    """A path inside of `repository`."""
    formatting: str = "alpaca"
    """alpaca or sharegpt."""
    columns: dict[str, str] = field(default_factory=dict)
    """LLaMA-Factory's name of a column: the file's, as in {messages: conversations, tools: tools}. Where any is named,
    no other is read; none: instruction, input and output, or conversations."""
    tags: dict[str, str] = field(default_factory=dict)
    """Of sharegpt's turns, as in {role_tag: role, content_tag: content, user_tag: user}."""


@dataclass
class DatasetConfig(SourceConfig):
    """What is trained and validated on."""

    name: str = MISSING
    also: list[SourceConfig] = field(default_factory=list)
    """Further files, trained on together with the first."""
    validation: list[SourceConfig] = field(default_factory=list)
    """Files of rows to validate on, in place of validation_samples."""
    train_samples: int | None = None
    """Of each file; None: every row that is not held out."""
    validation_samples: int = 0
    validation_fraction: float = 0.1
    """The last part of the file, from which validation rows are drawn."""
    append_answer: bool = False
    """Append `#### answer` from the column `answer` to each output."""
    seed: int = 42
    """Draws the rows; the same for every run, so that all arms and seeds see the same rows."""
    max_samples: int | None = None
    """LLaMA-Factory's own cut: the first rows of each file."""
    val_size: float | None = None
    """LLaMA-Factory's own split, drawn by the run's seed, in place of validation_samples: a share, or a count."""
    train_name: str = "train"
    validation_name: str = "validation"
    """What the rows are registered as in dataset_info.json; a further file has its number behind the name."""


@dataclass
class TrainingConfig:
    """The optimizer's settings, and what is reported and kept of the training."""

    learning_rate: float = MISSING
    epochs: float = MISSING
    max_steps: int | None = None
    """Optimizer steps; None: as many as `epochs` takes."""
    batch_size: int = MISSING
    """Rows a device takes at once."""
    gradient_accumulation: int = 1
    scheduler: str = "cosine"
    warmup_ratio: float = 0.1
    warmup_steps: int | None = None
    """In place of warmup_ratio."""
    precision: str = "auto"
    """fp16 or bf16: mixed precision. fp32: none; the base keeps the dtype of its checkpoint, as LLaMA-Factory loads it.
    auto: bf16 where the device has it, else fp16; fp32 on a CPU."""
    cutoff_length: int = MISSING
    """Tokens; longer rows are cut."""
    packing: bool = False
    """Fill every sequence up to cutoff_length with several rows."""
    gradient_checkpointing: bool = True
    logging_steps: int = 5
    validation_steps: int | None = None
    """Optimizer steps between two evaluations of the validation loss; None: never."""
    save_steps: int | None = None
    """Optimizer steps between two checkpoints; None: only the final adapter is saved."""


@dataclass
class PromptConfig:
    """Put to the base and to what was trained from it; the report shows the answers side by side."""

    prompt: str = MISSING
    expected: str | None = None
    """Text that the answer must contain to pass; None: nothing is expected."""


BASE, ADAPTER, MERGED = TARGETS = ("base", "adapter", "merged")


@dataclass
class EvaluationConfig:
    """What is asked of whom after the training."""

    name: str = MISSING
    benchmark: str | None = None
    """None: no evaluation; `arithmetic`: the project's own held-out questions; else a benchmark of evalscope."""
    path: str | None = None
    limit: int | None = None
    """Questions; None: all."""
    few_shot: int = 0
    batch_size: int = 32
    max_new_tokens: int = 512
    targets: list[str] = field(default_factory=lambda: ["base", "adapter"])
    """What is scored and prompted: base, once for a sweep; adapter, on the base that it was trained on; merged, the
    adapter merged into the unquantized base, which for QLoRA is another one."""
    prompts: list[PromptConfig] = field(default_factory=list)
    """Each is answered greedily, by itself, within max_new_tokens; also where benchmark is null."""


FREE = "free"


@dataclass
class DeviceConfig:
    """Where a run trains, and how that is measured."""

    name: str = MISSING
    """auto, cpu, cuda or ascend."""
    chips: Any = None
    """Logic ids of the accelerators a run uses, as a list; None: the first; `free`: any that no other run has leased
    and no other process computes on, which is waited for. On a CPU a free share of its cores, device.threads each."""
    count: int = 1
    """How many chips a run takes, with chips=free."""
    interval_seconds: float = 1.0
    """Between two readings of the sampler."""
    sensor: str = "auto"
    """How NPUs are read: npu-smi, or dcmi (the driver's library: faster, needs root or the driver's group).
    auto: npu-smi."""
    stand_in: str | None = None
    """What stands in for an NPU, in words, where npu-smi is a stand-in: the run trains on the CPU, and its record and
    report say so."""
    threads: int | None = None
    """CPU threads of a child process; None: as torch decides."""
    forecast: bool = True
    """Say before a sweep starts what memory its arms will need. conf/ takes it from $HARNESS_FORECAST."""
    refuse_if_over: bool = False
    """Refuse a sweep of which an arm will not fit, in place of a warning."""

    @property
    def takes_free(self) -> bool:
        """Whether a run takes whatever chips are free."""
        return bool(self.chips == FREE)

    @property
    def chip_count(self) -> int:
        """How many chips a run takes, on an accelerator."""
        return self.count if self.takes_free else len(set(self.named or [0]))

    @property
    def named(self) -> list[int] | None:
        """The chips that are named; None: none is."""
        return list(self.chips) if isinstance(self.chips, list) else None


@dataclass
class LaunchConfig:
    """How many processes train one run, in torchrun's words."""

    name: str = MISSING
    """single, cards (several chips of this machine) or nodes (several machines)."""
    nproc: int | None = None
    """Processes on this machine; None: one for each of device.chips."""
    nnodes: int = 1
    node_rank: int = 0
    """This machine's number; 0 reports, tracks, scores and keeps the record."""
    master_addr: str | None = None
    """Address of node 0, as the other nodes reach it; None: this machine's own, where it is the only one."""
    master_port: int | None = None
    """None: a free one, which only one node can choose."""
    join_seconds: int = 300
    """How long the nodes wait for each other: node 0 once it trains, the others while it gives no sign of life."""


@dataclass
class RetryConfig:
    """What is done about a run that failed of what may pass: a chip's fault, a lost connection, a kill from outside."""

    attempts: int = 2
    """How often it is tried again; each attempt is kept. Not where several machines train it together."""


@dataclass
class TrackingConfig:
    """What SwanLab is told."""

    mode: str = MISSING
    """local, cloud, offline or disabled."""
    project: str = "harness"
    experiment: str | None = None
    """Name of a run in SwanLab, in which {arm} and {seed} are filled in; None: SWEEP/ARM-seedSEED."""
    workspace: str | None = None


@dataclass
class ComparisonConfig:
    """How a sweep's arms are judged. It changes no run: none of it is part of a run's identity."""

    margin_points: float = 2.0
    """Of accuracy, in points of percent: two arms nearer than that serve equally well."""
    margin_time_ratios: list[float] = field(default_factory=lambda: [0.95, 1.05])
    """Of the arm's time to its baseline's; of energy too."""
    margin_memory_ratios: list[float] = field(default_factory=lambda: [0.98, 1.02])
    margin_nats: float = 0.01
    """Of a loss, in nats a token."""
    axes: list[str] = field(default_factory=list)
    """What arms are meant to differ in beside method and quantization: keys of the configuration, or names of facts
    that the report compares. A difference in one of them is what is compared, and spoils nothing."""
    memory_limit_mib: float | None = None
    """What the arm that is chosen has to fit; None: the device's own."""
    looks: int = 1
    """How often the results will be looked at while seeds are added, said before the first look."""
    strict: bool = False
    """Refuse a sweep whose arms differ in more than they are meant to, before it starts."""


LANGUAGES = ("en", "zh")
"""Those that a report can be written in."""


@dataclass
class ReportConfig:
    """How a sweep's report is written. It changes no run: none of it is part of a run's identity."""

    language: str = "en"
    """One of LANGUAGES."""


@dataclass
class Config:
    """All that a run can be told."""

    model: ModelConfig = field(default_factory=ModelConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    quantization: QuantizationConfig = field(default_factory=QuantizationConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    launch: LaunchConfig = field(default_factory=LaunchConfig)
    retry: RetryConfig = field(default_factory=RetryConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    comparison: ComparisonConfig = field(default_factory=ComparisonConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    llamafactory: dict[str, Any] = field(default_factory=dict)
    """LLaMA-Factory arguments that have no key of their own here, as LLaMA-Factory names them."""
    sweep: str = "single"
    """The comparison a run belongs to: its folder under `output`, its group in SwanLab."""
    arm: str | None = None
    """None: the method, and the quantization where it is not the method's own."""
    baseline: str = "lora"
    """The arm that the others are compared with."""
    seed: int = 0
    output: str = "outputs"
    reports: str = "reports"
    """Where the reports are written, each in a folder of its sweep's name."""
    dry_run: bool = False


def arm_of(config: Config) -> str:
    """Return the name of the thing compared: `lora`, `qlora`, `lora-int8`."""
    if config.arm:
        return config.arm
    if config.quantization.name == config.method.quantization:
        return config.method.name
    return f"{config.method.name}-{config.quantization.name}"
