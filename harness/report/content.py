"""What stands in a report, as tables and sentences; the template gives them their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.comparison.arms import Arm
from harness.comparison.columns import MIB
from harness.comparison.differences import Comparison, PairedDifference, loss_by_merging
from harness.comparison.fairness import unfairness
from harness.comparison.metrics import ACCURACY, METRICS, Metric, number, percent
from harness.comparison.runs import Run, Sweep
from harness.comparison.verdict import Verdict, verdict
from harness.devices.reading import Quantity
from harness.processes.symptoms import Diagnosis
from harness.report.examples import Examples, examples
from harness.report.markdown import Markdown, table, text_table
from harness.report.prompts import prompts_table
from harness.runs.events import Evidence

MEMORY_MEANS = {
    Quantity.DEVICE: "all that is used on the chips, as their driver counts it, other users included",
    Quantity.PROCESS: "what the driver puts down to the run's processes",
    Quantity.ALLOCATOR_RESERVED: "what torch's allocator holds of the chip, used or not",
    Quantity.ALLOCATOR_ALLOCATED: "what tensors take of that",
    Quantity.HOST: "private memory of the run's processes on the host",
    Quantity.RESIDENT: "the kernel's high-water mark of the training process, shared pages included",
}


@dataclass(frozen=True)
class Failed:
    name: str
    status: str
    reason: str | None
    reached: str | None
    """Its highest memory, with quantity, sensor and phase."""
    log_tail: list[str]
    diagnosis: Diagnosis | None


@dataclass(frozen=True)
class Content:
    title: str
    verdict: Verdict
    arms: Markdown | None
    unscored: list[tuple[str, str, str]]
    """A run, one of its targets, and why it has no score."""
    evidence: Markdown | None
    differences: list[tuple[str, Markdown]]
    """A heading and its table for each comparison."""
    problems: list[str]
    """Why a difference has no interval."""
    merging: Markdown | None
    merging_problems: list[str]
    unfair: list[tuple[str, Markdown]]
    prompts: Markdown | None
    examples: Examples | None
    runs: Markdown | None
    failed: list[Failed]
    unfinished: list[str]
    damaged: list[str]
    superseded: list[str]
    memory: Markdown | None
    sampling: list[str]
    environment: Markdown | None
    commands: list[str]
    limits: list[str]


def _joined(values: Sequence[object]) -> str | None:
    """Each value once; None where there is none."""
    return " / ".join(dict.fromkeys(str(value) for value in values if value is not None)) or None


def _summary(arm: Arm, metric: Metric) -> str | None:
    summary = arm.summary(metric)
    if summary is None:
        return None
    # A count or a size that every seed shares has no spread worth a column's width.
    spread = f" ± {metric.format(summary.spread)}" if summary.spread else ""
    fewer = f" (n={summary.n})" if summary.n != len(arm.completed) else ""
    return f"{metric.format(summary.mean)}{spread}{fewer}"


def _base(arm: Arm) -> str | None:
    return _joined(
        [ACCURACY.format(run.record.base_score.accuracy) for run in arm.completed if run.record.base_score is not None]
    )


def _named(metric: Metric, sensors: set[str]) -> str:
    details = [*sorted(sensors), *([metric.unit] if metric.unit else [])]
    return f"{metric.title} ({', '.join(details)})" if details else metric.title


def _rows_trained_on(arms: Sequence[Arm]) -> Iterator[list[str | None]]:
    told = [[run.record.rows for run in arm.completed if run.record.rows is not None] for arm in arms]
    if any(told):
        yield ["Training rows", *(_joined([f"{one.rows:,}" for one in some]) for some in told)]
    if any(one.at_cutoff for some in told for one in some):
        cut = [_joined([f"{one.at_cutoff:,} at {one.cutoff_tokens:,} tokens" for one in some]) for some in told]
        yield ["of which cut off", *cut]


def _arms_table(arms: Sequence[Arm]) -> Markdown | None:
    if not any(arm.completed for arm in arms):
        return None
    rows: list[list[str | None]] = [["Completed runs", *(f"{len(arm.completed)} of {len(arm.runs)}" for arm in arms)]]
    rows += _rows_trained_on(arms)
    for metric in METRICS:
        cells = [_summary(arm, metric) for arm in arms]
        if any(cells):
            sensors = set().union(*(arm.sensors(metric) for arm in arms))
            rows.append([_named(metric, sensors), *cells])
        if metric is ACCURACY and any(map(_base, arms)):
            rows.append(["Accuracy of the base without adapter (%)", *map(_base, arms)])
    return table(["", *(arm.label for arm in arms)], rows)


def _of_evidence(arm: Arm, say: Callable[[Evidence], object]) -> str | None:
    return _joined([say(run.record.evidence) for run in arm.runs if run.record.evidence is not None])


def _weights(evidence: Evidence) -> str:
    dtypes = sorted(evidence.weight_bytes_by_dtype.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {number(size / MIB)} MiB" for name, size in dtypes)


def _evidence_table(arms: Sequence[Arm]) -> Markdown | None:
    rows = [
        [
            arm.label,
            _of_evidence(arm, lambda one: f"{one.quantized_modules} of {one.linear_modules}"),
            _of_evidence(arm, _weights),
            _of_evidence(arm, lambda one: one.compute_dtype),
            _of_evidence(arm, lambda one: "on" if one.gradient_checkpointing else "off"),
            _of_evidence(arm, lambda one: f"{one.trainable_parameters:,} of {one.total_parameters:,}"),
        ]
        for arm in arms
        if any(run.record.evidence for run in arm.runs)
    ]
    headers = [
        "Arm",
        "Quantized linear layers",
        "Weights of the base",
        "Compute dtype",
        "Gradient checkpointing",
        "Trainable parameters",
    ]
    return text_table(headers, rows) if rows else None


def _difference_row(one: PairedDifference) -> list[str | None]:
    metric = one.metric
    interval = one.interval and " to ".join(metric.format_difference(bound) for bound in one.interval)
    relative = None if metric.answers or one.relative_percent is None else percent(one.relative_percent)
    return [
        f"{metric.title} ({metric.unit_of_differences})" if metric.unit_of_differences else metric.title,
        metric.format(one.baseline_mean),
        metric.format(one.arm_mean),
        metric.format_difference(one.mean),
        interval,
        relative,
        str(one.seeds),
        one.word.value,
    ]


def _merging_table(losses: Sequence[tuple[Arm, PairedDifference]]) -> Markdown | None:
    rows = [
        [
            arm.label,
            ACCURACY.format(one.baseline_mean),
            ACCURACY.format(one.arm_mean),
            ACCURACY.format_difference(one.mean),
            one.interval and " to ".join(ACCURACY.format_difference(bound) for bound in one.interval),
            one.questions,
            one.seeds,
            one.word.value,
        ]
        for arm, one in losses
    ]
    headers = [
        *("Arm", "With its adapter (%)", "Merged (%)", "Difference (points)", "95% interval"),
        *("Questions", "Seeds", "Merged is"),
    ]
    return table(headers, rows) if rows else None


def _problems(differences: Iterable[PairedDifference]) -> list[str]:
    return list(dict.fromkeys(one.problem for one in differences if one.problem is not None))


def _differences(comparison: Comparison) -> tuple[str, Markdown]:
    arm, baseline = comparison.arm.label, comparison.baseline.label
    headers = ["", baseline, arm, "Difference", "95% interval", "Relative", "Seeds", f"{arm} is"]
    return f"{arm} against {baseline}", table(headers, [_difference_row(one) for one in comparison.differences])


def _unfair(comparison: Comparison) -> tuple[str, Markdown] | None:
    found = unfairness(comparison.arm, comparison.baseline)
    if not found:
        return None
    arm, baseline = comparison.arm.label, comparison.baseline.label
    rows = [[one.key, one.baseline_value, one.arm_value] for one in found]
    return f"{arm} against {baseline}", text_table(["", baseline, arm], rows)


def _runs_table(runs: Sequence[Run]) -> Markdown | None:
    rows = [
        [
            run.label,
            run.record.seed,
            run.record.status.value,
            number(run.record.wall_seconds),
            run.record.training and number(run.record.training.train_seconds),
            run.record.score and ACCURACY.write(run.record.score.accuracy),
            run.folder.name,
        ]
        for run in runs
    ]
    headers = ["Arm", "Seed", "Status", "Whole run (s)", "Training (s)", "Accuracy", "Folder"]
    return text_table(headers, rows) if rows else None


def _memory_table(runs: Sequence[Run]) -> Markdown | None:
    rows = []
    for quantity in Quantity:
        peaks = [(run, peak) for run in runs for peak in run.record.memory if peak.quantity is quantity]
        if not peaks:
            continue
        sampled = [peak.readings for _, peak in peaks if peak.readings is not None]
        rows.append(
            [
                quantity.value,
                MEMORY_MEANS[quantity],
                _joined(sorted({peak.sensor for _, peak in peaks})),
                f"sampled, {min(sampled)} to {max(sampled)} readings a phase" if sampled else "high-water mark, exact",
            ]
        )
    return text_table(["Quantity", "What it is", "Sensor", "How"], rows) if rows else None


def _environment_table(runs: Sequence[Run]) -> Markdown | None:
    if not runs:
        return None
    environments = [run.record.environment for run in runs]
    rows: list[tuple[str, str | None]] = [
        ("Device", _joined([f"{one.device} x {one.device_count}" for one in environments])),
        ("Platform", _joined([one.platform for one in environments])),
        ("CPUs", _joined([one.cpu_count for one in environments])),
        ("Host memory (MiB)", _joined([f"{one.host_memory_mib:,.0f}" for one in environments])),
        ("Harness commit", _joined([one.git_commit for one in environments])),
    ]
    names = sorted({name for one in environments for name in one.versions})
    rows += [(name, _joined([one.versions.get(name) for one in environments])) for name in names]
    return text_table(["", ""], rows)


def _sampling(runs: Sequence[Run]) -> list[str]:
    samplings = [(run, run.record.sampling) for run in runs if run.record.sampling is not None]
    if not samplings:
        return []
    intervals = _joined([f"{one.interval_seconds:g} s" for _, one in samplings])
    total, gaps = sum(one.readings for _, one in samplings), sum(one.gaps for _, one in samplings)
    said = [f"{total:,} readings in all, one every {intervals}; {gaps:,} failed or came late."]
    return said + [f"{run.folder.name}: {error}" for run, one in samplings for error in one.errors]


def _limits(arms: Sequence[Arm], comparisons: Sequence[Comparison]) -> list[str]:
    completed = [run.record for arm in arms for run in arm.completed]
    if not completed:
        return ["No run was completed: this report holds no result."]
    peaks = [peak for record in completed for peak in record.memory]
    said = []
    if all(record.device == "cpu" for record in completed):
        said.append("No accelerator was used: nothing here says what a GPU or an NPU would need or how fast it is.")
    if any(record.device == "ascend" for record in completed):
        said.append(
            "How this harness reads NPUs was made from the vendor's documents and recorded outputs, and had not run on "
            "a real NPU when this version was released: hold its figures against `npu-smi info` (docs/ascend.md)."
        )
        said.append("Power of a card with two dies (A3) is the whole card's, whoever uses its other die.")
    if any(peak.readings is not None for peak in peaks):
        said.append("Sampled peaks can miss what lasts shorter than the interval between two readings.")
    if any(peak.quantity is Quantity.DEVICE for peak in peaks):
        said.append(
            "Device memory counts other users of the chip too; its level before the run is taken off where said."
        )
    if not peaks:
        said.append("Memory was not measured.")
    if not any(record.score or record.merged_score for record in completed):
        said.append("Accuracy was not measured: nothing here says which arm answers better.")
    if not any(record.training and record.training.validation_loss is not None for record in completed):
        said.append("The validation loss was not measured.")
    if not any(record.energy for record in completed):
        said.append("Energy was not measured.")
    if comparisons:
        said.append("Intervals of several metrics are not corrected for their number: one in twenty misses by chance.")
    said.append("One model, one data set and one machine as named here: other settings can turn a difference round.")
    return said


def _failed(run: Run) -> Failed:
    record = run.record
    highest = max(record.memory, key=lambda peak: peak.peak_mib, default=None)
    reached = None
    if highest is not None:
        what = f"{highest.quantity.value}, {highest.sensor}"
        reached = f"Its memory had reached {highest.peak_mib:,.0f} MiB ({what}) in the phase {highest.phase.value}."
    return Failed(
        f"{run.label}, seed {record.seed}",
        record.status.value,
        record.reason,
        reached,
        record.log_tail,
        record.diagnosis,
    )


def content_of(sweep: Sweep, arms: Sequence[Arm], comparisons: Sequence[Comparison]) -> Content:
    telling = [one for one in comparisons if one.differences]
    losses = [(arm, loss) for arm in arms if (loss := loss_by_merging(arm)) is not None]
    return Content(
        title=f"Comparison: {', '.join(dict.fromkeys(folder.name for folder in map(Path.resolve, sweep.folders)))}",
        verdict=verdict(arms, comparisons),
        arms=_arms_table(arms),
        unscored=[
            (f"{run.label}, seed {run.record.seed}", target, why)
            for arm in arms
            for run in arm.completed
            for target, why in run.record.unscored.items()
        ],
        evidence=_evidence_table(arms),
        differences=[_differences(one) for one in telling],
        problems=_problems(one for some in telling for one in some.differences),
        merging=_merging_table(losses),
        merging_problems=_problems(loss for _, loss in losses),
        unfair=[one for one in map(_unfair, comparisons) if one is not None],
        prompts=prompts_table(arms),
        examples=examples(comparisons),
        runs=_runs_table(sweep.runs),
        failed=[_failed(run) for run in sweep.runs if not run.completed],
        unfinished=[str(path) for path in sweep.unfinished],
        damaged=sweep.damaged,
        superseded=sweep.superseded,
        memory=_memory_table(sweep.runs),
        sampling=_sampling(sweep.runs),
        environment=_environment_table(sweep.runs),
        commands=list(dict.fromkeys(run.record.command for run in sweep.runs)),
        limits=_limits(arms, comparisons),
    )
