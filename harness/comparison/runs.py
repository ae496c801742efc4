"""The runs of one or several sweeps, read from their folders."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import pandas

from harness.comparison.columns import to_frame
from harness.comparison.pooling import Configuration, configuration, labels
from harness.runs import record as records
from harness.runs.record import DamagedRecordError, Outcome, Record

RUN_FOLDER = re.compile(r".+-seed\d+-[0-9a-f]+")


@dataclass(frozen=True)
class Run:
    folder: Path
    record: Record
    label: str
    """The arm's name, extended where runs of that name differ in more than their seed."""

    @property
    def completed(self) -> bool:
        return self.record.status is Outcome.COMPLETED

    @cached_property
    def configuration(self) -> Configuration:
        return configuration(self.record)


@dataclass(frozen=True)
class Sweep:
    """All that the folders of a comparison hold."""

    folders: tuple[Path, ...]
    runs: list[Run] = field(default_factory=list)
    """By arm's first start, then seed; one for each label and seed."""
    damaged: list[str] = field(default_factory=list)
    """One message for each record that cannot be read."""
    unfinished: list[Path] = field(default_factory=list)
    """Folders of runs that left no record: still running, or stopped with their parent."""
    superseded: list[str] = field(default_factory=list)
    """One message for each run left out because another has its configuration and seed."""


def _started(record: Record) -> datetime:
    started = record.started_at
    return started if started.tzinfo else started.replace(tzinfo=UTC)


def _natural(label: str) -> list[tuple[bool, int, str]]:
    """Sorts `rank=8` before `rank=16`."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", label)]


def _newest_of_each(runs: Iterable[Run]) -> tuple[list[Run], list[str]]:
    kept: dict[tuple[str, int], Run] = {}
    superseded = []
    for run in sorted(runs, key=lambda run: (run.completed, _started(run.record))):
        key = run.label, run.record.seed
        if key in kept:
            superseded.append(
                f"{kept[key].folder} is left out: {run.folder} has the same configuration and seed "
                + ("and is newer" if run.completed == kept[key].completed else "and is completed")
            )
        kept[key] = run
    return list(kept.values()), superseded


def load_sweep(*folders: Path, only: Collection[Path] | None = None) -> Sweep:
    """Read the runs in `folders`, each the folder of one sweep: every one, or those whose folder is among `only`.

    Damage is reported in the result, not raised."""
    found: list[tuple[Path, Record]] = []
    damaged: list[str] = []
    unfinished: list[Path] = []
    for folder in sorted(path for sweep in dict.fromkeys(folders) for path in sweep.iterdir() if path.is_dir()):
        if only is not None and folder not in only:
            continue
        try:
            record = records.load(folder)
        except DamagedRecordError as error:
            damaged.append(str(error))
            continue
        if record is not None:
            found.append((folder, record))
        elif RUN_FOLDER.fullmatch(folder.name):
            unfinished.append(folder)
    names = labels([(record.arm, configuration(record)) for _, record in found])
    runs, superseded = _newest_of_each(
        Run(folder, record, label) for (folder, record), label in zip(found, names, strict=True)
    )
    first_start: dict[str, datetime] = {}
    for run in runs:
        first_start[run.label] = min(first_start.get(run.label, _started(run.record)), _started(run.record))
    runs.sort(key=lambda run: (first_start[run.label], _natural(run.label), run.record.seed))
    return Sweep(folders, runs, damaged, unfinished, superseded)


def _is_sweep(folder: Path) -> bool:
    return any(
        path.is_dir() and ((path / records.FILE_NAME).exists() or RUN_FOLDER.fullmatch(path.name))
        for path in folder.iterdir()
    )


def load_runs(path: str | Path) -> pandas.DataFrame:
    """One row for each run under `path`: a sweep's folder, or a folder that holds several sweeps.

    What was not measured is NaN (numbers) or None (texts), never 0. Of runs with the same configuration and
    seed only the newest completed one is there. Memory is in MiB; its peaks are those of the training
    process, the highest of loading, training, validating and saving.

    sweep, arm, seed            arm: the label that also tells apart configurations of the same name
    status, reason              completed, out_of_memory, failed, interrupted or unsupported, and why
    identity                    hash of all that decides the run's result
    device, hardware            cpu, cuda or ascend; the product's name
    stand_in                    what stood in for the hardware, in words
    started_at                  date and time
    accuracy, base_accuracy     share of right answers, 0 to 1; base: the model without adapter
    merged_accuracy             of the adapter merged into the unquantized base
    correct, merged_correct, questions              numbers of questions
    evaluation_seconds          generating and scoring the answers
    prompts_passed              of evaluation.prompts: how many answers hold the expected text
    base_prompts_passed, merged_prompts_passed      the same of the base and of the merged model
    prompts_expected            how many prompts expect a text
    peak_Q_mib                  Q: device, process, allocator_reserved, allocator_allocated, host, resident
    baseline_Q_mib              before the run started
    peak_Q_above_baseline_mib   the highest of peak minus baseline
    evaluate_peak_Q_mib         of the evaluating process
    merged_evaluate_peak_Q_mib  of the process that evaluates the merged model
    sensor_Q                    what measured Q
    weights_mib                 the base's weights as loaded, quantization constants included
    quantized_modules, linear_modules               layers of the base
    trainable_parameters, total_parameters          numbers of parameters
    adapter_mib                 the saved adapter on disk
    training_rows, rows_cut_off rows as they were tokenized, and how many of them the cutoff cut
    steps, tokens               optimizer steps; tokens trained on
    train_seconds               the training loop without loading and validation
    validation_seconds          the validation loss in the midst of training
    tokens_per_second           tokens / train_seconds
    train_loss, validation_loss the last ones reported, nats a token
    wall_seconds                the whole run
    watt_hours, mean_watts      energy and mean power of the whole run
    max_temperature_celsius     highest of the chips
    sampling_gaps               readings that failed or came late
    folder                      where the run lies
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; give the folder of a sweep, or one that holds sweeps")
    sweeps = (
        [folder] if _is_sweep(folder) else sorted(one for one in folder.iterdir() if one.is_dir() and _is_sweep(one))
    )
    return to_frame((run.label, run.record, run.folder) for run in load_sweep(*sweeps).runs)
