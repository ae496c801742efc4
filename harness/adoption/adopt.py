"""Output folders of LLaMA-Factory's become runs: a record and the events that its logs hold. Theirs stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.adoption.adopted_record import record_of
from harness.adoption.measuring import Measuring, measuring
from harness.adoption.output_folder import Found, TrainingFile, read
from harness.base import json_lines
from harness.base.errors import UserError
from harness.base.paths import NAME_RULE, is_name
from harness.runs import store
from harness.runs.events import TrainingLoss, ValidationLoss
from harness.runs.folder import RunFolder, SweepFolder
from harness.runs.record import Record


@dataclass(frozen=True)
class Request:
    """A folder to adopt."""

    folder: Path
    """Absolute, without links."""
    arm: str | None
    """None: its name comes from what was trained, or else from the folder."""


@dataclass(frozen=True)
class AdoptedRun:
    """What became of one folder."""

    run: RunFolder
    record: Record
    is_new: bool
    """False: it was adopted before, and nothing has changed since."""
    earlier: Path | None
    """Where the record is now that was made of the folder before it changed."""


@dataclass(frozen=True)
class Adoption:
    """All that was adopted with one command."""

    runs: Sequence[AdoptedRun]
    measuring: Measuring


def adopt(requests: Sequence[Request], files: Sequence[TrainingFile], sweep: SweepFolder) -> Adoption:
    """Make a run of each folder, in `sweep`. Raises UserError with all mistakes before anything is written, OSError."""
    mistakes: list[str] = []
    trainings: list[tuple[str, Found]] = []
    for request in requests:
        try:
            found = read(request.folder, files)
            trainings.append((_arm(request, found), found))
        except UserError as error:
            mistakes += error.mistakes
    before = _adopted_before(sweep, mistakes)
    mistakes += _unused(files, trainings) if len(trainings) == len(requests) else []
    mistakes += _same_arm_and_seed(trainings, before)
    if mistakes:
        raise UserError(mistakes)
    arms = list(dict.fromkeys([*(record.arm for _, record in before), *(arm for arm, _ in trainings)]))
    baseline = before[0][1].baseline if before else "lora" if "lora" in arms else arms[0]
    measured = measuring(trainings, f"{sweep.path.name}-measured")
    measure = "\n".join(measured.commands) or None
    runs = [
        _keep(sweep, record_of(found, arm, baseline, sweep.path.name, measure), before, found)
        for arm, found in trainings
    ]
    return Adoption(runs, measured)


def _adopted_before(sweep: SweepFolder, mistakes: list[str]) -> list[tuple[RunFolder, Record]]:
    found = []
    for run in sweep.runs() if sweep.path.is_dir() else ():
        try:
            record = store.load(run)
        except store.DamagedRecordError as error:
            mistakes.append(f"{error}; move {run.path} away")
            continue
        if record is not None and record.adopted is None:
            mistakes.append(f"--sweep {sweep.path.name}: holds runs that the harness made; give a name of its own")
            break
        if record is not None:
            found.append((run, record))
    return found


def _keep(sweep: SweepFolder, record: Record, before: Sequence[tuple[RunFolder, Record]], found: Found) -> AdoptedRun:
    assert record.adopted is not None
    earlier = None
    for run, old in before:
        if old.adopted is not None and old.adopted.folder == record.adopted.folder:
            if (old.identity, old.arm) == (record.identity, record.arm):
                if old.adopted.measure != record.adopted.measure:
                    old.adopted.measure = record.adopted.measure
                    store.write(run, old)
                return AdoptedRun(run, old, False, None)
            earlier = store.put_aside(run)
    run = sweep.run(f"{record.arm}-seed{record.seed}-{record.identity}")
    store.put_aside(run)
    run.path.mkdir(parents=True)
    start = record.started_at.timestamp()
    reported: list[TrainingLoss | ValidationLoss] = [*found.log.losses, *found.log.validation]
    logged = sorted(reported, key=lambda event: event.step)
    json_lines.append(run.events, [event.model_copy(update={"time": start + event.time}) for event in logged])
    store.write(run, record)
    return AdoptedRun(run, record, True, earlier)


def _arm(request: Request, found: Found) -> str:
    """The name that was given, or that of the method where the quantization is known, or the folder's."""
    method = found.arguments.get("finetuning_type")
    by_bits = {0: method, 4: "qlora", 8: f"{method}-int8"}
    name = request.arm or by_bits.get(found.arguments.get("quantization_bit", -1)) or found.folder.name
    if not is_name(name):
        raise UserError(f"{request.folder}: cannot name an arm by {name!r}; give NAME={request.folder}: {NAME_RULE}")
    return name


def _unused(files: Sequence[TrainingFile], trainings: Sequence[tuple[str, Found]]) -> list[str]:
    told = " ".join(line for _, found in trainings for line in found.disbelieved)
    taken = {found.training_file.path for _, found in trainings if found.training_file is not None}
    return [
        f"--train {file.path}: its output_dir={file.arguments.get('output_dir')} is none of the folders; "
        f"give the file that trained one of them, or lay it into that folder as {RunFolder.train}"
        for file in files
        if file.is_given and file.path not in taken and str(file.path) not in told
    ]


def _same_arm_and_seed(trainings: Sequence[tuple[str, Found]], before: Sequence[tuple[RunFolder, Record]]) -> list[str]:
    places = {(record.arm, record.seed): record.adopted.folder for _, record in before if record.adopted is not None}
    asked = {str(found.folder) for _, found in trainings}
    places = {key: folder for key, folder in places.items() if folder not in asked}
    mistakes = []
    for arm, found in trainings:
        other = places.setdefault((arm, found.seed), str(found.folder))
        if other != str(found.folder):
            mistakes.append(
                f"{found.folder}: is arm {arm} with seed {found.seed}, as {other} is; give them names, "
                f"as in `harness adopt lora={other} qlora={found.folder}`, or another --sweep"
            )
    return mistakes
