"""A record as one row of a table. The columns are documented where users meet them: `runs.load_runs`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas

from harness.devices.reading import Quantity
from harness.runs.events import Phase
from harness.runs.record import MemoryPeak, Record, passed

TRAINING_PHASES = frozenset({Phase.LOAD, Phase.TRAIN, Phase.VALIDATE, Phase.SAVE})
MIB = 2**20


def _memory(record: Record) -> dict[str, Any]:
    peaks_of, merged_of = by_quantity(record.memory), by_quantity(record.merged_memory)
    cells: dict[str, Any] = {}
    for quantity in Quantity:
        peaks, merged = peaks_of.get(quantity, []), merged_of.get(quantity, [])
        cells |= _of_quantity(quantity, peaks, merged) if peaks or merged else _UNMEASURED[quantity]
    return cells


def by_quantity(peaks: Iterable[MemoryPeak]) -> dict[Quantity, list[MemoryPeak]]:
    """Return the peaks of each quantity that was measured."""
    found: dict[Quantity, list[MemoryPeak]] = {}
    for peak in peaks:
        found.setdefault(peak.quantity, []).append(peak)
    return found


def _of_quantity(quantity: Quantity, peaks: list[MemoryPeak], merged: list[MemoryPeak]) -> dict[str, Any]:
    training = [peak for peak in peaks if peak.phase in TRAINING_PHASES]
    known = [(peak.peak_mib, peak.baseline_mib) for peak in training if peak.baseline_mib is not None]
    return {
        f"peak_{quantity}_mib": max([peak.peak_mib for peak in training], default=None),
        f"baseline_{quantity}_mib": max([baseline for _, baseline in known], default=None),
        f"peak_{quantity}_above_baseline_mib": max([peak - baseline for peak, baseline in known], default=None),
        f"evaluate_peak_{quantity}_mib": _evaluating(peaks),
        f"sensor_{quantity}": ", ".join(sorted({peak.sensor for peak in peaks})) or None,
        f"merged_evaluate_peak_{quantity}_mib": _evaluating(merged),
    }


def _evaluating(peaks: list[MemoryPeak]) -> float | None:
    return max([peak.peak_mib for peak in peaks if peak.phase is Phase.EVALUATE], default=None)


_UNMEASURED = {quantity: _of_quantity(quantity, [], []) for quantity in Quantity}


def row(label: str, record: Record, folder: Path) -> dict[str, Any]:
    """Return the cells of one run, by column. Memory is in MiB, times in seconds; None: not measured."""
    score, base, merged = record.score, record.base_score, record.merged_score
    training, evidence, energy = record.training, record.evidence, record.energy
    trained, sharing = record.trained, record.sharing
    asked, base_asked, merged_asked = map(passed, (record.replies, record.base_replies, record.merged_replies))
    cells: dict[str, Any] = {
        "sweep": record.sweep,
        "arm": label,
        "seed": record.seed,
        "status": record.status.value,
        "reason": record.reason,
        "identity": record.identity,
        "device": record.device,
        "hardware": record.environment.device,
        "stand_in": record.stand_in,
        "started_at": record.started_at.isoformat(),
        "accuracy": score and score.accuracy,
        "base_accuracy": base and base.accuracy,
        "merged_accuracy": merged and merged.accuracy,
        "correct": score and score.correct,
        "merged_correct": merged and merged.correct,
        "questions": score and score.questions,
        "evaluation_seconds": score and score.seconds,
        "prompts_passed": asked and asked[0],
        "base_prompts_passed": base_asked and base_asked[0],
        "merged_prompts_passed": merged_asked and merged_asked[0],
        "prompts_expected": next((counts[1] for counts in (asked, merged_asked, base_asked) if counts), None),
    }
    cells |= _memory(record)
    return cells | {
        "weights_mib": evidence and sum(evidence.weight_bytes_by_dtype.values()) / MIB,
        "quantized_modules": evidence and evidence.quantized_modules,
        "linear_modules": evidence and evidence.linear_modules,
        "trainable_parameters": evidence and evidence.trainable_parameters,
        "total_parameters": evidence and evidence.total_parameters,
        "adapter_mib": training and training.adapter_mib,
        "training_rows": record.rows and record.rows.rows,
        "rows_cut_off": record.rows and record.rows.at_cutoff,
        "steps": training and training.steps,
        "tokens": training and training.tokens,
        "train_seconds": training and training.train_seconds,
        "validation_seconds": training and training.validation_seconds,
        "tokens_per_second": training and training.tokens_per_second,
        "train_loss": training and training.train_loss,
        "validation_loss": training and training.validation_loss,
        "wall_seconds": record.wall_seconds,
        "watt_hours": energy and energy.watt_hours,
        "mean_watts": energy and energy.mean_watts,
        "max_temperature_celsius": energy and energy.max_temperature_celsius,
        "sampling_gaps": record.sampling and record.sampling.gaps,
        "folder": str(folder),
        "diverged": record.diverged,
        "step_seconds": training and training.step_seconds,
        "above_idle_watt_hours": energy and energy.above_idle_watt_hours,
        "warmup_seconds": training and training.warmup_seconds,
        "warmup_steps": training and training.warmup_steps,
        "position": record.position,
        "answers_cut_off": score and score.cut_off,
        "merged_answers_cut_off": merged and merged.cut_off,
        "evalscope_correct": score and score.evalscope_correct,
        "padding_share": trained and _share(trained.padding_tokens, trained.tokens + trained.padding_tokens),
        "runtime_mib": record.runtime_mib,
        "idle_watts": energy and energy.idle_watts,
        "others_cpu_percent": sharing and sharing.others_cpu_percent,
        "others_on_chips": sharing and sharing.others_on_chips,
        "neighbours": None if record.neighbours is None else len(record.neighbours),
        "attempt": record.attempt,
        "host": record.environment.host,
        "driver": record.environment.driver,
        "adopted": record.adopted is not None,
        **{f"phase_{phase}_seconds": record.phase_seconds.get(phase) for phase in Phase},
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


_TEXTS = (
    *("sweep", "arm", "status", "reason", "identity", "device", "hardware", "stand_in", "started_at", "folder"),
    *("host", "driver", "adopted"),
    *("diverged", *(f"sensor_{quantity}" for quantity in Quantity)),
)


def to_frame(rows: Iterable[Mapping[str, Any]]) -> pandas.DataFrame:
    """Return one row for each run, given as its cells."""
    frame = pandas.DataFrame(list(rows))
    # A column that no run measured would otherwise hold objects, and its mean would fail.
    numbers = [column for column in frame.columns if column not in _TEXTS]
    frame[numbers] = frame[numbers].apply(pandas.to_numeric)
    return frame
