"""The runs of one or several sweeps, read from their folders."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas

from harness.base.garbage import uncollected
from harness.base.numbers import whole_number
from harness.comparison.columns import row, to_frame
from harness.comparison.pooling import labels, started
from harness.comparison.settings import Settings, settings_of_each
from harness.runs import store
from harness.runs.folder import RunFolder, SweepFolder
from harness.runs.record import Outcome, Record
from harness.runs.store import DamagedRecordError


@dataclass(frozen=True, eq=False)
class Run:
    """One run that left a record. Each is equal to itself alone."""

    folder: RunFolder
    record: Record
    label: str
    """The arm's name, extended where runs of that name differ in more than their seed."""
    settings: Settings

    @property
    def completed(self) -> bool:
        return self.record.status is Outcome.COMPLETED

    @property
    def diverged(self) -> bool:
        """False also where nobody looked."""
        return self.record.diverged is True

    @cached_property
    def cells(self) -> dict[str, Any]:
        """Its row of `load_runs`."""
        return row(self.label, self.record, self.folder.path)


@dataclass(frozen=True)
class Superseded:
    """A run that is left out, since another is the same run with the same seed."""

    folder: Path
    by: Path
    why: Literal["older", "copy", "not_completed"]
    """`copy`: both started at the same moment."""


@dataclass(frozen=True)
class Sweep:
    """All that the folders of a comparison hold."""

    folders: tuple[Path, ...]
    runs: list[Run] = field(default_factory=list)
    """The baseline's first, then by label and seed; one for each label and seed."""
    damaged: list[str] = field(default_factory=list)
    """For each record that cannot be read its path and what is wrong with it."""
    unfinished: list[Path] = field(default_factory=list)
    """Folders of runs that were started and left no record: still running, or stopped with their parent."""
    planned: list[Path] = field(default_factory=list)
    """Folders of runs that a dry run has planned and nobody has started."""
    superseded: list[Superseded] = field(default_factory=list)


def _natural(label: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts `rank=8` before `rank=16`."""
    numbers = ((whole_number(part), part) for part in re.split(r"([0-9]+)", label))
    return [(number is not None, number or 0, part) for number, part in numbers]


def _newest_of_each(runs: Iterable[Run]) -> tuple[list[Run], list[Superseded]]:
    kept: dict[tuple[str, int], Run] = {}
    superseded = []
    for run in sorted(runs, key=lambda run: (run.completed, started(run.record))):
        key = run.label, run.record.seed
        if key in kept:
            before = kept[key]
            superseded.append(Superseded(before.folder.path, run.folder.path, _why(before, run)))
        kept[key] = run
    return list(kept.values()), superseded


def _why(left_out: Run, kept: Run) -> Literal["older", "copy", "not_completed"]:
    if left_out.completed != kept.completed:
        return "not_completed"
    return "copy" if started(left_out.record) == started(kept.record) else "older"


@uncollected()
def load_sweep(*folders: Path, only: Collection[Path] | None = None) -> Sweep:
    """Read the runs in `folders`, each the folder of one sweep: every one, or those whose folder is among `only`.

    Damage is reported in the result, not raised. Raises OSError where a folder itself cannot be read."""
    sweep = Sweep(folders)
    found: list[tuple[RunFolder, Record]] = []
    run_folders = [run for folder in dict.fromkeys(folders) for run in SweepFolder(folder).runs()]
    for folder in sorted(run_folders, key=lambda run: run.path):
        if only is not None and folder.path not in only:
            continue
        try:
            record = store.load(folder)
        except (DamagedRecordError, OSError) as error:
            sweep.damaged.append(str(error))
            continue
        if record is not None:
            found.append((folder, record))
        else:
            (sweep.unfinished if folder.has_been_started() else sweep.planned).append(folder.path)
    records = [record for _, record in found]
    settings = settings_of_each(records)
    runs, superseded = _newest_of_each(
        Run(*of_run, label, shared)
        for of_run, label, shared in zip(found, labels(records, settings), settings, strict=True)
    )
    runs.sort(key=lambda run: (run.record.arm != run.record.baseline, _natural(run.label), run.record.seed))
    sweep.runs.extend(runs)
    sweep.superseded.extend(superseded)
    return sweep


def load_runs(path: str | Path) -> pandas.DataFrame:
    """One row for each run under `path`: a sweep's folder, or a folder that holds several sweeps.

    What was not measured is NaN (numbers) or None (texts), never 0. Of the same run made twice only the newest
    completed one is there. Memory is in MiB; its peaks are those of the training
    process, the highest of loading, training, validating and saving.

    sweep, arm, seed            arm: the label that also tells apart configurations of the same name
    status, reason              completed, out_of_memory, failed, interrupted or unsupported, and why
    identity                    hash of all that decides the run's result
    device, hardware            cpu, cuda or ascend; the product's name
    stand_in                    what stood in for the hardware, in words
    started_at                  date and time
    accuracy, base_accuracy     share of right answers, 0 to 1; base: the model before training
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
    train_loss, validation_loss the last ones reported, nats a token; infinite or NaN where the loss was
    diverged                    whether the loss was not finite or ended no lower than it began; None: not recorded
    wall_seconds                the whole run
    watt_hours, mean_watts      energy and mean power of the whole run
    max_temperature_celsius     highest of the chips
    sampling_gaps               readings that failed or came late
    folder                      where the run lies
    step_seconds                an optimizer step after the warm-up steps, the median
    above_idle_watt_hours       energy above what the chips take idle
    warmup_seconds, warmup_steps                    the steps at the start that are not in step_seconds
    position                    place in the order of the sweep's runs, from 1
    answers_cut_off, merged_answers_cut_off         answers that evaluation.max_new_tokens ended
    evalscope_correct           answers right by evalscope's own extraction, where correct is by the number they give
    padding_share               of the tokens trained on, those that only fill a batch, 0 to 1
    runtime_mib                 resident memory of the training process before it loads anything
    idle_watts                  what the chips took before the run
    others_cpu_percent          processor time of others while it trained, in percent of one core
    others_on_chips             the most processes of others at once on the run's chips while it trained
    neighbours                  other runs of the harness that the machine had at the same time
    attempt                     1, or more where it was tried again
    host, driver                hash of the machine's name; driver of the chips
    adopted                     whether LLaMA-Factory trained it without the harness
    phase_P_seconds             P: load, train, validate, save, evaluate
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; give the folder of a sweep, or one that holds sweeps")
    sweep = SweepFolder(folder)
    below = sorted(path for path in folder.iterdir() if path.is_dir() and SweepFolder(path).is_sweep())
    sweeps = [folder] if sweep.is_sweep() else below
    return to_frame(run.cells for run in load_sweep(*sweeps).runs)
