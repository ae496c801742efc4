"""The fixed texts of a report in English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.comparison.differences import Direction
from harness.comparison.fairness import Fact
from harness.comparison.findings import Limit
from harness.comparison.metrics import Unit
from harness.devices.reading import Quantity
from harness.report.text import Picture, Row, Section, Table

HEADINGS: Mapping[Section, str] = {
    Section.ARMS: "The arms",
    Section.EVIDENCE: "What proves the quantization",
    Section.DIFFERENCES: "Paired differences",
    Section.OTHER_CAUSES: "What else differs",
    Section.MERGING: "What merging costs",
    Section.FIGURES: "Figures",
    Section.PROMPTS: "Prompts",
    Section.EXAMPLES: "Some questions",
    Section.RUNS: "Runs",
    Section.LEFT_OUT: "Left out",
    Section.MEMORY: "How memory was measured",
    Section.ENVIRONMENT: "Hardware and versions",
    Section.LIMITS: "Limits",
}
EXPLANATIONS: Mapping[Section, str] = {
    Section.ARMS: (
        "Means and, after ±, standard deviations over completed seeds. Memory is the peak of the training process; a "
        "dash was not measured."
    ),
    Section.EVIDENCE: (
        "Counted in the loaded model before training, not read from the configuration. The compute dtype is what the "
        "base's linear layers gave out in the first training step."
    ),
    Section.DIFFERENCES: (
        "Each arm minus its baseline, over the seeds that both completed. Intervals are Student's t over seeds. For "
        "accuracy runs are paired by seed and question, and the interval covers both: the variance is var(seed "
        "means)/seeds + var(question means)/questions, which errs to the wide side (crossed random effects, Owen 2007; "
        "degrees of freedom after Satterthwaite). With one seed there is none but that over questions. Relative "
        "figures take the baseline's mean as exact."
    ),
    Section.MERGING: (
        "Each adapter merged into the base as its checkpoint is, scored on the same questions, minus the adapter on "
        "the base that it was trained on: for QLoRA that was the quantized one. Intervals cover seeds and questions; "
        "with one seed, questions alone."
    ),
    Section.PROMPTS: (
        "Answered greedily, each by itself, in the template of the training. An answer passes if it contains the "
        "expected text."
    ),
}
ROWS: Mapping[Row, str] = {
    Row.COMPLETED: "Completed runs",
    Row.DIVERGED: "Diverged runs",
    Row.TRAINING_ROWS: "Training rows",
    Row.CUT_OFF: "of which cut off",
    Row.BASE_ACCURACY: "Accuracy of the base without adapter (%)",
    Row.DEVICE: "Device",
    Row.PLATFORM: "Platform",
    Row.CPUS: "CPUs",
    Row.HOST_MEMORY: "Host memory (MiB)",
    Row.COMMIT: "Harness commit",
    Row.PASSED_PROMPTS: "Passed, over all seeds",
}
HEADERS: Mapping[Table, Sequence[str]] = {
    Table.EVIDENCE: (
        *("Arm", "Quantized linear layers", "Weights of the base"),
        *("Compute dtype", "Gradient checkpointing", "Trainable parameters"),
    ),
    Table.MERGING: (
        *("Arm", "With its adapter (%)", "Merged (%)", "Difference (points)", "95% interval"),
        *("Questions", "Seeds", "Merged is"),
    ),
    Table.RUNS: ("Arm", "Seed", "Status", "Whole run (s)", "Training (s)", "Accuracy", "Folder"),
    Table.MEMORY: ("Quantity", "What it is", "Sensor", "How"),
    Table.EXAMPLE: ("", "Generated", "Taken as the answer"),
    Table.PROMPTS: ("Prompt", "Expected"),
}
METRICS: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "merged_accuracy": "Accuracy merged into the unquantized base",
    "peak_device_above_baseline_mib": "Peak device memory above its level before the run",
    "peak_device_mib": "Peak device memory",
    "peak_process_mib": "Peak device memory of the run's processes",
    "peak_allocator_reserved_mib": "Peak memory reserved by the allocator",
    "peak_allocator_allocated_mib": "Peak memory allocated by tensors",
    "peak_host_mib": "Peak private host memory",
    "peak_resident_mib": "Peak resident host memory",
    "weights_mib": "Weights of the base in memory",
    "train_seconds": "Training time",
    "tokens_per_second": "Training speed",
    "train_loss": "Training loss, last",
    "validation_loss": "Validation loss, last",
    "watt_hours": "Energy of the whole run",
    "trainable_parameters": "Trainable parameters",
    "adapter_mib": "Adapter on disk",
}
UNITS: Mapping[Unit, str] = {
    Unit.SHARE: "%",
    Unit.MIB: "MiB",
    Unit.SECONDS: "s",
    Unit.TOKENS_PER_SECOND: "tokens/s",
    Unit.NATS_PER_TOKEN: "nats/token",
    Unit.WATT_HOURS: "Wh",
    Unit.COUNT: "",
}
DIFFERENCE_UNITS: Mapping[Unit, str] = {Unit.SHARE: "points"}
DIRECTIONS: Mapping[Direction, str] = {
    Direction.LOWER: "lower",
    Direction.HIGHER: "higher",
    Direction.SAME: "the same",
    Direction.NOISE: "not distinguishable from zero",
    Direction.UNKNOWN: "no interval",
}
FACTS: Mapping[Fact, str] = {
    Fact.WEIGHTS: "weights of the base",
    Fact.ROWS: "rows",
    Fact.QUESTIONS: "questions",
    Fact.EVALUATION: "evaluation settings",
    Fact.TEMPLATE: "template",
    Fact.METHOD: "method settings",
    Fact.TRAINING: "training settings",
    Fact.ARGUMENTS: "further LLaMA-Factory arguments",
    Fact.PRECISION: "precision",
    Fact.COMPUTE_DTYPE: "compute dtype (measured)",
    Fact.GRADIENT_CHECKPOINTING: "gradient checkpointing (measured)",
    Fact.LINEAR_MODULES: "linear layers (counted)",
    Fact.QUANTIZED_MODULES: "quantized layers (counted)",
    Fact.TRAINING_ROWS: "training rows (measured)",
    Fact.STEPS: "optimizer steps (measured)",
    Fact.TOKENS: "tokens trained on (measured)",
    Fact.BENCHMARK: "benchmark",
    Fact.DEVICE: "device",
    Fact.PROCESSES: "processes",
    Fact.PLATFORM: "platform",
    Fact.VERSIONS: "library versions",
    Fact.SEEDS: "seeds completed",
}
LIMITS: Mapping[Limit, str] = {
    Limit.NO_RESULT: "No run was completed: this report holds no result.",
    Limit.NO_ACCELERATOR: (
        "No accelerator was used: nothing here says what a GPU or an NPU would need or how fast it is."
    ),
    Limit.NPU_UNTRIED: (
        "How this harness reads NPUs was made from the vendor's documents and recorded outputs, and had not run on a "
        "real NPU when this version was released: hold its figures against `npu-smi info` (docs/ascend.md)."
    ),
    Limit.CARD_POWER: "Power of a card with two dies (A3) is the whole card's, whoever uses its other die.",
    Limit.SAMPLED: "Sampled peaks can miss what lasts shorter than the interval between two readings.",
    Limit.OTHER_USERS: (
        "Device memory counts other users of the chip too; its level before the run is taken off where said."
    ),
    Limit.NO_MEMORY: "Memory was not measured.",
    Limit.NO_ACCURACY: "Accuracy was not measured: nothing here says which arm answers better.",
    Limit.NO_VALIDATION_LOSS: "The validation loss was not measured.",
    Limit.NO_ENERGY: "Energy was not measured.",
    Limit.MULTIPLICITY: (
        "Intervals of several metrics are not corrected for their number: one in twenty misses by chance."
    ),
    Limit.ONE_SETTING: (
        "One model, one data set and one machine as named here: other settings can turn a difference round."
    ),
}
MEMORY_MEANS: Mapping[Quantity, str] = {
    Quantity.DEVICE: "all that is used on the chips, as their driver counts it, other users included",
    Quantity.PROCESS: "what the driver puts down to the run's processes",
    Quantity.ALLOCATOR_RESERVED: "what torch's allocator holds of the chip, used or not",
    Quantity.ALLOCATOR_ALLOCATED: "what tensors take of that",
    Quantity.HOST: "private memory of the run's processes on the host",
    Quantity.RESIDENT: "the kernel's high-water mark of the training process, shared pages included",
}
PICTURES: Mapping[Picture, str] = {
    Picture.LOSS: "Training and validation loss by optimizer step",
    Picture.MEMORY: "Memory over time with the phases of a run",
    Picture.DIFFERENCES: "Paired differences to the baseline with their intervals",
}
YES_NO: Mapping[bool, str] = {True: "on", False: "off"}
PASSED: Mapping[bool, str] = {True: "pass", False: "fail"}
NOT_RECORDED = "not recorded"
NO_TEXT = "(no text)"
HIGH_WATER_MARK = "high-water mark, exact"
NO_RECORD = "No run has left a record, so there is nothing to compare."
