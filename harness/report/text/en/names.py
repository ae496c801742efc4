"""What things are called, in English: metrics, units, facts, parts, limits."""

from __future__ import annotations

from collections.abc import Mapping

from harness.comparison.facts import Fact
from harness.comparison.metrics import Unit
from harness.comparison.parts import MeasuredPart, TimePart
from harness.devices.reading import Quantity
from harness.runs.record import Unknown


class Names:
    """Names and what they mean. None of it is Markdown."""

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
        "step_seconds": "A step, warm-up left out",
        "train_seconds": "Training, as lived",
        "tokens_per_second": "Training speed, as lived",
        "train_loss": "Training loss, last",
        "validation_loss": "Validation loss, last",
        "above_idle_watt_hours": "Energy above idle",
        "watt_hours": "Energy of the whole run",
        "trainable_parameters": "Trainable parameters",
        "adapter_mib": "Adapter on disk",
    }
    """Titles by a metric's key."""
    UNITS: Mapping[Unit, str] = {
        Unit.SHARE: "%",
        Unit.MIB: "MiB",
        Unit.SECONDS: "s",
        Unit.TOKENS_PER_SECOND: "tokens/s",
        Unit.NATS_PER_TOKEN: "nats/token",
        Unit.WATT_HOURS: "Wh",
        Unit.COUNT: "",
    }
    QUANTITIES: Mapping[Quantity, str] = {
        Quantity.DEVICE: "device",
        Quantity.PROCESS: "processes on the device",
        Quantity.ALLOCATOR_RESERVED: "reserved by the allocator",
        Quantity.ALLOCATOR_ALLOCATED: "allocated by tensors",
        Quantity.HOST: "private on the host",
        Quantity.RESIDENT: "resident on the host",
    }
    MEMORY_MEANS: Mapping[Quantity, str] = {
        Quantity.DEVICE: "all that is used on the chips, as their driver counts it, other users included",
        Quantity.PROCESS: "what the driver puts down to the run's processes",
        Quantity.ALLOCATOR_RESERVED: "what torch's allocator holds of the chip, used or not",
        Quantity.ALLOCATOR_ALLOCATED: "what tensors take of that",
        Quantity.HOST: "private memory of the run's processes on the host",
        Quantity.RESIDENT: "the kernel's high-water mark of the training process, shared pages included",
    }
    MEMORY_PARTS: Mapping[MeasuredPart, str] = {
        MeasuredPart.WEIGHTS: "Weights",
        MeasuredPart.ADAPTER: "Adapter",
        MeasuredPart.GRADIENTS: "Gradients",
        MeasuredPart.OPTIMIZER: "Optimizer",
        MeasuredPart.ACTIVATIONS: "Activations and logits",
        MeasuredPart.SLACK: "Allocator's slack",
        MeasuredPart.CONTEXT: "Driver and libraries",
        MeasuredPart.UNEXPLAINED: "Unexplained",
    }
    TIME_PARTS: Mapping[TimePart, str] = {
        TimePart.LOAD: "Loading",
        TimePart.WARMUP: "Warm-up",
        TimePart.STEPS: "Further steps",
        TimePart.VALIDATE: "Validation",
        TimePart.SAVE: "Saving",
        TimePart.EVALUATE: "Evaluation",
        TimePart.REST: "Starting, ending, unreported",
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
        Fact.ATTENTION: "attention kernel",
        Fact.NORM_DTYPE: "dtype of the norms",
        Fact.UNQUANTIZED_WEIGHTS: "weights left unquantized",
        Fact.ADAPTER_DTYPE: "dtype of the adapter",
        Fact.OPTIMIZER_DTYPE: "dtype of the optimizer's state",
        Fact.GRADIENT_CHECKPOINTING: "gradient checkpointing as set in the model",
        Fact.RECOMPUTED: "gradient checkpointing as it happened",
        Fact.LINEAR_MODULES: "linear layers (counted)",
        Fact.QUANTIZED_MODULES: "quantized layers (counted)",
        Fact.TRAINABLE_PARAMETERS: "trainable parameters (counted)",
        Fact.TRAINING_ROWS: "training rows (counted)",
        Fact.ROWS_CUT_OFF: "rows cut off",
        Fact.ROW_ORDER: "rows in training order (hash)",
        Fact.PADDING: "padding tokens",
        Fact.STEPS: "optimizer steps (counted)",
        Fact.TOKENS: "tokens trained on (counted)",
        Fact.BENCHMARK: "benchmark",
        Fact.QUESTIONS_SCORED: "questions scored",
        Fact.ADAPTER_CHECK: "check of the loaded adapter",
        Fact.CUT_OFF_ANSWERS: "share of answers cut off",
        Fact.DEVICE: "device",
        Fact.CHIP_IDS: "chips by number",
        Fact.PROCESSES: "processes",
        Fact.HOST: "host",
        Fact.PLATFORM: "platform",
        Fact.CPUS: "CPUs",
        Fact.HOST_MEMORY: "host memory",
        Fact.CGROUP: "limits of the cgroup",
        Fact.VARIABLES: "environment variables",
        Fact.DRIVER: "driver",
        Fact.RUNTIMES: "CUDA or CANN, and firmware",
        Fact.VERSIONS: "library versions",
        Fact.COMMIT: "commit of the harness",
        Fact.POWER_LIMIT: "power limit",
        Fact.MAX_CLOCK: "highest clock",
        Fact.CLOCK: "clock before the run",
        Fact.ECC: "ECC",
        Fact.STARTED: "day of the run",
        Fact.TEMPERATURE_BEFORE: "temperature before the run",
        Fact.HEAT: "heat while it ran",
        Fact.CHIP_MEMORY_BEFORE: "memory in use on the chips before the run",
        Fact.CHIP_LOAD_BEFORE: "load of the chips before the run",
        Fact.CHIP_PROCESSES_BEFORE: "other processes on the chips before the run",
        Fact.CPU_BUSY_BEFORE: "load of the CPUs before the run",
        Fact.BUSY_PROCESSES_BEFORE: "busy processes of others before the run",
        Fact.LOAD_AVERAGE_BEFORE: "load average before the run",
        Fact.AVAILABLE_MEMORY: "available host memory before the run",
        Fact.OTHERS_CPU: "processor time of others during the training",
        Fact.OTHERS_ON_CHIPS: "other processes on the chips during the training",
        Fact.SENSORS: "sensors",
        Fact.SAMPLING_INTERVAL: "sampling interval",
        Fact.READINGS: "readings a minute",
        Fact.ENERGY: "whether energy was read",
        Fact.TRACKING: "tracking",
        Fact.LOGGING: "logging and checkpoints",
        Fact.SEEDS: "seeds completed",
    }
    LIMITS: Mapping[str, str] = {
        "no_result": "No run was completed: this report holds no result.",
        "no_accelerator": (
            "No accelerator was used: nothing here says what a GPU or an NPU would need or how fast it is."
        ),
        "npu_untried": (
            "How this harness reads NPUs was made from the vendor's documents and recorded outputs, and had not run on "
            "a real NPU when this version was released: hold its figures against `npu-smi info` (docs/ascend.md)."
        ),
        "card_power": "Power of a card with two dies (A3) is the whole card's, whoever uses its other die.",
        "sampled": (
            "Sampled peaks can miss what lasts shorter than the interval between two readings, and the maximum of more "
            "readings is larger: high-water marks are exact."
        ),
        "other_users": (
            "Device memory counts other users of the chip too; its level before the run is taken off where said."
        ),
        "no_memory": "Memory was not measured.",
        "no_accuracy": "Accuracy was not measured: nothing here says which arm answers better.",
        "no_validation_loss": "The validation loss was not measured.",
        "no_energy": "Energy was not measured.",
        "one_setting": (
            "One model, one data set and one machine as named here: other settings can turn a difference round."
        ),
    }
    UNKNOWN: Mapping[Unknown, str] = {
        Unknown.MEMORY: "memory",
        Unknown.ACCURACY: "accuracy",
        Unknown.QUANTIZATION: "whether layers were quantized",
        Unknown.SEED: "the seed, taken for LLaMA-Factory's own",
        Unknown.TRAIN_SECONDS: "the training time",
        Unknown.TOKENS: "the tokens trained on",
        Unknown.DEVICE: "the kind of device",
        Unknown.HARDWARE: "the machine",
        Unknown.ROWS: "what was in the rows",
        Unknown.VERSIONS: "the versions of the libraries",
        Unknown.STARTED_AT: "when it started, worked out of its last file's time",
    }
    """What the files of an adopted training do not tell."""
