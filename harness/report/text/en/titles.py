"""What a report and its verdict say, in English: fixed texts, and texts with holes that `str.format` fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.comparison.decision import Purpose
from harness.comparison.judging import Word
from harness.comparison.metrics import Aspect
from harness.comparison.order import Order
from harness.report.text.en.change import ChangeTexts
from harness.report.text.en.figures import FigureTexts
from harness.report.text.en.names import Names
from harness.report.text.en.page import PageTexts
from harness.runs.record import Outcome


class Titles(FigureTexts, ChangeTexts, PageTexts, Names):
    """Headings, headers, words of tables and lists. None of it is Markdown."""

    HEADINGS: Mapping[str, str] = {
        "summary": "In short",
        "decision": "Which arm for which purpose",
        "verdict": "Verdict",
        "needs": "What would decide the rest",
        "spoils": "What spoils the comparison",
        "figures": "Figures",
        "accuracy": "Accuracy",
        "flips": "Agreement by seed",
        "merging": "What merging costs",
        "prompts": "Prompts",
        "examples": "Some questions",
        "memory": "Memory",
        "memory_phases": "Memory by phase",
        "memory_parts": "Memory by part",
        "forecast": "Forecast and measured memory",
        "sensors": "How memory was measured",
        "time": "Time",
        "time_parts": "Where a run's time goes",
        "energy": "Energy",
        "evidence": "What proves the quantization",
        "fairness": "What was compared, and what differs",
        "arms": "The arms, with every seed's value",
        "runs": "The runs in their order",
        "left_out": "Left out",
        "method": "Method",
        "environment": "Hardware and versions",
        "limits": "Limits",
    }
    EXPLANATIONS: Mapping[str, str] = {
        "accuracy": (
            "Every seed's own value, in the order of the seeds. A difference is the arm minus its baseline, over the "
            "seeds that both completed; of accuracy in points of percent, of a loss in nats a token. Only accuracy has "
            "a verdict; the others are described, and of twenty such intervals about one misses by chance."
        ),
        "flips": (
            "Of each seed, how many questions both arms answered right, one of them alone, or neither. p is that of "
            "McNemar's exact test: it speaks of these two adapters on questions like these, not of the two methods."
        ),
        "merging": (
            "Each adapter merged into the base as its checkpoint is, scored on the same questions, minus the adapter "
            "on the base that it was trained on: for QLoRA that was the quantized one. It is described, without a "
            "verdict."
        ),
        "prompts": (
            "Answered greedily, each by itself, in the template of the training. An answer passes if it contains the "
            "expected text."
        ),
        "examples": (
            "Where the arms disagree, each way in turn, from one seed after the other; then where they agree. Lowest "
            "numbers first."
        ),
        "memory": (
            "The peak of the training process, evaluation left out. Arms are compared by the ratio of their geometric "
            "means. Only the leading memory has a verdict; the others are described, and of twenty such intervals "
            "about one misses by chance."
        ),
        "memory_phases": "The highest of an arm's completed runs in each phase.",
        "memory_parts": (
            "The peak of the training phase and what it consists of, the mean over an arm's completed runs, in MiB. "
            "What was measured and no part explains is named so; it is below 0 where the parts did not reach their "
            "peaks together."
        ),
        "forecast": (
            "The peak of the training phase as it was forecast before the start and as it was measured, the mean over "
            "an arm's completed runs, in MiB; an error below 0 is a forecast that was too low. On a CPU the process as "
            "it was before it loaded anything is in neither, and what the C library and oneDNN keep is not forecast."
        ),
        "time": (
            "Seconds a step are the median of the optimizer steps after the first, which warm up. The wall time of the "
            "training and of the whole run stand beside it as they were lived, warm-up included. Arms are compared by "
            "ratios. Only seconds a step have a verdict; the others are described, and of twenty such intervals about "
            "one misses by chance."
        ),
        "time_parts": "Seconds, the mean over an arm's completed runs.",
        "energy": (
            "Of the whole run, loading and evaluation included; above idle: less what the chips would have taken "
            "without it. It is described, without a verdict."
        ),
        "evidence": (
            "Counted in the loaded model and in the first optimizer step, not read from the configuration. Several "
            "values of an arm's runs are parted by a slash."
        ),
        "rows": (
            "What became of the rows: those in the files, less those set aside for validation, those not drawn (fewer "
            "were asked for) and those that LLaMA-Factory did not read (max_samples; below 0: mixing drew some several "
            "times), are trained on. A run in which it would leave one out fails."
        ),
        "trained": (
            "What the trainer was given. The hash is that of every row in the order of training; of several seeds "
            "there is one each. The adapter check is the loss of one batch by the model as it was trained, and by the "
            "adapter as it was loaded to be scored."
        ),
        "fairness": (
            "The two runs of each seed were compared with each other, in what changes answers, memory or time. What "
            "differs takes the verdict from the metrics that it touches, unless it is declared in comparison.axes."
        ),
        "arms": (
            "With ten seeds or fewer every value stands here, in the order of the seeds; with more, the lowest and the "
            "highest."
        ),
        "runs": "In the order in which they started. Place: the run's place in its sweep's order.",
        "tests": (
            "Of the primary metrics. The p-values are corrected for the number of tests (Holm 1979): of no difference, "
            "of a difference beyond the margin either way, of being worse by the margin."
        ),
    }
    """What stands below a heading, where anything does."""

    # Headers of tables.
    CHOICE_HEADERS: Sequence[str] = ("Purpose", "Arm", "Why")
    VALUES_HEADERS: Sequence[str] = ("Metric", "Arm", "Seeds", "Values", "Mean")
    DIFFERENCE_HEADERS: Sequence[str] = (
        *("Metric", "Arm", "Against", "Arm's mean", "Against's mean", "Difference", "95% interval", "Seeds"),
        "Verdict",
    )
    RATIO_HEADERS: Sequence[str] = (
        *("Metric", "Arm", "Against", "Arm's mean", "Against's mean", "Ratio", "95% interval", "Seeds", "Verdict"),
    )
    CORRELATION = "Correlation over seeds"
    FLIP_HEADERS: Sequence[str] = (
        *("Arm", "Against", "Seed", "Both right", "Only the arm", "Only the other", "Neither", "p"),
    )
    MERGING_HEADERS: Sequence[str] = (
        *("Arm", "With its adapter (%)", "Merged (%)", "Difference (points)", "95% interval", "Questions", "Seeds"),
    )
    PHASE_HEADERS: Sequence[str] = ("Arm", "Quantity (MiB)", "Sensor")
    PARTS_HEADERS: Sequence[str] = ("Arm", "Peak of", "Peak")
    FORECAST_HEADERS: Sequence[str] = ("Arm", "", "Peak")
    TIME_PARTS_HEADERS: Sequence[str] = ("Arm", "Whole run")
    ENERGY_HEADERS: Sequence[str] = (
        *("Arm", "Mean power (W)", "Idle power (W)", "Highest temperature (°C)", "Seconds covered"),
    )
    EVIDENCE_HEADERS: Sequence[str] = (
        *("Arm", "Quantized linear layers", "Weights of the base", "Computed in", "Attention", "Norms in"),
        *("Adapter in", "Optimizer in", "Checkpointing set", "Recomputed", "Trainable parameters"),
    )
    ROWS_HEADERS: Sequence[str] = (
        *(
            "Arm",
            "In the files",
            "Set aside",
            "Not drawn",
            "Not read",
            "Trained on",
            "Packed into",
            "Cut off",
            "Passes",
        ),
        "Validated on",
    )
    TRAINED_HEADERS: Sequence[str] = (
        *("Arm", "Steps", "Tokens", "Padding", "Hash of the rows in order", "Adapter check"),
        *("Tokens an answer", "Answers cut off", "Diverged"),
    )
    CAUSE_HEADERS: Sequence[str] = ("Arm", "Against", "What differs", "The arm's", "The other's", "Touches", "Seeds")
    VARIATION_HEADERS: Sequence[str] = ("Arm", "What changed from seed to seed", "Values")
    RUNS_HEADERS: Sequence[str] = (
        *("Place", "Started (UTC)", "Arm", "Seed", "Status", "Whole run (s)", "A step (s)", "Accuracy (%)"),
        *("Before: temperature (°C)", "CPU busy (%)", "Others' CPU (%)", "Folder"),
    )
    SENSOR_HEADERS: Sequence[str] = ("Quantity", "What it is", "Sensor", "How")
    TEST_HEADERS: Sequence[str] = (
        *("Arm", "Against", "Metric", "Verdict", "p: no difference", "p: beyond the margin", "p: worse by it", "Alpha"),
        "At least as good",
    )
    MARGIN_HEADERS: Sequence[str] = ("Metric", "Margin", "Key")
    ENVIRONMENT_HEADERS: Sequence[str] = ("", "")
    EXAMPLE_HEADERS: Sequence[str] = ("Arm", "Generated", "Taken as the answer")
    PROMPT_HEADERS: Sequence[str] = ("Prompt", "Expected")
    BOUNDS: tuple[str, str] = ("low", "high")
    """Of an interval, as columns of a file."""

    # Rows of tables that no metric names.
    COMPLETED_RUNS = "Completed runs"
    BASE_ACCURACY = "Accuracy of the base before training (%)"
    WALL_SECONDS = "Whole run, as lived (s)"
    EVALUATION_SECONDS = "Generating and scoring the answers (s)"
    ALL_SEEDS = "all"
    DEVICE = "Device"
    PLATFORM = "Platform"
    CPUS = "CPUs"
    HOST_MEMORY = "Host memory (MiB)"
    HOST = "Host (hash of its name)"
    DRIVER = "Driver"
    CGROUP_CPUS = "CPUs that the cgroup grants"
    CGROUP_MEMORY = "Memory that the cgroup grants (MiB)"
    COMMIT = "Harness commit"
    PASSED_PROMPTS = "Passed, over all seeds"
    MARGIN_METRICS: Mapping[str, str] = {
        "margin_points": "Accuracy",
        "margin_memory_ratios": "Memory",
        "margin_time_ratios": "Time, speed, energy",
        "margin_nats": "Loss",
    }

    # Words in tables and lists.
    WORDS: Mapping[Word, str] = {
        Word.BETTER: "Better",
        Word.WORSE: "Worse",
        Word.EQUIVALENT: "Equivalent",
        Word.NOT_WORSE: "Not worse by the margin",
        Word.UNDECIDED: "Undecided",
    }
    NO_VERDICT = "No verdict"
    NOT_MEASURED = "Not measured"
    PRIMARY: Mapping[Aspect, str] = {Aspect.ANSWERS: "accuracy", Aspect.MEMORY: "memory", Aspect.TIME: "time"}
    """The primary metrics, in a sentence."""
    PURPOSES: Mapping[Purpose, str] = {
        Purpose.FITS: "Fits in {limit} MiB",
        Purpose.LEAST_MEMORY: "Least memory",
        Purpose.FASTEST: "Fastest",
        Purpose.MOST_ACCURATE: "Most accurate",
    }
    ON_OFF: Mapping[bool, str] = {True: "on", False: "off"}
    YES_NO: Mapping[bool, str] = {True: "yes", False: "no"}
    PASSED: Mapping[bool, str] = {True: "pass", False: "fail"}
    STATUS: Mapping[Outcome, str] = {
        Outcome.COMPLETED: "completed",
        Outcome.OUT_OF_MEMORY: "out of memory",
        Outcome.FAILED: "failed",
        Outcome.INTERRUPTED: "interrupted",
        Outcome.UNSUPPORTED: "unsupported",
    }
    DIVERGED = "{status}, diverged"
    ADOPTED = "{status}, adopted"
    ORDERS: Mapping[Order, str] = {
        Order.SEPARATED: "{arm} and {baseline}: all runs of one came before all of the other.",
        Order.INTERLEAVED: "{arm} and {baseline}: their runs took turns, though not seed by seed.",
        Order.BLOCKS: "{arm} and {baseline}: their runs took turns, seed by seed.",
        Order.UNKNOWN: "{arm} and {baseline}: in which order their runs were made is not known.",
    }
    EXACT = "exact"
    NO_DIFFERENCE = "none (below what the sensor can tell)"
    THE_SAME = "none"
    NOT_RECORDED = "not recorded"
    NOT_SET = "not set or not recorded"
    DECLARED = "{touches} (declared)"
    ONE_SIDED = "{touches} (one side alone recorded it)"
    TOUCHES_NOTHING = "nothing"
    TOUCHES: Mapping[Aspect, str] = {Aspect.ANSWERS: "answers", Aspect.MEMORY: "memory", Aspect.TIME: "time"}
    NO_TEXT = "(no text)"
    """A model answered with nothing."""
    NO_RECORD = "No run has left a record, so there is nothing to compare."
    HIGH_WATER_MARK = "high-water mark, exact"
    """How a peak was measured that no sampling can miss."""
    SAMPLED = "sampled, {fewest} to {most} readings a phase"
    SHARE = "{:,} of {:,}"
    RUN = "{label}, seed {seed}"
    MERGED_RUN = "{label} merged, seed {seed}"
    KEPT_STEP = "{steps:,}, kept: {kept:,}"
    NOT_PACKED = "not packed"
    CUT_OFF = "{rows:,} at {cutoff_tokens:,} tokens"
    LOSSES = "{trained:.4f} trained, {loaded:.4f} loaded"
    SPAN = "{lowest} to {highest}"
    """From the lowest to the highest of several values."""
    COUNTED_SEEDS = "{count:,} seeds"
    AGAINST = "{arm} against {baseline}"
    FORECAST = "forecast"
    FORECAST_ERROR = "error"
    NEEDED = "{arm} ran out of memory; {rows} x {tokens:,} tokens were forecast to need {mib} MiB."
    FITTING = "By the forecast a batch of {rows} would have fitted."
    UNSCORED = "{run}: {target} could not be scored: {why}"
    SAMPLING = "{readings:,} readings in all, one every {intervals}; {gaps:,} failed or came late."
    UNREAD = "{folder}: damaged lines of its events and readings, which are in no figure: {lines:,}."
    ENERGY_COVERED = (
        "{folder}: its energy is that of {covered:,.0f} of {whole:,.0f} s; in the others power was not read."
    )
    WARM_UP = "Left out of seconds a step as warm-up: the first {steps} steps of a run, {seconds} s."
    REASON = "{why}"
    """As it was recorded, which is in English."""
    NO_REASON = "No reason was recorded."
    REACHED = "{why} Its memory had reached {mib:,.0f} MiB ({quantity}, {sensor}) in the phase {phase}."
    FAILED_RUN = "{status}: {run}"
    DAMAGED = "A damaged record: {}"
    UNFINISHED = "A run without a record, still running or stopped with its parent: {}"
    PLANNED = "Planned by a dry run and never started: {}"
    COMMANDS = "These commands repeat the runs:"
    FURTHER = "and {count:,} more"
    ROWS_LEFT_OUT = "Left out here: {count:,} further rows. They are in {file}."
    LINES_LEFT_OUT = "Left out here: {count:,} further; runs.csv has every run."
    EXPECTED = "Expected: {}"
    MORE_CHARACTERS = "[... {:,} more characters]"
    STOPPED = "[stopped after {} tokens]"
    CHOICE = "{purpose}: {arm}. {rule}"
    """One line of the decision box on a terminal."""
