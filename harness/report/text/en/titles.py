"""What a report and its verdict say, in English: fixed texts, and texts with holes that `str.format` fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.comparison.differences import Direction
from harness.comparison.fairness import Fact
from harness.comparison.metrics import Unit
from harness.devices.reading import Quantity


class Titles:
    """Headings, headers, names of what is measured and compared. None of it is Markdown."""

    HEADINGS: Mapping[str, str] = {
        "arms": "The arms",
        "evidence": "What proves the quantization",
        "differences": "Paired differences",
        "other_causes": "What else differs",
        "merging": "What merging costs",
        "figures": "Figures",
        "prompts": "Prompts",
        "examples": "Some questions",
        "runs": "Runs",
        "left_out": "Left out",
        "memory": "How memory was measured",
        "environment": "Hardware and versions",
        "limits": "Limits",
    }
    EXPLANATIONS: Mapping[str, str] = {
        "arms": (
            "Means and, after ±, standard deviations over completed seeds. Memory is the peak of the training process; "
            "a dash was not measured."
        ),
        "evidence": (
            "Counted in the loaded model before training, not read from the configuration. The compute dtype is what "
            "the base's linear layers gave out in the first training step."
        ),
        "differences": (
            "Each arm minus its baseline, over the seeds that both completed. Intervals are Student's t over seeds. "
            "For accuracy runs are paired by seed and question, and the interval covers both: the variance is var(seed "
            "means)/seeds + var(question means)/questions, which errs to the wide side (crossed random effects, Owen "
            "2007; degrees of freedom after Satterthwaite). With one seed there is none but that over questions. "
            "Relative figures take the baseline's mean as exact."
        ),
        "merging": (
            "Each adapter merged into the base as its checkpoint is, scored on the same questions, minus the adapter "
            "on the base that it was trained on: for QLoRA that was the quantized one. Intervals cover seeds and "
            "questions; with one seed, questions alone."
        ),
        "prompts": (
            "Answered greedily, each by itself, in the template of the training. An answer passes if it contains the "
            "expected text."
        ),
    }
    """What stands below a heading, where anything does."""

    # Rows of tables that no metric names, and headers of tables that name no arm.
    COMPLETED_RUNS = "Completed runs"
    DIVERGED_RUNS = "Diverged runs"
    TRAINING_ROWS = "Training rows"
    ROWS_CUT_OFF = "of which cut off"
    BASE_ACCURACY = "Accuracy of the base without adapter (%)"
    DEVICE = "Device"
    PLATFORM = "Platform"
    CPUS = "CPUs"
    HOST_MEMORY = "Host memory (MiB)"
    COMMIT = "Harness commit"
    PASSED_PROMPTS = "Passed, over all seeds"
    EVIDENCE_HEADERS: Sequence[str] = (
        *("Arm", "Quantized linear layers", "Weights of the base"),
        *("Compute dtype", "Gradient checkpointing", "Trainable parameters"),
    )
    MERGING_HEADERS: Sequence[str] = (
        *("Arm", "With its adapter (%)", "Merged (%)", "Difference (points)", "95% interval"),
        *("Questions", "Seeds", "Merged is"),
    )
    RUNS_HEADERS: Sequence[str] = ("Arm", "Seed", "Status", "Whole run (s)", "Training (s)", "Accuracy", "Folder")
    MEMORY_HEADERS: Sequence[str] = ("Quantity", "What it is", "Sensor", "How")
    EXAMPLE_HEADERS: Sequence[str] = ("", "Generated", "Taken as the answer")
    PROMPT_HEADERS: Sequence[str] = ("Prompt", "Expected")

    # Words in tables and lists.
    ON_OFF: Mapping[bool, str] = {True: "on", False: "off"}
    PASSED: Mapping[bool, str] = {True: "pass", False: "fail"}
    NOT_RECORDED = "not recorded"
    NO_TEXT = "(no text)"
    """A model answered with nothing."""
    NO_RECORD = "No run has left a record, so there is nothing to compare."
    HIGH_WATER_MARK = "high-water mark, exact"
    """How a peak was measured that no sampling can miss."""
    SAMPLED = "sampled, {fewest} to {most} readings a phase"
    SHARE = "{:,} of {:,}"
    RUN = "{label}, seed {seed}"
    MERGED_RUN = "{label} merged, seed {seed}"
    CUT_OFF = "{rows:,} at {cutoff_tokens:,} tokens"
    UNSCORED = "{run}: {target} could not be scored: {why}"
    AGAINST = "{arm} against {baseline}"
    OTHER_SETTINGS = "{arm} against {baseline}: other settings"
    OTHER_CAUSES: Mapping[bool, str] = {
        True: (
            "These arms differ in more than method and quantization, so a difference above is not that of the "
            "quantization alone."
        ),
        False: (
            "The arms were not completed with the same seeds; a difference above is over those that both completed."
        ),
    }
    """What it means that something else differs: whether for the differences, or for the means alone."""
    SAMPLING = "{readings:,} readings in all, one every {intervals}; {gaps:,} failed or came late."
    UNREAD = "{folder}: damaged lines of its events and readings, which are in no figure: {lines:,}."
    ENERGY_COVERED = (
        "{folder}: its energy is that of {covered:,.0f} of {whole:,.0f} s; in the others power was not read."
    )
    NO_REASON = "No reason was recorded."
    REACHED = "Its memory had reached {mib:,.0f} MiB ({quantity}, {sensor}) in the phase {phase}."
    DIAGNOSIS = "Cause, as far as its log tells: {cause}. Fix: {fix}."
    DAMAGED = "A damaged record: {}"
    UNFINISHED = "A run without a record, still running or stopped with its parent: {}"
    PLANNED = "Planned by a dry run and never started: {}"
    COMMANDS = "These commands repeat the runs:"
    EXAMPLES = (
        "Seed {seed}; where the arms disagree first, each way in turn, then where they agree; lowest numbers first."
    )
    EXPECTED = "Expected: {}"
    MORE_CHARACTERS = "[... {:,} more characters]"
    STOPPED = "[stopped after {} tokens]"

    # Figures.
    PICTURES: Mapping[str, str] = {
        "loss": "Training and validation loss by optimizer step",
        "memory": "Memory over time with the phases of a run",
        "differences": "Paired differences to the baseline with their intervals",
    }
    """What a figure shows, for whoever cannot see it, by the name of its file."""
    STEP_AXIS = "optimizer step"
    TRAINING_LOSS_AXIS = "training loss (nats/token)"
    VALIDATION_LOSS_AXIS = "validation loss (nats/token)"
    MEMORY_TITLE: Mapping[Quantity, str] = {
        Quantity.DEVICE: "Memory used on the chips ({sensors}); the peak named is that up to the end of training",
        Quantity.HOST: (
            "Memory private to the run's processes on the host ({sensors}); "
            "the peak named is that up to the end of training"
        ),
    }
    NO_READINGS = "no readings"
    TIME_AXIS = "time since the run's start ({unit})"
    RELATIVE_AXIS = "difference (% of the baseline's mean)"
    POINTS_AXIS = "difference (points)"

    # Names and meanings.
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
    DIFFERENCE_UNITS: Mapping[Unit, str] = {Unit.SHARE: "points"}
    """Where a difference has another unit than its values."""
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
        "sampled": "Sampled peaks can miss what lasts shorter than the interval between two readings.",
        "other_users": (
            "Device memory counts other users of the chip too; its level before the run is taken off where said."
        ),
        "no_memory": "Memory was not measured.",
        "no_accuracy": "Accuracy was not measured: nothing here says which arm answers better.",
        "no_validation_loss": "The validation loss was not measured.",
        "no_energy": "Energy was not measured.",
        "multiplicity": (
            "Intervals of several metrics are not corrected for their number: one in twenty misses by chance."
        ),
        "one_setting": (
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
