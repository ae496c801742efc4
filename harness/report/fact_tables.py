"""The tables of what the runs tell of themselves: evidence, fairness, the runs and where they ran. None: there is
nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.comparison.arms import Arm
from harness.comparison.differences import Comparison
from harness.comparison.fairness import OtherCause
from harness.comparison.metrics import ACCURACY
from harness.comparison.parts import MIB
from harness.comparison.pooling import started
from harness.comparison.runs import Run
from harness.report.document import Cell, Table
from harness.report.markdown import joined
from harness.report.numbers import number
from harness.report.tables import MOST_VALUES, make, metric_number, plain_number
from harness.report.text import Text
from harness.runs.events import Evidence, RowsTokenized
from harness.runs.record import Record, RowsDrawn, Training

HASH_CHARACTERS = 8


def evidence_table(arms: Sequence[Arm], text: Text) -> Table | None:
    """Return what proves the quantization: a row for each arm in whose loaded model anything was counted."""
    rows: list[list[Cell]] = []
    for arm in arms:
        counted = [(run.record, run.record.evidence) for run in arm.runs if run.record.evidence is not None]
        if counted:
            first = [record.first_step for record, _ in counted]
            cells: list[Sequence[object]] = [
                [text.SHARE.format(found.quantized_modules, found.linear_modules) for _, found in counted],
                [_weights(found) for _, found in counted],
                [record.compute_dtype for record, _ in counted],
                [found.attention for _, found in counted],
                [found.norm_dtype for _, found in counted],
                [found.adapter_dtype for _, found in counted],
                [step and step.optimizer_dtype for step in first],
                [text.ON_OFF[found.gradient_checkpointing] for _, found in counted],
                [None if step is None or step.recomputed is None else text.YES_NO[step.recomputed] for step in first],
                [text.SHARE.format(found.trainable_parameters, found.total_parameters) for _, found in counted],
            ]
            rows.append([arm.label, *(joined(of_runs) or text.NOT_RECORDED for of_runs in cells)])
    return make(text, "evidence", text.EVIDENCE_HEADERS, rows, figures=False)


def _weights(evidence: Evidence) -> str:
    dtypes = sorted(evidence.weight_bytes_by_dtype.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {number(size / MIB)} MiB" for name, size in dtypes)


def trained_table(arms: Sequence[Arm], text: Text) -> Table | None:
    """Return what the trainer was given and what became of it: a row an arm."""
    rows: list[list[Cell]] = []
    for arm in arms:
        records = [run.record for run in arm.completed]
        if not records:
            continue
        digests = dict.fromkeys(record.trained.digest[:HASH_CHARACTERS] for record in records if record.trained)
        cells: list[Sequence[object]] = [
            [record.training and _steps(record.training, text) for record in records],
            _span([None if record.training is None else record.training.tokens for record in records], text),
            _span_of([_padding(record) for record in records], lambda value: f"{number(value, 1)}%", text),
            [*list(digests)[:MOST_VALUES], *_further(len(digests) - MOST_VALUES, text)],
            _checks(records, text),
            _span_of([_answer_tokens(record) for record in records], number, text),
            [_answers_cut_off(records, text)],
        ]
        told = [joined(of_runs) or text.NOT_RECORDED for of_runs in cells]
        rows.append([arm.label, *told, diverged(arm, text)])
    return make(text, "trained", text.TRAINED_HEADERS, rows, figures=False)


def rows_table(arms: Sequence[Arm], text: Text) -> Table | None:
    """Return what became of the rows from the user's files to the trainer: a row an arm."""
    rows: list[list[Cell]] = []
    for arm in arms:
        records = [run.record for run in arm.completed]
        if not records:
            continue
        cells: list[Sequence[object]] = [
            [record.drawn and f"{record.drawn.in_files:,}" for record in records],
            [record.drawn and f"{_set_aside(record):,}" for record in records],
            [
                record.drawn and f"{record.drawn.in_files - record.drawn.set_aside - record.drawn.to_train:,}"
                for record in records
            ],
            [record.drawn and record.rows and f"{_not_read(record.drawn, record.rows):,}" for record in records],
            [record.rows and f"{record.rows.rows:,}" for record in records],
            [_packed(record, text) for record in records],
            [record.rows and _cut(record, text) for record in records],
            _span_of([_passes(record) for record in records], lambda value: number(value, 2), text),
            [_validated(record) for record in records],
        ]
        if any(joined(of_runs) for of_runs in cells):
            rows.append([arm.label, *(joined(of_runs) or text.NOT_RECORDED for of_runs in cells)])
    return make(text, "rows", text.ROWS_HEADERS, rows, figures=False)


def _set_aside(record: Record) -> int:
    drawn, rows = record.drawn, record.rows
    return (drawn.set_aside if drawn else 0) + (rows.held_out if rows else 0)


def _not_read(drawn: RowsDrawn, rows: RowsTokenized) -> int:
    """Below 0 where LLaMA-Factory drew some several times, as it mixed the files."""
    return drawn.to_train - rows.held_out - rows.rows


def _packed(record: Record, text: Text) -> str | None:
    rows = record.rows
    if rows is None:
        return None
    return text.NOT_PACKED if rows.sequences is None else f"{rows.sequences:,}"


def _passes(record: Record) -> float | None:
    """How often each row, or what it was packed into, was given to the trainer."""
    rows, trained, parts = record.rows, record.trained, record.identity_parts
    if rows is None or trained is None or parts is None:
        return None
    # What is counted of the trainer is the share of one process.
    return trained.rows * parts.processes / (rows.sequences or rows.rows)


def _validated(record: Record) -> str | None:
    if record.rows is None or record.drawn is None:
        return None
    return f"{record.rows.validation or 0:,}"


def _cut(record: Record, text: Text) -> str | None:
    rows = record.rows
    if rows is None:
        return None
    return text.CUT_OFF.format(rows=rows.at_cutoff, cutoff_tokens=rows.cutoff_tokens)


def _steps(training: Training, text: Text) -> str:
    if training.kept_step is None:
        return f"{training.steps:,}"
    return text.KEPT_STEP.format(steps=training.steps, kept=training.kept_step)


def _padding(record: Record) -> float | None:
    trained = record.trained
    if trained is None or not trained.tokens + trained.padding_tokens:
        return None
    return 100 * trained.padding_tokens / (trained.tokens + trained.padding_tokens)


def _answer_tokens(record: Record) -> float | None:
    return None if record.score is None else record.score.generated_tokens / record.score.questions


def _span(values: Sequence[float | None], text: Text) -> list[str]:
    return _span_of(values, lambda value: f"{value:,.0f}", text)


def _span_of(values: Sequence[float | None], write: Callable[[float], str], text: Text) -> list[str]:
    """Return one value, or from the lowest to the highest."""
    known = [value for value in values if value is not None]
    if not known:
        return []
    lowest, highest = write(min(known)), write(max(known))
    return [lowest if lowest == highest else text.span(lowest, highest)]


def _further(count: int, text: Text) -> list[str]:
    return [text.FURTHER.format(count=count)] if count > 0 else []


def _checks(records: Sequence[Record], text: Text) -> list[str]:
    """Return the check whose losses are furthest apart, and how many there were."""
    checks = [record.adapter_check for record in records if record.adapter_check is not None]
    if not checks:
        return []
    worst = max(checks, key=lambda check: abs(check.trained_loss - check.loaded_loss))
    return [text.LOSSES.format(trained=worst.trained_loss, loaded=worst.loaded_loss)]


def _answers_cut_off(records: Sequence[Record], text: Text) -> str | None:
    scores = [record.score for record in records if record.score is not None and record.score.cut_off is not None]
    if not scores:
        return None
    return text.SHARE.format(sum(score.cut_off or 0 for score in scores), sum(score.questions for score in scores))


def diverged(arm: Arm, text: Text) -> str:
    """Return how many of an arm's runs diverged, as far as they were looked at."""
    runs = [run for run in arm.runs if run.completed or run.diverged]
    looked_at = [run for run in runs if run.record.diverged is not None]
    told = text.SHARE.format(len(arm.diverged), len(looked_at)) if looked_at else None
    unknown = text.NOT_RECORDED if len(looked_at) < len(runs) else None
    return joined([told, unknown]) or text.NOT_RECORDED


# Fairness.


def fairness_table(comparisons: Sequence[Comparison], text: Text) -> Table | None:
    """Return what else differs between arms, what spoils something first."""
    rows: list[list[Cell]] = []
    for comparison in comparisons:
        causes = comparison.fairness.causes
        rows += [_cause(comparison, cause, text) for cause in sorted(causes, key=lambda cause: not cause.spoils)]
    return make(text, "fairness", text.CAUSE_HEADERS, rows, figures=False)


def _cause(comparison: Comparison, cause: OtherCause, text: Text) -> list[Cell]:
    sides = (joined(values[:MOST_VALUES]) or text.NOT_SET for values in (cause.arm_values, cause.baseline_values))
    seeds = text.counted_seeds(cause.seeds) if cause.seeds else None
    names = comparison.arm.label, comparison.baseline.label
    return [*names, text.cause_name(cause), *sides, text.touches(cause), seeds]


def variations_table(comparisons: Sequence[Comparison], text: Text) -> Table | None:
    """Return what changed within an arm from seed to seed."""
    found = dict.fromkeys(variation for comparison in comparisons for variation in comparison.fairness.within)
    rows = [
        [
            variation.arm,
            text.variation_name(variation),
            joined(
                [
                    f"{text.NOT_SET if value is None else value} ({text.counted_seeds(seeds)})"
                    for value, seeds in variation.values[:MOST_VALUES]
                ]
            ),
        ]
        for variation in found
    ]
    return make(text, "variations", text.VARIATION_HEADERS, rows, figures=False)


# Runs.


def runs_table(runs: Sequence[Run], text: Text) -> Table | None:
    """Return every run in the order of its start: what it came to, and the machine as it found it."""
    rows: list[list[Cell]] = []
    for run in sorted(runs, key=lambda run: (started(run.record), run.folder.name)):
        record = run.record
        training, before, sharing, score = record.training, record.before, record.sharing, record.score
        rows.append(
            [
                record.position,
                f"{started(record):%Y-%m-%d %H:%M:%S}",
                run.label,
                record.seed,
                text.status(run),
                plain_number(record.wall_seconds),
                plain_number(None if training is None else training.step_seconds),
                None if score is None else metric_number(ACCURACY, score.accuracy),
                plain_number(_temperature(record), 0),
                plain_number(None if before is None else before.cpu_busy_percent, 0),
                plain_number(None if sharing is None else sharing.others_cpu_percent, 0),
                run.folder.name,
            ]
        )
    return make(text, "runs", text.RUNS_HEADERS, rows, sortable=True)


def _temperature(record: Record) -> float | None:
    """Return the highest before the run: of its chips, else of the processor."""
    if record.before is None:
        return None
    of_chips = [chip.temperature_celsius for chip in record.before.chips if chip.temperature_celsius is not None]
    return max(of_chips, default=record.before.cpu_temperature_celsius)


def environment_table(runs: Sequence[Run], text: Text) -> Table | None:
    """Return hardware and versions, each value once."""
    environments = [run.record.environment for run in runs]
    if not environments:
        return None
    cells: dict[str, list[object]] = {
        text.DEVICE: [
            None if each.device is None else f"{each.device} x {each.device_count or 1}" for each in environments
        ],
        text.PLATFORM: [each.platform for each in environments],
        text.CPUS: [each.cpu_count for each in environments],
        text.HOST_MEMORY: [_rounded(each.host_memory_mib) for each in environments],
        text.HOST: [each.host for each in environments],
        text.DRIVER: [each.driver for each in environments],
        text.CGROUP_CPUS: [each.cpu_quota for each in environments],
        text.CGROUP_MEMORY: [_rounded(each.memory_limit_mib) for each in environments],
        text.COMMIT: [each.git_commit for each in environments],
    }
    for found in (
        [each.runtimes for each in environments],
        [each.variables for each in environments],
        [each.versions for each in environments],
    ):
        for name in sorted({name for each in found for name in each}):
            cells[name] = [each.get(name) for each in found]
    rows = [[name, told] for name, values in cells.items() if (told := joined(values)) is not None]
    return make(text, "environment", text.ENVIRONMENT_HEADERS, rows, figures=False, most=100)


def _rounded(value: float | None) -> str | None:
    return None if value is None else f"{value:,.0f}"
